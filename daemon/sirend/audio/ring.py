"""A single-producer, single-consumer ring buffer between the PortAudio callback and the worker.

The producer never waits: what does not fit is dropped and counted. ``written`` counts every sample that ever arrived,
so that a sample's number is its time whatever was dropped after it.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sirend.audio.stream import Pcm


class Ring:
    """A bounded buffer of float32 frames. One thread calls ``write``, another ``read``; neither blocks the other."""

    def __init__(self, capacity: int, channels: int) -> None:
        """Allocate room for ``capacity`` frames of ``channels`` samples."""
        if capacity < 1 or channels < 1:
            raise ValueError(f"a ring needs a positive capacity and channel count, not {capacity} x {channels}")
        self._frames = np.zeros((capacity, channels), dtype=np.float32)
        self._written = 0
        self._read = 0
        self._dropped = 0
        self._arrived = threading.Event()

    @property
    def capacity(self) -> int:
        """Frames that fit."""
        return len(self._frames)

    @property
    def written(self) -> int:
        """Frames accepted since the beginning."""
        return self._written

    @property
    def dropped(self) -> int:
        """Frames refused since the beginning because the reader was late."""
        return self._dropped

    @property
    def waiting(self) -> int:
        """Frames accepted and not yet read."""
        return self._written - self._read

    def write(self, frames: Pcm) -> int:
        """Copy as many of ``frames`` (float32[n, channels]) as fit; return how many were dropped (the newest).

        Called on the audio thread: copies and counts, nothing else. The count is advanced last, so that a reader never
        sees a frame that is not there yet.
        """
        room = self.capacity - self.waiting
        taken = min(room, len(frames))
        place = self._written % self.capacity
        first = min(taken, self.capacity - place)
        self._frames[place : place + first] = frames[:first]
        self._frames[: taken - first] = frames[first:taken]
        self._written += taken
        self._dropped += len(frames) - taken
        self._arrived.set()
        return len(frames) - taken

    def read(self, most: int) -> Pcm:
        """Return up to ``most`` of the oldest unread frames as a copy, float32[n, channels]; n is 0 when none wait."""
        count = min(most, self.waiting)
        place = self._read % self.capacity
        first = min(count, self.capacity - place)
        out = np.concatenate((self._frames[place : place + first], self._frames[: count - first]))
        self._read += count
        return out

    def wait(self, timeout_s: float) -> bool:
        """Block the reader until something is unread or ``timeout_s`` passed; return whether something is.

        The event may still be set for frames that were read meanwhile, so waking up alone means nothing.
        """
        deadline_s = time.monotonic() + timeout_s
        while self.waiting == 0:
            self._arrived.clear()
            if self.waiting == 0 and not self._arrived.wait(deadline_s - time.monotonic()):
                return self.waiting > 0
        return True
