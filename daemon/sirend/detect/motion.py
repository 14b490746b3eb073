"""Where a siren is going, from its level and its pitch over several of its own cycles.

Pitch and level swing far more within a siren's cycle than any drive changes them: the Doppler shift at 50 km/h is 4 %,
a wail sweeps more than an octave. So the cycle is found first and taken out of both. Whether it comes or goes says what
is left of the level (`closest`); that it stands, level and pitch of its cycles have to say as well. In doubt the answer
is `unknown`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import fft

from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.detect.closest import find_closest
from sirend.detect.pitch import STEP, TONAL

if TYPE_CHECKING:
    from sirend.detect.closest import Closest
    from sirend.detect.pitch import Floats, Pitch

CYCLES = 3
"""That a siren stands needs so many cycles, design.md section 5."""
LONGEST_S = 8.0
"""Longest cycle that is looked for: the Japanese fire brigade's."""
SHORTEST_S = 0.2
"""Shortest: a yelp of 300 a minute."""
MEMORY_S = CYCLES * LONGEST_S
LEAST_S = 8.0
"""Time under which a level does not say that it stands or goes: the road's reflection lets it swing by 10 dB."""
_AHEAD = 0.65
"""How likely the closest point must lie ahead; the figures are in tests/README.md. What is claimed too late is lost."""
_BEHIND = 0.97
"""How likely behind: a call may end by it."""
_AT_REST = 0.5
_KNOT_S = 1.0
"""The level's trend is a line from knot to knot: at 50 km/h a vehicle is 14 m further on."""
_STIFFNESS = 1.0
"""Weight of a bend of the trend of 1 dB at a knot, in frames that lie off by 1 dB; a knot has 32 frames."""
_HARMONICS = 3
_AVERAGED_S = 2.0
"""Fast cycles are averaged over so long, as a single one has few frames."""
_ENOUGH = 0.5
"""Share of the frames that must be tonal."""
_PERIODIC = 0.5
"""Correlation of the pitch with itself a cycle ago from which there is a cycle."""
_RESTING_DB_S = 0.12
"""At 30 km/h and 300 m the level changes by 0.25 dB/s, at 60 km/h by 0.5."""
_RESTING_DB = 1.5
"""Swing of the mean level from cycle to cycle that a street and its noise give a siren at rest."""
_STEADY = 0.01
"""Change of the pitch, relative, of a driver's siren that stands."""


class Motion(StrEnum):
    """Where the vehicle is going, as far as one microphone can tell."""

    APPROACHING = "approaching"
    DEPARTING = "departing"
    STATIONARY = "stationary"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Course:
    """What is left of level and pitch when the siren's cycle is taken out."""

    cycle_s: float
    """Length of a cycle, s."""
    cycles_db: npt.NDArray[np.float64]
    """Mean level of whole cycles, float64[at least CYCLES], the last one now; dB. Fast ones count by two seconds."""
    whole_s: float
    """Time between these, s."""
    drift_high: float
    """Relative change of the highest pitch from the first cycle to the last."""
    drift_low: float
    """The same of the lowest."""

    @property
    def is_resting(self) -> bool:
        """Whether neither level nor pitch change from cycle to cycle."""
        place = np.arange(self.cycles_db.size) - (self.cycles_db.size - 1) / 2.0
        rate = float(place @ self.cycles_db / (place @ place)) / self.whole_s  # slope of the least-squares line
        is_steady = max(abs(self.drift_high), abs(self.drift_low)) < _STEADY
        return is_steady and abs(rate) < _RESTING_DB_S and float(np.ptp(self.cycles_db)) < _RESTING_DB


def motion_of(pitch: Pitch, row: int, since: int) -> Motion:
    """Return the motion of approach ``row`` from the frames of ``pitch`` whose middle lies at ``since`` or later.

    ``since`` is the sample at which the present siren began.
    """
    begin = int(np.searchsorted(pitch.at, max(since, pitch.at[-1] - MEMORY_S * SAMPLE_RATE_HZ))) if pitch.at.size else 0
    hz, strength, level_dbfs = pitch.hz[row, begin:], pitch.strength[row, begin:], pitch.level_dbfs[row, begin:]
    is_tonal = strength >= TONAL
    cycle = None
    if np.count_nonzero(is_tonal) > _ENOUGH * is_tonal.size:
        cycle = cycle_of(np.log2(np.maximum(hz, 1.0)).astype(np.float64), is_tonal)
    nearest = find_closest(hz, strength, level_dbfs, cycle)
    may_rest = nearest is not None and nearest.resting > _AT_REST  # the cycles cost as much again
    return decide(nearest, find_course(hz, strength, level_dbfs) if may_rest else None)


def decide(nearest: Closest | None, course: Course | None) -> Motion:
    """Return what the level's way and the siren's cycles leave no doubt of."""
    if nearest is None:
        return Motion.UNKNOWN
    if nearest.ahead > _AHEAD:
        return Motion.APPROACHING
    if nearest.behind > _BEHIND and nearest.span_s >= LEAST_S:
        return Motion.DEPARTING
    is_resting = nearest.resting > _AT_REST and course is not None and course.is_resting
    return Motion.STATIONARY if is_resting else Motion.UNKNOWN


def find_course(hz: Floats, strength: Floats, level_dbfs: Floats) -> Course | None:
    """Take the cycle out of frames float32[n], ``pitch.STEP`` apart, the last one now; None while nothing is certain.

    That is: fewer than ``CYCLES`` cycles or ``LEAST_S`` of siren, no cycle at all, or too few tonal frames.
    """
    step_s = STEP / SAMPLE_RATE_HZ
    is_tonal = strength >= TONAL
    if hz.size * step_s < LEAST_S or np.count_nonzero(is_tonal) < _ENOUGH * hz.size:
        return None
    octaves = np.log2(np.maximum(hz, 1.0)).astype(np.float64)
    cycle = cycle_of(octaves, is_tonal)
    if cycle is None:
        return None
    frames = max(CYCLES * round(cycle), round(LEAST_S / step_s))
    if frames > hz.size:
        return None
    octaves, is_tonal, level = octaves[-frames:], is_tonal[-frames:], level_dbfs[-frames:].astype(np.float64)
    knots = max(4, 1 + round(frames * step_s / _KNOT_S))
    at = np.arange(frames)[is_tonal]
    place = at * ((knots - 1) / (frames - 1))
    hats = np.maximum(0.0, 1.0 - np.abs(place[:, np.newaxis] - np.arange(knots)))
    phase = np.outer(at * (2.0 * np.pi / cycle), np.arange(1, _HARMONICS + 1))
    design = np.concatenate((hats, np.cos(phase), np.sin(phase)), axis=1)
    # Knots could also draw a cycle of some seconds; a little stiffness leaves it to the harmonics.
    bends = np.zeros((knots - 2, design.shape[1]))
    for row, weights in enumerate(bends):
        weights[row : row + 3] = (1.0, -2.0, 1.0)
    ridge = _STIFFNESS * bends.T @ bends + 1e-6 * np.eye(design.shape[1])
    found = np.linalg.solve(design.T @ design + ridge, design.T @ level[is_tonal])
    level[is_tonal] -= design[:, knots:] @ found[knots:]  # or a cycle of which one tone is drowned would seem louder
    whole = _whole(cycle)
    parts = [slice(end - whole, end) for end in range(frames, whole - 1, -whole)][::-1]
    if any(np.count_nonzero(is_tonal[part]) < _ENOUGH * whole for part in parts):
        return None
    first, last = (_extremes(octaves[part][is_tonal[part]]) for part in (parts[0], parts[-1]))
    drift_high, drift_low = np.exp2(last - first) - 1.0
    return Course(
        cycle_s=cycle * step_s,
        whole_s=whole * step_s,
        cycles_db=np.array([level[part][is_tonal[part]].mean() for part in parts]),
        drift_high=float(drift_high),
        drift_low=float(drift_low),
    )


def _extremes(octaves: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the highest and the lowest pitch of a cycle, float64[2], less the tenth or so that noise may have made."""
    ordered = np.sort(octaves)
    return ordered[[int(0.85 * (ordered.size - 1)), int(0.15 * (ordered.size - 1))]]


def _whole(cycle: float) -> int:
    """Return the frames of as many whole cycles as ``_AVERAGED_S`` holds, at least one."""
    return round(max(1, round(_AVERAGED_S * SAMPLE_RATE_HZ / STEP / cycle)) * cycle)


def cycle_of(octaves: npt.NDArray[np.float64], is_tonal: npt.NDArray[np.bool_]) -> float | None:
    """Return the length of the pitch's cycle in frames, from its autocorrelation over the tonal frames."""
    middle = float(np.median(octaves[is_tonal]))
    moved = np.where(is_tonal, np.clip(octaves - middle, -1.0, 1.0), 0.0)
    moved[is_tonal] -= moved[is_tonal].mean()
    if np.std(moved[is_tonal]) < 0.02:  # noqa: PLR2004  octaves: 1.4 %, a steady tone
        return None
    step_s = STEP / SAMPLE_RATE_HZ
    first, last = round(SHORTEST_S / step_s), min(round(LONGEST_S / step_s) + 1, 2 * octaves.size // 3)
    length = fft.next_fast_len(octaves.size + last + 2, real=True)
    mask = is_tonal.astype(np.float64)
    spectra = fft.rfft(np.stack((moved, np.square(moved), mask)), length)
    pairs = np.conj(spectra[[0, 1, 2]]) * spectra[[0, 2, 1]]
    likeness, early, late = fft.irfft(pairs, length)[:, : last + 2]  # only frames that are tonal at both ends count
    likeness = likeness / np.sqrt(np.maximum(early, 1e-9) * np.maximum(late, 1e-9))
    lags = np.arange(first, last)
    lags = lags[np.logical_or.accumulate(likeness[lags] < 0.0)]  # a slow pitch is like itself at any short lag
    peaks = lags[(likeness[lags] >= likeness[lags - 1]) & (likeness[lags] > likeness[lags + 1])]
    if not peaks.size or likeness[peaks].max() < _PERIODIC:
        return None
    lag = int(peaks[likeness[peaks] >= 0.85 * likeness[peaks].max()][0])  # the shortest; its multiples are as alike
    left, here, right = likeness[lag - 1 : lag + 2]
    bend = left - 2.0 * here + right
    return lag + (0.5 * (left - right) / bend if bend < 0.0 else 0.0)
