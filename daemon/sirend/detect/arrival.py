"""How long an approaching siren still needs, from how its level grows and from the road's reflection of it.

By the law of inverse distance a level rises by 8.7 dB over the time left. What spoils that is the road: it mirrors the
siren, and where the mirrored way is longer by half a wave the two cancel. Taken alone the law gave a fifth of all times
within 25 %; without the road, nine tenths. But the difference of the ways grows as the distance shrinks, so what
cancels at which pitch tells of the distance too (Lloyd's mirror), whatever the heights of siren and microphone and the
speed are: they are one factor, which is tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.detect.closest import AIR_DB_S, STEP_S, level_of_tone
from sirend.detect.pitch import FRAME, STEP, TONAL

if TYPE_CHECKING:
    from sirend.detect.pitch import Floats, Pitch

MEMORY_S = 24.0
LEAST_S = 4.0
_EACH = 4
"""Every so many-eth frame is looked at: 8 a second."""
_LEAST_FRAMES = 24
_TIMES_S = np.geomspace(1.0, 60.0, 28)
_SHARPNESS_S = 0.7
"""Distance at the closest point over speed, see ``closest``; it shows in the last second or two only."""
_MIRROR_S2 = np.geomspace(1.2e-3, 16e-3, 12)
"""Twice the heights of siren and microphone over the speeds of sound and vehicle, s^2: .0042 at 2 m, 5 m and 50 km/h.
Over the time left it is by how much later the mirrored sound comes."""
_REFLECTED = (0.35, 0.8)
"""What a road leaves of the sound that it mirrors, amplitude."""
_LATE_S = 40e-6
"""By how much an open-pored surface delays what it mirrors."""
_ROAD = 0.7
"""How usual a road is that mirrors."""
_PARTIALS = (1.0, 0.08, 0.2)
"""Power of a siren's first partials."""
_USUAL_S = 20.0
_POWERS = 3
"""The siren's own level follows its pitch as a polynomial of this degree."""
_SCATTER_DB = 1.0
"""How far the level lies off; what is seen replaces it, as of so many values:"""
_SCATTER_OF = 4.0
_ALIKE_S = 0.7
"""A level so much later is another value."""
_SURE = 0.25
"""Standard deviation of the logarithm under which the time is told."""
_FROM_S, _TO_S = 2.0, 12.0
"""Times that are told. Sooner, a second more or less is half of it; later, most are too long where the road dips."""
_MARGIN = 0.15
"""What the interval is wider than its deviations say, as a logarithm: it holds nine in ten times."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """When the siren will be nearest, as from now."""

    eta_s: float
    """Most likely, s."""
    low_s: float
    """Hardly sooner, s."""
    high_s: float
    """Hardly later, s."""


def arrival_of(pitch: Pitch, row: int, since: int) -> Arrival | None:
    """Return the arrival of approach ``row``, whose siren comes nearer and began at sample ``since``; None in doubt."""
    begin = int(np.searchsorted(pitch.at, max(since, pitch.at[-1] - MEMORY_S * SAMPLE_RATE_HZ))) if pitch.at.size else 0
    return find_arrival(pitch.hz[row, begin:], pitch.strength[row, begin:], pitch.level_dbfs[row, begin:])


def find_arrival(hz: Floats, strength: Floats, level_dbfs: Floats) -> Arrival | None:
    """Return the arrival by frames float32[n], ``pitch.STEP`` apart, the last one now; None in doubt."""
    weighed = weigh_times(hz, strength, level_dbfs)
    if weighed is None:
        return None
    eta_s, sigma = float(np.exp(weighed[0])), weighed[1]
    if sigma > _SURE or not _FROM_S <= eta_s <= _TO_S:
        return None
    spread = max(sigma, 0.1)
    low, high = np.exp([-2.0 * spread - _MARGIN, spread + _MARGIN])  # most errors are times too long
    return Arrival(eta_s, eta_s * float(low), eta_s * float(high))


def weigh_times(hz: Floats, strength: Floats, level_dbfs: Floats) -> tuple[float, float] | None:
    """Return mean and standard deviation of the logarithm of the time left, s; None for less than ``LEAST_S``."""
    at = np.flatnonzero(strength >= TONAL)[::-1][::_EACH]
    if hz.size * STEP_S < LEAST_S or at.size < _LEAST_FRAMES:
        return None
    ways = _ways()
    octaves = np.log2(hz[at] / 800.0)
    level = level_of_tone(level_dbfs[at], strength[at]).astype(np.float32)
    back_s = ((hz.size - 1 - at) * STEP + FRAME // 2).astype(np.float32) / SAMPLE_RATE_HZ
    left_s = back_s[:, np.newaxis] + ways.to_s
    own, _ = np.linalg.qr(np.stack([octaves**power for power in range(_POWERS + 1)], axis=1).astype(np.float32))
    law_db = -20.0 * np.log10(np.hypot(left_s, np.float32(_SHARPNESS_S))) - np.float32(AIR_DB_S) * left_s
    turn = (2.0 * np.pi * hz[at, np.newaxis]) * (ways.mirror_s2 / left_s + np.float32(_LATE_S))
    power = sum(
        np.float32(share) * (ways.both + ways.twice * np.cos(np.float32(number) * turn))
        for number, share in enumerate(_PARTIALS, start=1)
    )
    off = level[:, np.newaxis] - law_db - 10.0 * np.log10(power)
    squares = np.einsum("ij,ij->j", off, off) - np.square(own.T @ off).sum(axis=0)
    values = _EACH * STEP_S / _ALIKE_S
    squares = np.maximum(squares.astype(np.float64), 0.0) * values
    likely = -0.5 * (_SCATTER_OF + at.size * values) * np.log(_SCATTER_OF * _SCATTER_DB**2 + squares)
    chance = np.exp(likely - likely.max()) * ways.usual
    chance /= chance.sum()
    logs = np.log(ways.to_s.astype(np.float64))
    middle = float(chance @ logs)
    return middle, float(np.sqrt(max(0.0, chance @ np.square(logs) - middle**2)))


@dataclass(frozen=True)
class _Ways:
    """The ways that a siren may come, float32[ways] each."""

    to_s: Floats
    mirror_s2: Floats
    both: Floats
    """Power of direct and mirrored sound without regard to their phases."""
    twice: Floats
    """What their phases add or take at most."""
    usual: npt.NDArray[np.float64]


@cache
def _ways() -> _Ways:
    roads = [(0.0, 0.0, 1.0 - _ROAD)]
    roads += [(m, r, _ROAD / len(_MIRROR_S2) / len(_REFLECTED)) for m in _MIRROR_S2 for r in _REFLECTED]
    mirror_s2, reflected, usual = np.array(roads).T
    width = np.gradient(_TIMES_S) * np.exp(-_TIMES_S / _USUAL_S)
    reflected = np.tile(reflected, _TIMES_S.size)
    return _Ways(
        to_s=np.repeat(_TIMES_S, len(roads)).astype(np.float32),
        mirror_s2=np.tile(mirror_s2, _TIMES_S.size).astype(np.float32),
        both=(1.0 + np.square(reflected)).astype(np.float32),
        twice=(2.0 * reflected).astype(np.float32),
        usual=np.outer(width / width.sum(), usual).ravel(),
    )
