"""Overlapping frames of a stretch of sound, as a view: nothing is copied."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sirend.audio.stream import Pcm


def framed(pcm: Pcm, length: int, step: int) -> Pcm:
    """Return all frames float32[..., frames, length] of ``pcm`` float32[..., n], one every ``step`` from the first.

    Built by hand, for numpy's own sliding window takes longer than the work on a hop. Not to be written to. Raises
    ``ValueError`` where ``pcm`` is shorter than a frame.
    """
    pcm = np.ascontiguousarray(pcm, np.float32)
    if pcm.shape[-1] < length:
        raise ValueError(f"{pcm.shape[-1]} samples have no frame of {length}")
    shape = (*pcm.shape[:-1], 1 + (pcm.shape[-1] - length) // step, length)
    return np.ndarray(shape, np.float32, pcm, 0, (*pcm.strides[:-1], step * pcm.itemsize, pcm.itemsize))
