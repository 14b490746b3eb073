"""Drives drawn from a seed, across a junction of four legs or down a street: what tests and figures are measured on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sirend.simulate import array_scene
from sirend.simulate.junction import LEGS
from sirend.simulate.scene import Scene
from sirend.simulate.street import KMH

if TYPE_CHECKING:
    from sirend.audio.stream import Pcm
    from sirend.config.geometry import Geometry

STREET_SIRENS = (
    ("us", "wail"),
    ("de", "hilo"),
    ("us", "yelp"),
    ("it", "hilo"),
    ("uk", "hilo"),
    ("fr", "samu"),
    ("jp", "ambulance"),
    ("uk", "wail"),
    ("jp", "police"),
    ("us", "hilo"),
    ("fr", "fire"),
    ("de", "yelp"),
    ("ch", "hilo"),
    ("us", "wail-msc"),
)

SIRENS = (("us", "wail"), ("de", "hilo"), ("us", "yelp"), ("it", "hilo"), ("fr", "samu"), ("uk", "hilo"))

AT_ONCE_S, AFTER_S = (0.0, 4.0), (4.0, 14.0)
"""How much later the second of two sirens passes: while the first one does, or when that is gone."""

TWO_SEED = 20_000
"""Seeds of two sirens at once begin here: none of them is heard alone as well."""


def crossing(rng: np.random.Generator, seed: int, snr_db: float | None = None) -> tuple[Scene, str]:
    """Return the drive ``seed``, 8 s from the junction, and the leg by which it comes.

    ``snr_db`` is when it passes; None draws it from 0 to 30.
    """
    profile, siren = SIRENS[seed % len(SIRENS)]
    speed_kmh = float(rng.uniform(30.0, 70.0))
    scene = Scene(
        siren=siren,
        profile=profile,
        start_m=speed_kmh * KMH * 8.0,
        speed_kmh=speed_kmh,
        pass_m=float(rng.uniform(2.0, 6.0)),
        snr_db=float(rng.uniform(0.0, 30.0)) if snr_db is None else snr_db,
        seed=seed,
    )
    return scene, list(LEGS)[int(rng.integers(len(LEGS)))]


def array_crossing(rng: np.random.Generator, seed: int) -> tuple[Scene, str, float, array_scene.Surroundings]:
    """Return such a drive past an array, the bearing it comes from and what stands around: houses, every third time."""
    scene, leg = crossing(rng, seed)
    around = array_scene.CANYON if seed % 3 == 2 else array_scene.OPEN
    return scene, leg, (LEGS[leg] + float(rng.uniform(-5.0, 5.0))) % 360.0, around


def street_drive(seed: int) -> Scene:
    """Return the drive ``seed`` down a street, at the levels of a street, from 40 m before it comes in sight."""
    rng = np.random.default_rng((seed, 77))
    profile, siren = STREET_SIRENS[seed % len(STREET_SIRENS)]
    sight_m = float(rng.uniform(100.0, 400.0))
    return Scene(siren, profile, sight_m + 40.0, 15.0, float(rng.uniform(30.0, 70.0)), in_sight_m=sight_m, seed=seed)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two vehicles with different sirens that drive past an array from different legs."""

    pcm: Pcm
    legs: tuple[str, str]
    """By which they come, the one that passes first before the other."""
    closest_s: tuple[float, float]
    """When they pass."""


def two_at_array(seed: int, geometry: Geometry, later_s: tuple[float, float] = AT_ONCE_S) -> Pair:
    """Let two such vehicles drive past an array; the second passes so much later than the first, seconds from until.

    Each has 5 to 30 dB over a street of its own, and both streets are heard.
    """
    rng = np.random.default_rng(TWO_SEED + seed)
    legs = [list(LEGS)[int(number)] for number in rng.permutation(len(LEGS))[:2]]
    around = array_scene.CANYON if seed % 3 == 2 else array_scene.OPEN
    heard = []
    for number, (leg, kind) in enumerate(zip(legs, rng.permutation(len(SIRENS))[:2], strict=True)):
        profile, siren = SIRENS[int(kind)]
        speed_kmh = float(rng.uniform(30.0, 70.0))
        scene = Scene(
            siren=siren,
            profile=profile,
            start_m=speed_kmh * KMH * (8.0 + number * float(rng.uniform(*later_s))),
            speed_kmh=speed_kmh,
            pass_m=float(rng.uniform(2.0, 6.0)),
            snr_db=float(rng.uniform(5.0, 30.0)),
            seed=TWO_SEED + 2 * seed + number,
        )
        bearing_deg = (LEGS[leg] + float(rng.uniform(-5.0, 5.0))) % 360.0
        heard.append(array_scene.render_at_array(scene, geometry, bearing_deg=bearing_deg, around=around))
    pcm = 0.5 * heard[1].pcm
    length = min(len(each.pcm) for each in heard)
    pcm[:length] += 0.5 * heard[0].pcm[:length]
    (first, second), (first_s, second_s) = legs, (float(each.truth["closest_s"]) for each in heard)
    return Pair(pcm, (first, second), (first_s, second_s))
