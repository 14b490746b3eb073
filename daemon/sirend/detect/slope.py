"""How fast a siren grows louder, with its own swings of level taken out.

A wail's level follows its pitch by many decibels, a two-tone's alternates; a road's reflection moves over seconds. The
first two are fitted together with a straight line and taken away; the third is what the means of whole seconds scatter
by about that line, and so how sure the slope is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.detect.pitch import STEP, TONAL

if TYPE_CHECKING:
    from sirend.detect.pitch import Floats

STEP_S = STEP / SAMPLE_RATE_HZ
MEMORY_S = 12.0
"""What the line is fitted to: longer, it lags behind a vehicle that comes near; shorter, the road decides."""
LEAST_S = 4.0
_ENOUGH = 0.4
"""Share of the frames that must be tonal."""
_LEAST_FRAMES = 40
_MOVING = 0.02
"""Standard deviation of a siren's pitch, octaves; a steady tone is none."""
_HARMONICS = 3
_RIDGE = 1e-3
_SURE, _SURER = 0.7, 4.0
"""Standard errors by which a slope must exceed the least; and how much more where there are few seconds."""
_LEAST_DB_S = 0.1
"""A level rises by 8.7 dB over the time left: so fast 87 s before the stop line."""
_BELOW_DB = 3.0
"""The last second of a siren that comes nearer is at most so far under its loudest."""
_TAIL = 4


@dataclass(frozen=True, slots=True)
class Slope:
    """The level of the last seconds, a straight line and what lies about it."""

    db_s: float
    """Slope, dB/s."""
    error_db_s: float
    """How far it may be off, dB/s."""
    tail_db_s: float
    """Slope of the last four seconds."""
    below_db: float
    """How far the last second lies under the loudest, dB, 0 or more."""

    @property
    def is_rising(self) -> bool:
        """Whether the siren surely grows louder, to this moment."""
        is_sure = self.db_s - _SURE * self.error_db_s > _LEAST_DB_S
        return is_sure and self.tail_db_s > 0.0 and self.below_db <= _BELOW_DB

    @property
    def is_falling(self) -> bool:
        """Whether it surely grows fainter."""
        return self.db_s + _SURE * self.error_db_s < -_LEAST_DB_S and self.tail_db_s < 0.0

    def is_level(self, within_db_s: float) -> bool:
        """Return whether it surely changes by less than ``within_db_s``, dB/s."""
        return abs(self.db_s) + self.error_db_s < within_db_s


def slope(hz: Floats, strength: Floats, level_dbfs: Floats, cycle: float | None) -> Slope | None:
    """Return the slope over the last frames float32[n], ``pitch.STEP`` apart; None where few are tonal, or steady.

    ``cycle`` is the length of the siren's cycle in frames, None where none is known: then the level may follow pitch.
    """
    frames = min(hz.size, round(MEMORY_S / STEP_S))
    is_tonal = strength[hz.size - frames :] >= TONAL
    tonal = np.count_nonzero(is_tonal)
    if frames * STEP_S < LEAST_S or tonal < max(_ENOUGH * frames, _LEAST_FRAMES):
        return None
    if np.std(np.log2(np.maximum(hz[hz.size - frames :][is_tonal], 1.0))) < _MOVING:
        return None
    at = np.flatnonzero(is_tonal)
    time_s = (at - (frames - 1)) * STEP_S
    level = level_dbfs[hz.size - frames :][is_tonal].astype(np.float64)
    design = np.column_stack((np.ones(tonal), time_s, *_swings(hz[hz.size - frames :][is_tonal], at, frames, cycle)))
    ridge = _RIDGE * np.eye(design.shape[1])
    found = np.linalg.solve(design.T @ design + ridge, design.T @ level)
    level -= design[:, 2:] @ found[2:]
    second = np.floor(time_s).astype(np.int64) + frames
    counts = np.bincount(second)
    is_there = counts > 0
    mean_db, mean_s = (np.bincount(second, each)[is_there] / counts[is_there] for each in (level, time_s))
    if mean_s.size < _TAIL:
        return None
    rate, error = _line(mean_s, mean_db)
    return Slope(rate, error, _line(mean_s[-_TAIL:], mean_db[-_TAIL:])[0], float(mean_db.max() - mean_db[-1]))


def _swings(hz: Floats, at: npt.NDArray[np.int64], frames: int, cycle: float | None) -> list[npt.NDArray[np.float64]]:
    """Return what the siren's own level may be made of, float64[tonal] each."""
    if cycle is not None and 1.2 * cycle <= frames:
        phase = [at * (2.0 * np.pi * part / cycle) for part in range(1, _HARMONICS + 1)]
        return [wave(each) for each in phase for wave in (np.cos, np.sin)]
    octaves = np.log2(np.maximum(hz, 1.0)).astype(np.float64)
    octaves -= octaves.mean()
    return [octaves, np.square(octaves)]


def _line(time_s: npt.NDArray[np.float64], level_db: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the slope of the least-squares line and how far it may be off: its standard error, more of few points."""
    since = time_s - time_s.mean()
    spread = float(since @ since)
    rate = float(since @ level_db) / spread
    off = level_db - level_db.mean() - rate * since
    free = max(1, time_s.size - 2)
    return rate, float(np.sqrt(off @ off / free / spread)) * (1.0 + _SURER / free)
