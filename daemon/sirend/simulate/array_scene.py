"""A siren drives past a small array of microphones over the middle of a junction.

Every microphone hears the siren by its own way (`street.drive_by`), all from one emission, so the delays between them
are exact to the delay line's own error. Houses along the street return it as mirror images. The street's noise comes as
plane waves from all round, wind and hiss in each microphone are its own, and capsules differ in gain and phase.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import signal

from sirend.simulate import sirens, synthesis
from sirend.simulate.background import background as street_of
from sirend.simulate.balance import Balance
from sirend.simulate.levels import RATE_HZ, TRUTH_HZ, db, rms, short_db
from sirend.simulate.scene import Rendered
from sirend.simulate.street import KMH, Air, DelayLine, DriveBy, drive_by
from sirend.simulate.truth import MEANING, described, heard_of, to_stop_line_s
from sirend.simulate.wind import turbulence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sirend.config.geometry import Geometry as Array
    from sirend.config.geometry import Place
    from sirend.simulate.scene import Scene

WAVES = 8
"""Plane waves that make the street's noise; diffuse enough for an array of some centimetres."""
OWN_DB = -12.0
"""Noise of each microphone's own, wind and hiss, against the street (assumed)."""
OWN_HZ = 1000.0
"""Above it that noise falls: wind does, hiss does not (assumed)."""
GAIN_DB = 1.0
"""Cheap capsules differ by so much at most, one way or the other."""
PHASE_DEG = 5.0
"""And so much in phase."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands around the array."""

    houses_m: tuple[float, ...] = ()
    """Distances of walls along the street, m: over 0 to the right of the vehicle's way, under 0 to its left."""
    reflection: float = 0.6
    """Pressure reflection of those walls, 0..1."""


OPEN = Surroundings()
CANYON = Surroundings((14.0, -12.0))
"""A street between houses."""


def render_at_array(scene: Scene, array: Array, *, bearing_deg: float = 0.0, around: Surroundings = OPEN) -> Rendered:
    """Render the drive of a vehicle that comes from the compass bearing `bearing_deg`: float32[n, columns].

    The array's front looks north. The columns are those of its device; what that would have processed is the mean of
    the microphones.

    Raises:
        UsageError: No such profile or siren.
        InputError: The background cannot be read, is empty or silent.

    """
    tone, air = sirens.find_siren(scene.profile, scene.siren), scene.air
    samples = round(scene.duration_s * RATE_HZ)
    siren_rng, street_rng, own_rng = (
        np.random.default_rng(child) for child in np.random.SeedSequence(scene.seed).spawn(3)
    )
    ways = [list(_ways(scene, place, bearing_deg, around)) for place in array.places_m]
    since_s = min(float(way.emission_s(np.zeros(1), air)[0]) for each in ways for way, _ in each)
    longest = max(way.source_samples(samples, RATE_HZ, air) for each in ways for way, _ in each)
    source = synthesis.synthesise(
        tone, longest + RATE_HZ, RATE_HZ, siren_rng, start_s=siren_rng.uniform(0.0, tone.motion.cycle_s)
    )
    line = DelayLine.of(source)
    siren = np.zeros((samples, len(ways)), np.float32)
    for column, each in enumerate(ways):
        for way, share in each:
            heard, _ = drive_by(line, way, RATE_HZ, air=air, samples=samples, since_s=since_s)
            siren[:, column] += share * heard
    first = ways[0][0][0]
    siren *= scene.shadow(first.emission_s(np.arange(samples) / RATE_HZ, air)).astype(np.float32)[:, np.newaxis]
    background = _background(scene, array, samples, street_rng)
    balance = Balance.of(scene, source, siren[:, 0], background[:, 0])
    siren *= np.float32(balance.gain)
    for column in range(len(ways)):  # eddies are smaller than the array is wide
        background[:, column] += np.float32(balance.pascal) * turbulence(scene, samples, column)
    mixture = _capsules(background + siren, own_rng)
    scale_db = balance.scale_db(db(rms(background[:, 0])), float(np.max(np.abs(mixture))))
    at = np.arange(0, samples, RATE_HZ // TRUTH_HZ)
    calibration = balance.of_94_db(scale_db)
    truth: dict[str, Any] = {
        "schema": "sirend/array-truth/1",
        **described(scene, tone, balance),
        "dbfs_of_94_db": None if calibration is None else round(calibration, 2),
        "rate_hz": RATE_HZ,
        "duration_s": samples / RATE_HZ,
        "closest_s": round(first.closest_s, 3),
        **heard_of(short_db(siren[:, 0]), short_db(background[:, 0]), balance),
        "channels": list(array.channels),
        "places_m": [list(place) for place in array.places_m],
        "houses_m": list(around.houses_m),
        "from_deg": bearing_deg,
        "time_s": (at / RATE_HZ).round(3).tolist(),
        "to_stop_line_s": to_stop_line_s(scene, at),
        "distance_m": first.distance_m(at / RATE_HZ).round(2).tolist(),
        "bearing_deg": _bearings(scene, bearing_deg, at / RATE_HZ, air).round(2).tolist(),
        "meaning": {
            **MEANING,
            "bearing_deg": "compass bearing from the array of the place from which what is heard at time_s was emitted",
            "from_deg": "compass bearing from which the vehicle comes; it drives on straight",
        },
    }
    return Rendered(_columns(array, mixture * 10.0 ** (scale_db / 20.0)), truth)


def _columns(array: Array, microphones: NDArray[np.float64]) -> NDArray[np.float32]:
    """Lay float64[n, microphones] into the columns of the device: float32[n, columns]."""
    pcm = np.zeros((len(microphones), 1 + max((*array.channels, *array.processed))), np.float32)
    pcm[:, array.channels] = microphones
    pcm[:, array.processed] = microphones.mean(axis=1, keepdims=True)
    return pcm


def _ways(scene: Scene, place: Place, bearing_deg: float, around: Surroundings) -> Iterator[tuple[DriveBy, float]]:
    """Yield the ways from the siren to a microphone at `place`, with their share: the direct one, then each wall's."""
    turn = math.radians(bearing_deg)
    along = place[0] * math.sin(turn) + place[1] * math.cos(turn)  # of the microphone, towards where it comes from
    right = -place[0] * math.cos(turn) + place[1] * math.sin(turn)  # to the right of the way the vehicle looks
    yield DriveBy(scene.start_m - along, scene.speed_kmh, scene.pass_m - right), 1.0
    for wall_m in around.houses_m:
        mirrored_m = 2.0 * wall_m - scene.pass_m
        way = DriveBy(scene.start_m - along, scene.speed_kmh, mirrored_m - right, ground_reflection=0.0)
        yield way, around.reflection


def _bearings(scene: Scene, bearing_deg: float, seconds: NDArray[np.float64], air: Air) -> NDArray[np.float64]:
    """Return the compass bearing float64[n] of where the sound heard at `seconds` float64[n] was emitted."""
    emitted_s = DriveBy(scene.start_m, scene.speed_kmh, scene.pass_m).emission_s(seconds, air)
    along_m = scene.start_m - scene.speed_kmh * KMH * emitted_s
    # The vehicle looks against its bearing; its right is then to the left of whoever looks along the bearing.
    off_deg = np.rad2deg(np.arctan2(-scene.pass_m, along_m))
    return np.asarray((bearing_deg + off_deg) % 360.0)


def _background(scene: Scene, array: Array, samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the street at each microphone, float32[samples, microphones]: plane waves, and noise of its own."""
    hz = np.fft.rfftfreq(samples, 1.0 / RATE_HZ)
    places = np.array(array.places_m)
    total = np.zeros((samples, len(places)))
    for number in range(WAVES):
        wave = street_of(scene.background, samples, rng)
        if scene.background is not None:
            wave = np.roll(wave, number * samples // WAVES)  # from another place on: a wave that is not the others'
        spectrum = np.fft.rfft(wave / max(rms(wave), 1e-9))
        turn = rng.uniform(0.0, 2.0 * np.pi)
        lead_s = places @ np.array((math.sin(turn), math.cos(turn))) / Air().sound_m_s
        for column, lead in enumerate(lead_s):
            total[:, column] += np.fft.irfft(spectrum * np.exp(2j * np.pi * hz * lead), samples)
    total /= rms(total)
    for column in range(len(places)):
        own = signal.lfilter(*signal.butter(1, OWN_HZ, fs=RATE_HZ), rng.standard_normal(samples))
        total[:, column] += 10.0 ** (OWN_DB / 20.0) * own / rms(own)
    return total.astype(np.float32)


def _capsules(pcm: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float64]:
    """Hear float32[n, microphones] through capsules that differ in gain and phase: float64[n, microphones]."""
    columns = pcm.shape[1]
    gain = 10.0 ** (rng.uniform(-GAIN_DB, GAIN_DB, columns) / 20.0)
    phase = np.deg2rad(rng.uniform(-PHASE_DEG, PHASE_DEG, columns))
    return np.asarray(np.real(signal.hilbert(pcm, axis=0) * gain * np.exp(1j * phase)))
