"""What a device delivers on its way to the worker: a ring on the device's side, blocks at 16 kHz on the other."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from sirend.audio.resample import Resampler
from sirend.audio.ring import Ring
from sirend.audio.stream import SAMPLE_RATE_HZ, Block, Samples

if TYPE_CHECKING:
    from sirend.audio.stream import Pcm

RING_S = 4.0
"""How late the worker may be before samples are dropped."""


class Intake:
    """Counts samples over every device that it was opened for.

    ``deliver`` is called on the device's thread, everything else on the worker's.
    """

    def __init__(self, channels: int) -> None:
        """Begin closed, at sample 0, for blocks of so many ``channels``."""
        self._channels = channels
        self._ring = Ring(1, channels)
        self._rate_hz = SAMPLE_RATE_HZ
        self._resampler = Resampler(SAMPLE_RATE_HZ, channels)
        self._gaps: deque[int] = deque(maxlen=1_000)
        """Frames of the ring before which some are missing."""
        self._given = 0
        self._given_before = 0
        self._taken_before = 0
        self._dropped_before = 0

    def open(self, rate_hz: int, *, is_after_loss: bool = False) -> None:
        """Be ready for a device of ``rate_hz``; with ``is_after_loss`` samples are missing before its first."""
        self._use_ring(round(RING_S * rate_hz), rate_hz)
        if is_after_loss:
            self._gaps.appendleft(0)

    def close(self, *, drops: bool = False) -> None:
        """Let go what no device delivers any more; what nobody took of it counts as dropped if ``drops``."""
        if drops:
            self._dropped_before += self._ring.waiting * SAMPLE_RATE_HZ // self._rate_hz
        self._use_ring(1, SAMPLE_RATE_HZ)

    def deliver(self, frames: Pcm, is_after_loss: bool) -> None:
        """Take float32[n, channels] on the device's thread: copy it, and note where samples are missing."""
        if is_after_loss:
            self._gaps.append(self._ring.written)
        if self._ring.write(frames):
            self._gaps.append(self._ring.written)

    @property
    def position(self) -> Samples:
        """Count of the samples that were given as blocks."""
        return Samples(self._given)

    @property
    def dropped(self) -> int:
        """Samples dropped since the beginning because the worker was late."""
        return self._dropped_before + self._ring.dropped * SAMPLE_RATE_HZ // self._rate_hz

    def arrived(self) -> int:
        """Return the count of samples that have arrived, those not yet taken included."""
        frames = self._ring.written - self._taken_before
        return self._given_before + frames * SAMPLE_RATE_HZ // self._rate_hz

    def passes_gap(self) -> bool:
        """Return whether samples are missing before those that come next, which then begin a stretch of their own."""
        if self._until_gap() > 0:
            return False
        while self._gaps and self._until_gap() <= 0:
            self._gaps.popleft()
        self.begin()
        return True

    def wait(self, timeout_s: float) -> bool:
        """Wait until there is something to read, at most ``timeout_s``; return whether there is."""
        return self._ring.wait(timeout_s)

    def read(self) -> Pcm:
        """Return what has come until now or until the next gap: float32[n, channels] at the device's rate."""
        return self._ring.read(self._until_gap())

    def begin(self, pcm: Pcm | None = None) -> None:
        """Start a continuous stretch of samples: after opening, after each gap, or with ``pcm``, just read."""
        self._resampler = Resampler(self._rate_hz, self._channels)
        self._given_before = self._given
        self._taken_before = self._taken - (0 if pcm is None else len(pcm))

    def block(self, pcm: Pcm) -> Block:
        """Return ``pcm``, as it was read, as the next block at 16 kHz."""
        resampled = self._resampler.push(pcm)
        start = Samples(self._given)
        self._given += len(resampled)
        return Block(start, resampled)

    def nothing(self) -> Block:
        """Return an empty block."""
        return Block(Samples(self._given), np.zeros((0, self._channels), dtype=np.float32))

    @property
    def _taken(self) -> int:
        """Frames read from the ring since the device was opened."""
        return self._ring.written - self._ring.waiting

    def _until_gap(self) -> int:
        """Return how many frames may be read before the next gap."""
        return self._gaps[0] - self._taken if self._gaps else self._ring.capacity

    def _use_ring(self, frames: int, rate_hz: int) -> None:
        """Take a new ring of so many frames; what was dropped from the one before is counted, once."""
        self._dropped_before = self.dropped
        self._ring, self._rate_hz = Ring(frames, self._channels), rate_hz
        self._gaps.clear()
        self.begin()
