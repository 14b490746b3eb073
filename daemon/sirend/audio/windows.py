"""Blocks of any length become 2 s windows at multiples of the hop; no window spans a gap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sirend.audio.stream import Block, Samples, Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sirend.audio.stream import Gap, Pcm


class Windows:
    """Slides a window over the stream. The same samples give the same windows however they were cut into blocks."""

    def __init__(self, *, window: int, hop: int, channels: Sequence[int]) -> None:
        """Yield windows of ``window`` samples whose ends are multiples of ``hop`` (both in samples).

        ``channels`` names, in the order of the approaches, the column of a block that each approach listens to.
        """
        if not 0 < hop <= window:
            raise ValueError(f"hop must lie in 1..{window} samples, not {hop}")
        self._window = window
        self._hop = hop
        self._channels = list(channels)
        self._restart()

    def of(self, channels: Sequence[int]) -> Windows:
        """Return new windows of the same length and hop over other columns."""
        return Windows(window=self._window, hop=self._hop, channels=channels)

    def _restart(self) -> None:
        self._recent = np.zeros((len(self._channels), 0), np.float32)
        self._parts: list[Pcm] = []
        self._next: int | None = None
        self._previous_end = 0

    def push(self, item: Block | Gap) -> Iterator[Window]:
        """Take the next block, or forget everything at a gap; yield each window that is now complete, oldest first."""
        if not isinstance(item, Block):
            self._restart()
            return
        if not len(item.pcm):
            return  # the sign of life of an input that is sought; hours of them must not add up
        if self._next is None:
            self._next = -(-(item.start + self._window) // self._hop) * self._hop
        self._parts.append(item.pcm)
        if self._next > item.end:
            return  # a microphone's block is a twelfth of a hop: joining them at each would cost more than all the rest
        arrived = np.concatenate(self._parts)[:, self._channels].T
        recent = np.concatenate((self._recent, arrived), axis=1)
        start = item.end - recent.shape[1]
        while self._next <= item.end:
            end = self._next
            fresh = min(self._window, end - self._previous_end) if self._previous_end else self._window
            offset = end - self._window - start
            self._previous_end, self._next = end, end + self._hop
            yield Window(Samples(end), np.ascontiguousarray(recent[:, offset : offset + self._window]), fresh)
        self._recent, self._parts = recent[:, max(0, self._next - self._window - start) :], []
