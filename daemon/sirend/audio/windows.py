"""Blocks of any length become 2 s windows at multiples of the hop; no window spans a gap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sirend.audio.stream import Block, Samples, Window
from sirend.audio.tape import Tape

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
        self._columns = _columns(channels)
        self._recent = Tape(window)
        self._restart()

    def of(self, channels: Sequence[int]) -> Windows:
        """Return new windows of the same length and hop over other columns."""
        return Windows(window=self._window, hop=self._hop, channels=channels)

    def _restart(self) -> None:
        self._recent.clear()
        self._parts: list[Pcm] = []
        self._next: int | None = None
        self._previous_end = 0

    def push(self, item: Block | Gap) -> Iterator[Window]:
        """Take the next block, or forget everything at a gap; return each window that is now complete, oldest first.

        To be iterated over before the next item is pushed.
        """
        if not isinstance(item, Block):
            self._restart()
            return iter(())
        if not len(item.pcm):
            return iter(())  # the sign of life of an input that is sought; hours of them must not add up
        if self._next is None:
            self._next = -(-(item.start + self._window) // self._hop) * self._hop
        self._parts.append(item.pcm)
        # A microphone's block is a twelfth of a hop: joining them at each would cost more than all the rest.
        end = item.end
        return iter(()) if self._next > end else self._cut(self._next, end)

    def _cut(self, end: int, until: Samples) -> Iterator[Window]:
        """Yield the windows that end from ``end`` to ``until``, which are views: nothing of them is copied again."""
        recent = self._recent.append(np.concatenate(self._parts)[:, self._columns].T)
        self._parts = []
        start = until - recent.shape[1]
        while end <= until:
            fresh = min(self._window, end - self._previous_end) if self._previous_end else self._window
            offset = end - self._window - start
            yield Window(Samples(end), recent[:, offset : offset + self._window], fresh)
            self._previous_end, end = end, end + self._hop
        self._next = end


def _columns(channels: Sequence[int]) -> slice | list[int]:
    """Return what takes ``channels`` out of a block: where they lie side by side a slice, which copies nothing."""
    first = channels[0]
    if list(channels) == list(range(first, first + len(channels))):
        return slice(first, first + len(channels))
    return list(channels)
