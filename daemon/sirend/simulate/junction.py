"""A siren drives through a junction of four legs, each with a directional microphone that looks along it.

The microphones stand `MAST_M` from the middle of the junction. The vehicle comes in on one leg, in its right-hand lane,
drives straight on and leaves by the opposite one. Every microphone hears it by its own way (`street.drive_by`), with
the delay, Doppler shift and level of that way, and with the gain of its cone; what is not in the cone is weaker, not
gone, as sound comes round corners.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sirend.simulate import sirens
from sirend.simulate.scene import (
    AUDIBLE_DB,
    BACKGROUND_DBFS,
    FLOOR_DB,
    PEAK_DBFS,
    RATE_HZ,
    SHORT_S,
    SNR_BAND_HZ,
    TRUTH_HZ,
    Rendered,
    described,
    mix,
    rms,
    short_db,
    street,
)
from sirend.simulate.street import KMH, Air, Geometry, drive_by

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


def render(scene: Scene, *, leg: str = "north") -> Rendered:
    """Render a scene at a junction, float32[n, 4] in the order of `LEGS`; the same scene gives the same samples.

    `scene.start_m` counts from the microphone of the vehicle's own `leg`, `scene.snr_db` holds there when it passes it.

    Raises:
        UsageError: No such profile or siren.
        InputError: The background cannot be read, is empty or silent.

    """
    tone = sirens.tone(scene.profile, scene.siren)
    samples = round(scene.duration_s * RATE_HZ)
    siren_rng, *street_rngs = (
        np.random.default_rng(child) for child in np.random.SeedSequence(scene.seed).spawn(2 + len(LEGS))
    )
    air = Air()
    ways = {name: _way(scene, bearing - LEGS[leg]) for name, bearing in LEGS.items()}
    first_s = {name: float(way.emission_s(np.zeros(1), air)[0]) for name, way in ways.items()}
    earliest_s = min(first_s.values())
    needed = max(way.source_samples(samples, RATE_HZ, air) for way in ways.values())
    source = sirens.synthesise(
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
        received[name] = (heard * _cone(scene, LEGS[name] - LEGS[leg], samples)).astype(np.float32)
    shared = street(scene, samples, street_rngs[0])
    backgrounds = {
        name: np.sqrt(SHARED) * np.roll(shared, index * samples // len(LEGS))
        + np.sqrt(1.0 - SHARED) * street(scene, samples, rng)
        if scene.background is None
        else np.roll(shared, index * samples // len(LEGS))
        for index, (name, rng) in enumerate(zip(LEGS, street_rngs[1:], strict=True))
    }
    closest, half = round(ways[leg].closest_s * RATE_HZ), round(SHORT_S / 2 * RATE_HZ)
    _, gain = mix(received[leg], backgrounds[leg], scene.snr_db, over=slice(max(closest - half, 0), closest + half))
    mixture = np.stack([backgrounds[name] + gain * received[name] for name in LEGS], axis=1)
    loudness_db = 20.0 * np.log10(rms(backgrounds[leg]))
    scale_db = float(min(BACKGROUND_DBFS - loudness_db, PEAK_DBFS - 20.0 * np.log10(np.max(np.abs(mixture)))))
    at = np.arange(0, samples, RATE_HZ // TRUTH_HZ)
    approaches = {}
    for channel, (name, bearing) in enumerate(LEGS.items()):
        snr_db = np.maximum(short_db(gain * received[name]) - short_db(backgrounds[name]), FLOOR_DB)
        audible = np.flatnonzero(snr_db > AUDIBLE_DB)
        approaches[name] = {
            "channel": channel,
            "bearing_deg": bearing,
            "audible_from_s": audible[0] / TRUTH_HZ if audible.size else None,
            "audible_to_s": audible[-1] / TRUTH_HZ if audible.size else None,
            "distance_m": distance_m[name][at].round(2).tolist(),
            "snr_db": snr_db.round(2).tolist(),
        }
    truth = {
        "schema": "sirend/junction-truth/1",
        "leg": leg,
        **described(scene, tone),
        "rate_hz": RATE_HZ,
        "duration_s": samples / RATE_HZ,
        "closest_s": round(ways[leg].closest_s, 3),
        "time_s": (at / RATE_HZ).round(3).tolist(),
        "approaches": approaches,
        "meaning": {
            "leg": "the leg on which the vehicle comes; it leaves by the opposite one",
            "peak_snr_db": f"at the microphone of `leg`: siren RMS in the {SHORT_S:g} s around closest_s over the RMS "
            f"of its background, {SNR_BAND_HZ[0]:g}-{SNR_BAND_HZ[1]:g} Hz",
            "snr_db": f"siren RMS over background RMS in the {SHORT_S:g} s around time_s, in the same band",
            "audible_from_s": f"first time_s with snr_db over {AUDIBLE_DB:g} dB; audible_to_s is the last",
        },
    }
    return Rendered((mixture * 10.0 ** (scale_db / 20.0)).astype(np.float32), truth)


def _place(turn_deg: float) -> tuple[float, float]:
    """Return where a microphone stands, m: along the vehicle's way, from the middle, and to the right of it."""
    turn = np.deg2rad(turn_deg)
    return -MAST_M * float(np.cos(turn)), -MAST_M * float(np.sin(turn))


def _way(scene: Scene, turn_deg: float) -> Geometry:
    """Return the drive as the microphone of the leg ``turn_deg`` clockwise of the vehicle's own hears it."""
    along_m, across_m = _place(turn_deg)
    own_m, _ = _place(0.0)
    return Geometry(scene.start_m + along_m - own_m, scene.speed_kmh, abs(scene.pass_m - across_m))


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
