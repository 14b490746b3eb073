"""What kind of siren sounds, from its pitch over the last seconds; `unknown` in doubt.

Two-tones dwell on two pitches, sweeps pass over all between their ends: slow ones are wails, those of two to five a
second yelps; those that no pitch follows flutter, and are phasers. A steady tone with pauses is a horn where it is low
and pulsed where it is high.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.detect import flutter
from sirend.detect.motion import cycle_of
from sirend.detect.pitch import STEP, TONAL

if TYPE_CHECKING:
    from sirend.audio.stream import Pcm
    from sirend.detect.pitch import Floats, Pitch

STEP_S = STEP / SAMPLE_RATE_HZ
MEMORY_S = 8.0
"""What is judged: two cycles of most wails, and not much of the tone that sounded before."""
LEAST_S = 3.0
"""Time under which nothing is said: two changes of the slowest two-tone but Italy's."""
_ENOUGH = 0.5
"""Share of the frames that must be tonal; a horn sounds two thirds of the time."""
_NEAR = 0.03
"""Octaves about a pitch that count as that pitch: 2 %, as regulations allow; a vehicle's Doppler shift is 4 %."""
_DWELLING = 0.85
"""Share of the tonal frames on one or two pitches that makes it a steady tone, or a two-tone."""
_PASSING = 0.65
"""Share below which a pitch does not dwell: a sweep is on any two pitches for half of the time at most."""
_SECOND = 0.2
"""Least share of the second pitch."""
_APART = (0.1, 0.95)
"""Octaves between the two; a whole one is a mistaken partial. The French fire brigade's are .17 apart."""
_DWELL_S = 0.22
"""A pitch of a two-tone is held for so long at least."""
_SPAN = 0.35
"""Octaves that a sweep covers; sirens cover .8 to 1.6."""
_SMOOTH = 0.85
"""Share of neighbouring frames of a sweep without a jump."""
_YELP_S = (0.2, 0.5)
"""Cycle of a yelp: 120 to 300 a minute (California Title 13, 1028: 150 to 250)."""
_WAIL_OCTAVES_S = (0.08, 1.8)
"""Median slope of a wail; a yelp has 5 to 12, 10 wails a minute from .35 octaves on .1."""
_HORN_HZ = 600.0
_PULSE_S = 0.8
_FLUTTER = 0.75
"""Share of the movement that a phaser's flutter has; a horn's beginnings and ends had .7 once in 29 windows."""


class Tone(StrEnum):
    """Kinds of siren."""

    WAIL = "wail"
    YELP = "yelp"
    HILO = "hilo"
    PHASER = "phaser"
    PULSED = "pulsed"
    HORN = "horn"
    MIXED = "mixed"
    UNKNOWN = "unknown"


def tone_of(pitch: Pitch, row: int, since: int, pcm: Pcm | None = None) -> Tone:
    """Return the tone of approach ``row`` from the frames of ``pitch`` whose middle lies at ``since`` or later.

    ``pcm``, float32[n], is what sounded last, some 2 s of it; without it no phaser is named.

    ``mixed`` is a siren whose tone changed within the last ``MEMORY_S``: both halves are certain, and differ.
    """
    if not pitch.at.size:
        return Tone.UNKNOWN
    begin = int(np.searchsorted(pitch.at, max(since, pitch.at[-1] - MEMORY_S * SAMPLE_RATE_HZ)))
    hz, strength = pitch.hz[row, begin:], pitch.strength[row, begin:]
    whole = tone_of_pitch(hz, strength)
    if whole is Tone.UNKNOWN and pcm is not None and hz.size * STEP_S >= LEAST_S and flutter.strength(pcm) >= _FLUTTER:
        return Tone.PHASER
    half = hz.size // 2
    if half * STEP_S < LEAST_S:
        return whole
    first, last = tone_of_pitch(hz[:half], strength[:half]), tone_of_pitch(hz[half:], strength[half:])
    return Tone.MIXED if Tone.UNKNOWN not in (first, last) and first is not last else whole


def tone_of_pitch(hz: Floats, strength: Floats) -> Tone:
    """Return the tone of frames float32[n], ``pitch.STEP`` apart."""
    is_tonal = strength >= TONAL
    if hz.size * STEP_S < LEAST_S or np.count_nonzero(is_tonal) < _ENOUGH * hz.size:
        return Tone.UNKNOWN
    octaves = np.log2(np.maximum(hz, 1.0)).astype(np.float64)
    first, second = _pitches(octaves[is_tonal])
    at_first, at_second = (is_tonal & (np.abs(octaves - each) <= _NEAR) for each in (first, second))
    tonal = np.count_nonzero(is_tonal)
    if np.count_nonzero(at_first) >= _DWELLING * tonal:
        return _steady(2.0**first, is_tonal)
    is_both = np.count_nonzero(at_first | at_second) >= _DWELLING * tonal
    if is_both and np.count_nonzero(at_second) >= _SECOND * tonal and _APART[0] <= abs(first - second) <= _APART[1]:
        held = [_runs_s(each) for each in (at_first, at_second)]
        enough = all(len(each) > 1 and np.median(each) >= _DWELL_S for each in held)
        return Tone.HILO if enough else Tone.UNKNOWN
    return _sweep(octaves, is_tonal) if np.count_nonzero(at_first | at_second) < _PASSING * tonal else Tone.UNKNOWN


def _steady(hz: float, is_tonal: npt.NDArray[np.bool_]) -> Tone:
    """Return what a tone of one pitch is, from its pauses; one without is nothing that is known here."""
    sounding, pauses = _runs_s(is_tonal), _runs_s(~is_tonal)
    if min(len(sounding), len(pauses)) < 3 or np.median(pauses) < 2.0 * STEP_S:  # noqa: PLR2004  two pauses and an end
        return Tone.UNKNOWN
    if hz < _HORN_HZ:
        return Tone.HORN
    return Tone.PULSED if float(np.median(sounding)) < _PULSE_S else Tone.UNKNOWN


def _sweep(octaves: npt.NDArray[np.float64], is_tonal: npt.NDArray[np.bool_]) -> Tone:
    """Return what a moving pitch is."""
    low, high = np.percentile(octaves[is_tonal], [10.0, 90.0])
    if high - low < _SPAN:
        return Tone.UNKNOWN
    pairs = is_tonal[1:] & is_tonal[:-1]
    steps = np.abs(np.diff(octaves))[pairs]
    slope = float(np.median(steps)) / STEP_S
    cycle = cycle_of(octaves, is_tonal)
    if cycle is not None and _YELP_S[0] <= cycle * STEP_S <= _YELP_S[1] and slope > _WAIL_OCTAVES_S[1]:
        return Tone.YELP
    is_smooth = np.count_nonzero(steps < 3.0 * _WAIL_OCTAVES_S[1] * STEP_S) >= _SMOOTH * steps.size
    if is_smooth and _WAIL_OCTAVES_S[0] <= slope <= _WAIL_OCTAVES_S[1]:
        return Tone.WAIL
    return Tone.UNKNOWN


def _pitches(octaves: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the two pitches, in octaves, about which the most frames lie; the second clear of the first."""
    grid = np.arange(octaves.min(), octaves.max() + _NEAR, _NEAR / 3.0)
    ordered = np.sort(octaves)

    def count(middle: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        return np.searchsorted(ordered, middle + _NEAR) - np.searchsorted(ordered, middle - _NEAR)

    counts = count(grid)
    first = float(grid[np.argmax(counts)])
    counts = np.where(np.abs(grid - first) > 2.0 * _NEAR, counts, -1)
    return first, float(grid[np.argmax(counts)])


def _runs_s(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return the lengths of the runs of true frames, s."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return np.asarray((edges[1::2] - edges[::2]) * STEP_S)
