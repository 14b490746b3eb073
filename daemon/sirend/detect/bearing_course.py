"""What looks at a siren agree on: the line that its bearing follows, how fast it turns, and how sure that is. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sirend.audio.stream import SAMPLE_RATE_HZ, Samples, to_samples

if TYPE_CHECKING:
    from collections.abc import Sequence

MEMORIES_S = (1.5, 0.75, 0.5)
"""Looks that are older say nothing of now: at 50 km/h a vehicle 30 m away has turned by 40 degrees meanwhile. A
shorter memory counts once the latest looks leave the line of a longer: a vehicle that passes turns ever faster."""
_LEAVES_DEG = 3.0
"""Median of the last looks' distance from that line from which they have left it."""
_LATEST = 3
_AGREES_DEG = 10.0
"""A look this far from the rest is a reflection's, or another siren's."""
_LEAST_LOOKS = 4
_LEAST_AGREEING = 0.6
_MOST_DEG_S = 180.0
"""A vehicle that passes at 5 m with 50 km/h turns as fast as that."""
_FLOOR_DEG = 3.0
"""No bearing is better than that: the phases of cheap capsules differ by some degrees, always the same way."""
_BENDS_S = 0.15
"""A bearing that turns is not stated better than what it turns by meanwhile: its line is a curve."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the fresh samples of one window say."""

    at: Samples
    """The middle of what was looked at."""
    deg: float
    explained: float
    """Share of the phases that it explains, up to 1."""


@dataclass(frozen=True, slots=True)
class BearingCourse:
    """The line that most looks agree on, at its end."""

    deg: float
    """Where it ends, 0..360."""
    sd_deg: float
    """Its uncertainty, one sigma, degrees."""
    turning_deg_s: float
    """Its slope, degrees a second."""
    turning_sd_deg_s: float
    """The uncertainty of that, one sigma."""
    leaves_deg: float
    """Median distance of the latest looks from it, degrees: they leave it where the bearing turns ever faster."""


def latest(looks: Sequence[Look], now: Samples) -> BearingCourse | None:
    """Return what ``looks`` agree on at ``now``: over the longest memory that the latest do not contradict.

    What no longer memory agrees on, the shortest does not say either: a few looks agree by chance.
    """
    agreed = None
    for memory_s in MEMORIES_S:
        if agreed is None and memory_s == MEMORIES_S[-1]:
            return None
        recent = [look for look in looks if now - look.at <= to_samples(memory_s)]
        shorter = agree(recent, now)
        agreed = agreed if shorter is None else shorter
        if agreed is not None and agreed.leaves_deg <= _LEAVES_DEG:
            return agreed
    return agreed


def agree(looks: Sequence[Look], now: Samples) -> BearingCourse | None:
    """Return the bearing at ``now`` that most of ``looks`` lead to; None if too few agree.

    A line through those that agree: a vehicle that passes turns, and its bearing is the line's end.
    """
    if len(looks) < _LEAST_LOOKS:
        return None
    deg = np.array([look.deg for look in looks])
    age_s = np.array([look.at - now for look in looks]) / SAMPLE_RATE_HZ
    one, other = _pairs(len(looks))
    turning = apart(deg[other], deg[one]) / np.maximum(age_s[other] - age_s[one], 1e-3)
    off = apart(deg, deg[one, np.newaxis] + turning[:, np.newaxis] * (age_s - age_s[one, np.newaxis]))
    fits = (np.abs(off) <= _AGREES_DEG) & (np.abs(turning) <= _MOST_DEG_S)[:, np.newaxis]
    best = fits[int(np.argmax(fits.sum(axis=1)))]
    count = int(best.sum())
    if count < max(_LEAST_LOOKS, _LEAST_AGREEING * len(looks)):
        return None
    origin = deg[best][-1]
    place, since = apart(deg[best], origin), age_s[best]
    middle, mean = float(since.sum()) / count, float(place.sum()) / count
    since, place = since - middle, place - mean
    spread_s = float(since @ since)
    slope = float(since @ place) / max(spread_s, 1e-6)
    off_line = place - slope * since
    left = math.sqrt(float(off_line @ off_line) / max(1, count - 2))
    # Looks of neighbouring windows share what disturbs them (a reflection lasts): a third of their number counts.
    sd_deg = left * math.sqrt(3.0 * (1.0 / count + middle**2 / max(spread_s, 1e-6)))
    now_deg = float(origin + mean - slope * middle) % 360.0
    leaves = sorted(np.abs(apart(deg[-_LATEST:], now_deg + slope * age_s[-_LATEST:])).tolist())
    sd_deg = math.hypot(sd_deg, _FLOOR_DEG, _BENDS_S * slope)
    slope_sd = left * math.sqrt(3.0 / max(spread_s, 1e-6))
    return BearingCourse(now_deg, sd_deg, slope, slope_sd, leaves[len(leaves) // 2])


@cache
def _pairs(count: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the numbers of two of ``count`` looks that are not neighbours, of which the slope would be noise."""
    one, other = np.triu_indices(count, 2)
    return one, other


def apart(deg: npt.ArrayLike, other: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return how far ``deg`` lies clockwise of ``other``, -180..180 degrees."""
    turn = np.asarray(deg, np.float64) - np.asarray(other, np.float64)
    return np.asarray(turn - 360.0 * np.rint(turn * (1.0 / 360.0)))
