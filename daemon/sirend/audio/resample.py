"""Any sample rate becomes 16 kHz: a streaming polyphase resampler. Sources are the only users.

Own code because ``scipy.signal`` costs 49 MB of memory and a second of start-up, measured, and cannot stream.
"""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from sirend.audio.stream import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from sirend.audio.stream import Pcm

LOWEST_HZ = 1_000
HIGHEST_HZ = 1_000_000
"""Rates outside are errors in a header, not recordings."""

STOPBAND_DB = 80.0
"""Attenuation of aliases and images: below the noise of 12-bit audio."""
TRANSITION = 1.0 / 16.0
"""Width of the transition band relative to the lower rate: 7.5..8.5 kHz at 16 kHz, so that aliases fold above the
bands of the features."""
DENSE_LIMIT = 2_000_000
"""Entries (8 MB) up to which one period of the filter is kept as a matrix, 5 times faster than gathering."""


class Resampler:
    """Linear-phase conversion of ``rate_hz`` to 16 kHz. The same samples give the same bytes however they were cut.

    Output ``k`` is the signal at ``k / 16000`` s: the delay of the filter is compensated, so times stay true.
    """

    def __init__(self, rate_hz: int, channels: int, quantum: int = 1_600) -> None:
        """Convert float32[n, channels] at ``rate_hz`` (``LOWEST_HZ``..``HIGHEST_HZ``; ``ValueError`` outside).

        About ``quantum`` outputs are computed at a time, and so late they may come: 100 ms, which suits files. Their
        number does not depend on the caller's blocks, for rounding in a product of matrices depends on its shape.
        """
        if not LOWEST_HZ <= rate_hz <= HIGHEST_HZ:
            raise ValueError(f"a sample rate lies in {LOWEST_HZ}..{HIGHEST_HZ} Hz, not {rate_hz}")
        common = gcd(rate_hz, SAMPLE_RATE_HZ)
        self._up, self._down = SAMPLE_RATE_HZ // common, rate_hz // common
        periods = max(1, quantum // self._up)
        self._outputs, self._inputs = self._up * periods, self._down * periods
        bank = _filter_bank(rate_hz, self._up, self._down)
        self._taps = bank.shape[1]
        self._past = self._taps // 2 - 1
        self._bank = bank
        self._dense = self._matrix() if self._up * (self._down + self._taps) <= DENSE_LIMIT else None
        self._waiting: Pcm = np.zeros((self._past, channels), dtype=np.float32)
        self._pushed = 0
        self._given = 0

    def _matrix(self) -> Pcm:
        """Return one period of the filter as float32[down + taps, up]: its inputs in rows, its outputs in columns."""
        matrix = np.zeros((self._down + self._taps, self._up), dtype=np.float32)
        for output in range(self._up):
            first = output * self._down // self._up
            matrix[first : first + self._taps, output] = self._bank[output]
        return matrix

    def push(self, pcm: Pcm) -> Pcm:
        """Take the next float32[n, channels]; return what is now complete, float32[m, channels] at 16 kHz."""
        self._pushed += len(pcm)
        self._waiting = np.concatenate((self._waiting, pcm))
        done = []
        while len(self._waiting) >= self._inputs + self._taps:
            done.append(self._convert(self._waiting[: self._inputs + self._taps]))
            self._waiting = self._waiting[self._inputs :]
        out = np.concatenate(done) if done else self._waiting[:0].copy()
        self._given += len(out)
        return out

    def finish(self) -> Pcm:
        """Return the rest once the stream has ended: outputs exist for as long as the input lasted, and no longer."""
        total = -(-self._pushed * self._up // self._down)
        missing = total - self._given
        if missing <= 0:
            return self._waiting[:0].copy()
        periods = -(-missing // self._outputs)
        silence = np.zeros((periods * self._inputs + self._taps, self._waiting.shape[1]), dtype=np.float32)
        return self.push(silence)[:missing]

    def _convert(self, pcm: Pcm) -> Pcm:
        """Return the outputs of one quantum of inputs with what surrounds it, float32[inputs + taps, channels]."""
        channels = pcm.shape[1]
        framed = np.lib.stride_tricks.sliding_window_view
        if self._dense is None:
            output = np.arange(self._outputs)
            windows = framed(pcm, self._taps, axis=0)[output * self._down // self._up]
            return np.asarray(np.einsum("nct,nt->nc", windows, self._bank[output % self._up]))
        width = len(self._dense)
        windows = np.ascontiguousarray(framed(pcm, width, axis=0)[: self._inputs : self._down])
        out = (windows.reshape(-1, width) @ self._dense).reshape(-1, channels, self._up)
        return np.ascontiguousarray(out.transpose(0, 2, 1)).reshape(-1, channels)


def _filter_bank(rate_hz: int, up: int, down: int) -> Pcm:
    """Return the anti-alias filter seen from each of ``up`` output phases, float32[up, taps], each of unit sum.

    A sinc under a Kaiser window; length and shape after Kaiser's formulas (Oppenheim & Schafer, "Discrete-Time Signal
    Processing", 7.5.3).
    """
    lower_hz = min(rate_hz, SAMPLE_RATE_HZ)
    width = 2.0 * np.pi * TRANSITION * lower_hz / rate_hz
    half = int(np.ceil((STOPBAND_DB - 7.95) / (2.285 * width) / 2.0))
    beta = 0.1102 * (STOPBAND_DB - 8.7)
    phase = (np.arange(up) * down % up) / up
    offset = np.arange(1 - half, half + 1) - phase[:, np.newaxis]
    sinc = np.sinc(offset * lower_hz / rate_hz)
    kaiser = np.i0(beta * np.sqrt(np.maximum(0.0, 1.0 - np.square(offset / half))))
    bank = sinc * kaiser
    return np.asarray(bank / bank.sum(axis=1, keepdims=True), dtype=np.float32)
