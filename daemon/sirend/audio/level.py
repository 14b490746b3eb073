"""How loud samples are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sirend.audio.stream import SILENCE_DBFS

if TYPE_CHECKING:
    import numpy.typing as npt

    from sirend.audio.stream import Pcm


def levels_dbfs(pcm: Pcm) -> npt.NDArray[np.float64]:
    """Return the RMS level of each row of float32[rows, n], n over 0, as ``level_dbfs`` does: float64[rows]."""
    return np.array([level_dbfs(row) for row in pcm])


def level_dbfs(pcm: Pcm) -> float:
    """Return the RMS level of ``pcm`` in dB relative to full scale (a square wave of amplitude 1 has 0 dBFS).

    Never below ``SILENCE_DBFS``, which also stands for an empty array.
    """
    if pcm.size == 0:
        return SILENCE_DBFS
    flat = pcm.reshape(-1)
    power = float(np.einsum("i,i->", flat, flat)) / flat.size  # of the window, in place: no copy is made of its squares
    return max(SILENCE_DBFS, 10.0 * float(np.log10(power))) if power > 0.0 else SILENCE_DBFS
