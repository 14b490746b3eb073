"""Any sample rate becomes 16 kHz. Sources are the only users; the filter is that of ``soxr``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import soxr

from sirend.audio.stream import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from sirend.audio.stream import Pcm

LOWEST_HZ = 1_000
HIGHEST_HZ = 1_000_000
"""Rates outside are errors in a header, not recordings."""
QUALITY = "HQ"
"""20 bits: flat up to 7.3 kHz, aliases at least 128 dB down. Measured at 44.1 and 48 kHz, the next quality up holds
back twice as much, and the next one down no less."""


class Resampler:
    """Linear-phase conversion of ``rate_hz`` to 16 kHz. The same samples give the same bytes however they were cut.

    Output ``k`` is the signal at ``k / 16000`` s: the delay of the filter is compensated, so times stay true. It is
    computed in blocks, so that outputs come after their inputs by up to 41 ms at 44.1 and 48 kHz, 80 ms at 96 kHz and
    115 ms at 8 kHz (half of it on average). At 16 kHz nothing is done at all.
    """

    def __init__(self, rate_hz: int, channels: int) -> None:
        """Convert float32[n, channels] at ``rate_hz`` (``LOWEST_HZ``..``HIGHEST_HZ``; ``ValueError`` outside)."""
        if not LOWEST_HZ <= rate_hz <= HIGHEST_HZ:
            raise ValueError(f"a sample rate lies in {LOWEST_HZ}..{HIGHEST_HZ} Hz, not {rate_hz}")
        self._nothing: Pcm = np.zeros((0, channels), dtype=np.float32)
        self._stream = None
        if rate_hz != SAMPLE_RATE_HZ:
            self._stream = soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, channels, dtype="float32", quality=QUALITY)

    def push(self, pcm: Pcm) -> Pcm:
        """Take the next float32[n, channels]; return what is now complete, float32[m, channels] at 16 kHz."""
        return pcm if self._stream is None else self._stream.resample_chunk(pcm)

    def finish(self) -> Pcm:
        """Return the rest once the stream has ended: the whole is as long as the input, to half a sample."""
        return self._nothing if self._stream is None else self._stream.resample_chunk(self._nothing, last=True)
