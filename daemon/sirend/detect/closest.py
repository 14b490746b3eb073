"""Whether a siren has been nearest yet: what its level over the last seconds says of the way it drives.

A vehicle that drives past at a steady speed is heard by the law of inverse distance: only when it is nearest, and how
sharply it passes, are unknown. Each such way is laid over the level together with what the siren's own cycle does to
it; how far the level lies off tells how likely the way is. A level that is about to turn fits ways that have and ways
that have not turned alike, so nothing is claimed then.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.detect.pitch import STEP, TONAL

if TYPE_CHECKING:
    from sirend.detect.pitch import Floats

STEP_S = STEP / SAMPLE_RATE_HZ
MEMORY_S = 24.0
"""What is laid over: 12 s have twice the wrong signs, of sirens that drive away behind a road's reflection."""
LEAST_S = 4.0
_LEAST_TONAL_S = 3.5
_ENOUGH = 0.4
"""Share of the frames that must be tonal."""
_MOVING = 0.02
"""Standard deviation of a siren's pitch, octaves; a steady tone is none."""
_BIN = 8
"""Frames that are averaged, a quarter of a second."""
_HARMONICS = 3
_STREET = 0.2
"""Strength that a street has alone: so much of a frame's level is the street's."""
_AWAY_S = (
    0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.5, 4.25, 5.0, 6.0, 7.0, 8.0, 9.5, 11.0, 13.0, 15.0, 18.0, 22.0, 27.0, 33.0,
    40.0, 50.0, 65.0,
)  # fmt: skip
"""Time to the closest point, or since it."""
_SHARPNESS_S = (0.3, 0.6, 1.0, 1.7)
"""Distance at the closest point over speed: 5 m at 60 km/h to 17 m at 36."""
AIR_DB_S = 0.1
"""What the air takes of a tone on the way of a second: .7 dB in 100 m at 1 kHz, at 50 km/h."""
_USUAL_S = 20.0
"""Ways become less usual beyond so long before or after the closest point: most sirens are heard for so long."""
_RESTING = 0.05
"""How usual a siren is that stands still."""
_SCATTER_DB = 1.5
"""How far the mean level of a second lies off a way; what is seen replaces it, as of so many seconds:"""
_SCATTER_OF_S = 4.0


@dataclass(frozen=True, slots=True)
class Closest:
    """How likely a siren's closest point lies where; the three add up to 1."""

    ahead: float
    """It is still to come."""
    behind: float
    """It has been."""
    resting: float
    """There is none: the level stands still."""
    span_s: float
    """Seconds of tone that say so."""


def find_closest(hz: Floats, strength: Floats, level_dbfs: Floats, cycle: float | None) -> Closest | None:
    """Return where the closest point lies, by frames float32[n], ``pitch.STEP`` apart, the last one now.

    ``cycle`` is the length of the siren's cycle in frames, None where none is known: then the level may follow pitch.
    None is returned for less than ``LEAST_S``, for few tonal frames and for a steady tone.
    """
    frames = min(hz.size, round(MEMORY_S / STEP_S))
    hz, strength, level_dbfs = hz[hz.size - frames :], strength[hz.size - frames :], level_dbfs[hz.size - frames :]
    at = np.flatnonzero(strength >= TONAL)
    if frames * STEP_S < LEAST_S or at.size < max(_ENOUGH * frames, _LEAST_TONAL_S / STEP_S):
        return None
    octaves = np.log2(np.maximum(hz[at], 1.0)).astype(np.float64)
    if np.std(octaves) < _MOVING:
        return None
    parts = np.column_stack((level_of_tone(level_dbfs[at], strength[at]), *_swings(octaves, at, frames, cycle)))
    number = (frames - 1 - at) // _BIN
    counts = np.bincount(number)
    is_there = counts > 0
    means = np.stack([np.bincount(number, part) for part in parts.T], axis=1)[is_there] / counts[is_there, np.newaxis]
    weight = np.sqrt(counts[is_there, np.newaxis] / _BIN)
    off = weight * (means[:, :1] - _ways().level_db[: counts.size][is_there])
    own, _ = np.linalg.qr(weight * np.column_stack((np.ones(len(means)), means[:, 1:])))
    # Loudness and cycle are the siren's own, and fitted to each way: what they explain is no sum of squares.
    squares = np.einsum("ij,ij->j", off, off) - np.square(own.T @ off).sum(axis=0)
    squares = np.maximum(squares, 0.0) * (_BIN * STEP_S)
    seconds = float(np.square(weight).sum()) * _BIN * STEP_S
    likely = -0.5 * (_SCATTER_OF_S + seconds) * np.log(_SCATTER_OF_S * _SCATTER_DB**2 + squares)
    chance = np.exp(likely - likely.max()) * _ways().usual
    chance /= chance.sum()
    is_ahead = _ways().to_s > 0.0
    ahead, resting = float(chance[is_ahead].sum()), float(chance[-1])
    return Closest(ahead, max(0.0, 1.0 - ahead - resting), resting, seconds)


@dataclass(frozen=True)
class _Ways:
    """The ways that a siren may drive; the last one is to stand still."""

    to_s: npt.NDArray[np.float64]
    """Time from now to the closest point, float64[ways], negative when it has been; NaN of the last."""
    level_db: npt.NDArray[np.float64]
    """Level at each bin, counted back from now, float64[bins, ways]."""
    usual: npt.NDArray[np.float64]
    """How usual each is, float64[ways]; adds up to 1."""


@cache
def _ways() -> _Ways:
    away = np.array(_AWAY_S)
    to_s = np.concatenate((-away[::-1], away))
    width = np.gradient(to_s)
    usual = np.outer(width * np.exp(-np.abs(to_s) / _USUAL_S), np.ones(len(_SHARPNESS_S))).ravel()
    to_s, sharpness_s = (each.ravel() for each in np.meshgrid(to_s, _SHARPNESS_S, indexing="ij"))
    bins = round(MEMORY_S / STEP_S / _BIN)
    back_s = (np.arange(bins) * _BIN + 0.5 * (_BIN - 1)) * STEP_S
    far_s = np.hypot(back_s[:, np.newaxis] + to_s, sharpness_s)
    level_db = -20.0 * np.log10(far_s) - AIR_DB_S * far_s
    return _Ways(
        to_s=np.append(to_s, np.nan),
        level_db=np.column_stack((level_db, np.zeros(bins))),
        usual=np.append((1.0 - _RESTING) * usual / usual.sum(), _RESTING),
    )


def level_of_tone(level_dbfs: Floats, strength: Floats) -> npt.NDArray[np.float64]:
    """Return the level of frames less the street's share in it, dB float64[n]: a faint tone's would rise too little."""
    share = np.maximum(strength - _STREET, 0.1 * _STREET) / (strength * (1.0 - _STREET))
    return np.asarray(level_dbfs + 10.0 * np.log10(share.astype(np.float64)))


def _swings(
    octaves: npt.NDArray[np.float64], at: npt.NDArray[np.int64], frames: int, cycle: float | None
) -> list[npt.NDArray[np.float64]]:
    """Return what the siren's own level may be made of, float64[tonal] each."""
    if cycle is not None and 1.2 * cycle <= frames:
        phase = [at * (2.0 * np.pi * part / cycle) for part in range(1, _HARMONICS + 1)]
        return [wave(each) for each in phase for wave in (np.cos, np.sin)]
    moved = octaves - octaves.mean()
    return [moved, np.square(moved)]
