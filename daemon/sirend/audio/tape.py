"""The last of what grows along its second axis, in one piece: samples, frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

_ROOM = 2
"""What is remembered moves to a new place once in so many times its length: to move it at each hop costs more."""


class Tape:
    """Remembers the last of float32[rows, n, ...]. What it gives out is a view, and stays as it is."""

    def __init__(self, kept: int) -> None:
        """Remember ``kept`` of the second axis beside what is newest."""
        self._kept = kept
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._array: Floats | None = None
        self._end = 0

    def append(self, new: Floats) -> Floats:
        """Return what is remembered with ``new``, float32[rows, n, ...], after it."""
        begin, end = max(0, self._end - self._kept), self._end + new.shape[1]
        if self._array is None or end > self._array.shape[1]:
            before = new[:, :0] if self._array is None else self._array[:, begin : self._end]
            begin, end = 0, before.shape[1] + new.shape[1]
            self._array = np.empty((len(new), end + _ROOM * self._kept, *new.shape[2:]), np.float32)
            self._array[:, : before.shape[1]] = before
        self._array[:, end - new.shape[1] : end] = new
        self._end = end
        return self._array[:, begin:end]
