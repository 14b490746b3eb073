"""A siren drives through a junction of four legs, each with a directional microphone that looks along it.

The microphones stand `MAST_M` from the middle of the junction. The vehicle comes in on one leg, in its right-hand lane,
drives straight on and leaves by the opposite one. Every microphone hears it by its own way (`street.drive_by`), with
the delay, Doppler shift and level of that way, and with the gain of its cone; what is not in the cone is weaker, not
gone, as sound comes round corners.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sirend.simulate import sirens, synthesis
from sirend.simulate.background import background as street_of
from sirend.simulate.balance import Balance
from sirend.simulate.levels import RATE_HZ, TRUTH_HZ, db, rms, short_db
from sirend.simulate.scene import Rendered
from sirend.simulate.street import KMH, DriveBy, drive_by
from sirend.simulate.truth import MEANING, described, heard_of, to_stop_line_s
from sirend.simulate.wind import turbulence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sirend.simulate.scene import Scene

LEGS = {"north": 0.0, "east": 90.0, "south": 180.0, "west": 270.0}
"""The legs in the order of the channels, and the compass bearing of each from the middle of the junction."""
MAST_M = 12.0
"""From the middle of the junction to a leg's microphone, at its stop line (assumed)."""
HALF_CONE_DEG = 25.0
"""Angle off its axis at which a microphone has lost 3 dB: a shotgun microphone (assumed; one siren detector's
specification asks for a cone of 13 degrees)."""
BACK_DB = -20.0
"""Gain outside the cone: reflections from houses, and the microphone's own rear (assumed)."""
SHARED = 0.5
"""Share of a microphone's background, in power, that all hear alike; the rest is the traffic of its own leg."""


def render_at_junction(scene: Scene, *, leg: str = "north") -> Rendered:
    """Render a scene at a junction, float32[n, 4] in the order of `LEGS`; the same scene gives the same samples.

    `scene.start_m` and `in_sight_m` count from the microphone of the vehicle's own `leg`; `scene.snr_db` holds there
    when it passes it, and so does `street_db`.

    Raises:
        UsageError: No such profile or siren.
        InputError: The background cannot be read, is empty or silent.

    """
    tone = sirens.find_siren(scene.profile, scene.siren)
    samples = round(scene.duration_s * RATE_HZ)
    siren_rng, *street_rngs = (
        np.random.default_rng(child) for child in np.random.SeedSequence(scene.seed).spawn(2 + len(LEGS))
    )
    air = scene.air
    ways = {name: _way(scene, bearing - LEGS[leg]) for name, bearing in LEGS.items()}
    first_s = {name: float(way.emission_s(np.zeros(1), air)[0]) for name, way in ways.items()}
    earliest_s = min(first_s.values())
    needed = max(way.source_samples(samples, RATE_HZ, air) for way in ways.values())
    source = synthesis.synthesise(
        tone,
        needed + round((max(first_s.values()) - earliest_s) * RATE_HZ) + 1,
        RATE_HZ,
        siren_rng,
        start_s=siren_rng.uniform(0.0, tone.motion.cycle_s),
    )
    received: dict[str, NDArray[np.float32]] = {}
    distance_m: dict[str, NDArray[np.float64]] = {}
    for name, way in ways.items():
        # All hear the same siren: each from the sample that reaches it at time 0.
        heard, distance_m[name] = drive_by(
            source[round((first_s[name] - earliest_s) * RATE_HZ) :], way, RATE_HZ, air=air, samples=samples
        )
        emitted_s = way.emission_s(np.arange(samples) / RATE_HZ, air)
        loss = scene.shadow(emitted_s) * _cone(scene, LEGS[name] - LEGS[leg], samples)
        received[name] = (heard * loss).astype(np.float32)
    shared = street_of(scene.background, samples, street_rngs[0])
    backgrounds = {
        name: np.sqrt(SHARED) * np.roll(shared, index * samples // len(LEGS))
        + np.sqrt(1.0 - SHARED) * street_of(None, samples, rng)
        if scene.background is None
        else np.roll(shared, index * samples // len(LEGS))
        for index, (name, rng) in enumerate(zip(LEGS, street_rngs[1:], strict=True))
    }
    balance = Balance.of(scene, source, received[leg], backgrounds[leg])
    for channel, name in enumerate(LEGS):
        backgrounds[name] = backgrounds[name] + balance.pascal * turbulence(scene, samples, channel)
    mixture = np.stack([backgrounds[name] + balance.gain * received[name] for name in LEGS], axis=1)
    loudness_db = db(rms(backgrounds[leg]))
    scale_db = balance.scale_db(loudness_db, float(np.max(np.abs(mixture))))
    at = np.arange(0, samples, RATE_HZ // TRUTH_HZ)
    approaches = {
        name: {
            "channel": channel,
            "bearing_deg": bearing,
            **heard_of(short_db(balance.gain * received[name]), short_db(backgrounds[name]), balance),
            "distance_m": distance_m[name][at].round(2).tolist(),
        }
        for channel, (name, bearing) in enumerate(LEGS.items())
    }
    calibration = balance.of_94_db(scale_db)
    truth = {
        "schema": "sirend/junction-truth/1",
        "leg": leg,
        **described(scene, tone, balance),
        "dbfs_of_94_db": None if calibration is None else round(calibration, 2),
        "rate_hz": RATE_HZ,
        "duration_s": samples / RATE_HZ,
        "closest_s": round(ways[leg].closest_s, 3),
        "time_s": (at / RATE_HZ).round(3).tolist(),
        "to_stop_line_s": to_stop_line_s(scene, at),
        "approaches": approaches,
        "meaning": {**MEANING, "leg": "the leg on which the vehicle comes; it leaves by the opposite one"},
    }
    return Rendered((mixture * 10.0 ** (scale_db / 20.0)).astype(np.float32), truth)


def _place(turn_deg: float) -> tuple[float, float]:
    """Return where a microphone stands, m: along the vehicle's way, from the middle, and to the right of it."""
    turn = np.deg2rad(turn_deg)
    return -MAST_M * float(np.cos(turn)), -MAST_M * float(np.sin(turn))


def _way(scene: Scene, turn_deg: float) -> DriveBy:
    """Return the drive as the microphone of the leg ``turn_deg`` clockwise of the vehicle's own hears it."""
    along_m, across_m = _place(turn_deg)
    own_m, _ = _place(0.0)
    return DriveBy(scene.start_m + along_m - own_m, scene.speed_kmh, abs(scene.pass_m - across_m))


def _cone(scene: Scene, turn_deg: float, samples: int) -> NDArray[np.float64]:
    """Return the gain of a microphone towards the vehicle, float64[samples], 0..1."""
    along_m, across_m = _place(turn_deg)
    own_m, _ = _place(0.0)
    vehicle_m = own_m - scene.start_m + scene.speed_kmh * KMH * np.arange(samples) / RATE_HZ
    outward = np.array((along_m, across_m)) / MAST_M
    to_vehicle = np.stack((vehicle_m - along_m, np.full(samples, scene.pass_m - across_m)))
    cosine = outward @ to_vehicle / np.maximum(np.hypot(*to_vehicle), 1e-9)
    off_axis_deg = np.rad2deg(np.arccos(np.clip(cosine, -1.0, 1.0)))
    return np.asarray(10.0 ** (np.maximum(-3.0 * (off_axis_deg / HALF_CONE_DEG) ** 2, BACK_DB) / 20.0))
