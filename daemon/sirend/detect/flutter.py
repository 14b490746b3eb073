"""How strongly a sound flutters: sweeps that follow each other faster than frames of a pitch can tell.

A phaser goes up and down 900 to 1600 times a minute, once in each frame of `pitch`. Here the middle of the spectrum is
followed in frames of 10 ms, and it is asked how much of its movement is one rate and the double of it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import fft

from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.detect.frames import framed

if TYPE_CHECKING:
    from sirend.audio.stream import Pcm

FRAME, STEP = 160, 64
"""Samples in a frame, 10 ms, and between frames, 4 ms."""
BAND_HZ = (500.0, 2500.0)
"""Where the middle of the spectrum is sought: phasers sweep from 725 to 1800 Hz."""
RATES_HZ = (13.0, 30.0)
"""Sweeps a second: 900 to 1600 a minute, with some room (simulate/sirens.py has the source)."""
SLOWEST_HZ = 6.0
"""Movement that is slower is not weighed: a yelp's, and the street's."""
_FFT, _MOVES = 256, 2048
_LOBE_HZ = 1.1
"""A rate over 2 s, through a Hann window, spreads so far to either side."""
_SILENT = 1e-12


def strength(pcm: Pcm) -> float:
    """Return which share of the movement in ``pcm``, float32[n], 2 s, is one flutter: 0..1.

    A phaser 0 dB over the street has .75 and more, all other sirens of the table under .7.
    """
    grid = _grid()
    # Few bins are wanted: a product with their waves takes half as long as a Fourier transform.
    parts = np.square(framed(pcm, FRAME, STEP) @ grid.waves)
    power = parts[:, : grid.hz.size] + parts[:, grid.hz.size :]
    power *= grid.hz  # power x Hz: near white for a street
    middle = power @ grid.octaves / np.maximum(power.sum(axis=1), _SILENT)
    moves = np.square(np.abs(fft.rfft((middle - middle.mean()) * _hanning(middle.size), _MOVES)))
    found_hz = grid.rate_hz[grid.first + int(np.argmax(moves[grid.first : grid.last]))]
    own, double = (float(moves[np.abs(grid.rate_hz - each * found_hz) <= _LOBE_HZ].sum()) for each in (1.0, 2.0))
    # What moves at the double mostly is a faster flutter, of which this is no more than the foot.
    return (own + min(own, double)) / max(float(moves[grid.slowest :].sum()), _SILENT)


class _Grid:
    """What every frame is multiplied by and looked up with."""

    def __init__(self) -> None:
        bins_hz = np.arange(_FFT // 2 + 1) * (SAMPLE_RATE_HZ / _FFT)
        low, high = np.searchsorted(bins_hz, BAND_HZ)
        self.hz: npt.NDArray[np.float32] = bins_hz[low:high].astype(np.float32)
        self.octaves: npt.NDArray[np.float32] = np.log2(self.hz)
        phase = np.outer(np.arange(FRAME), bins_hz[low:high] * (2.0 * np.pi / SAMPLE_RATE_HZ))
        hann = np.hanning(FRAME)[:, np.newaxis]
        self.waves: npt.NDArray[np.float32] = (hann * np.hstack((np.cos(phase), np.sin(phase)))).astype(np.float32)
        """Cosines and sines through the Hann window, float32[FRAME, 2 * bins]."""
        self.rate_hz: npt.NDArray[np.float64] = np.arange(_MOVES // 2 + 1) * np.float64(SAMPLE_RATE_HZ / STEP / _MOVES)
        self.slowest, self.first = (int(each) for each in np.searchsorted(self.rate_hz, (SLOWEST_HZ, RATES_HZ[0])))
        self.last = int(np.searchsorted(self.rate_hz, RATES_HZ[1], side="right"))


@cache
def _grid() -> _Grid:
    return _Grid()


@cache
def _hanning(size: int) -> npt.NDArray[np.float64]:
    return np.asarray(np.hanning(size), np.float64)
