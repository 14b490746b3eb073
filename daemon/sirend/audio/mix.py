"""How the channels of a recording become one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sirend.audio.stream import Pcm

DEAD_DB = 60.0
"""A channel that far below the loudest one holds nothing that could be heard beside it."""
OPPOSITE = -0.5
"""Correlation with the loudest channel from which one counts as wired the wrong way round."""


@dataclass(frozen=True, slots=True)
class Mix:
    """The weight of each channel, and what is worth a word about it."""

    weights: Pcm | None
    """float32[channels]; None is the plain mean."""
    warnings: tuple[str, ...] = ()

    def of(self, pcm: Pcm) -> Pcm:
        """Return float32[n, channels] as float32[n, 1]."""
        if self.weights is None:
            return np.asarray(pcm.mean(axis=1, keepdims=True, dtype=np.float32))
        return np.asarray((pcm @ self.weights)[:, np.newaxis])


def mix_of(pieces: Iterable[Pcm]) -> Mix:
    """Return how to mix a recording, whose ``pieces`` are finite float32[n, channels], so that nothing cancels out.

    A dead channel is left out, for its part of the mean would be lost level; one of opposite polarity is turned round.
    """
    product: np.ndarray | None = None
    for pcm in pieces:
        wide = pcm.astype(np.float64)
        product = wide.T @ wide + (0.0 if product is None else product)
    if product is None or not np.any(power := np.diag(product)):
        return Mix(None)
    loudest = int(np.argmax(power))
    is_dead = power < power[loudest] * 10.0 ** (-DEAD_DB / 10.0)
    like = product[loudest] / np.sqrt(np.where(is_dead, 1.0, power) * power[loudest])
    is_turned = ~is_dead & (like < OPPOSITE)
    if not (is_dead | is_turned).any():
        return Mix(None)
    weights = np.where(is_dead, 0.0, np.where(is_turned, -1.0, 1.0)) / np.count_nonzero(~is_dead)
    warnings = []
    if is_dead.any():
        warnings.append(f"{_named(is_dead)} silent beside the others and left out of the mix")
    if is_turned.any():
        warnings.append(f"{_named(is_turned)} of opposite polarity and turned round, or the mix would cancel out")
    return Mix(weights.astype(np.float32), tuple(warnings))


def _named(chosen: np.ndarray) -> str:
    """Return the ``chosen`` channels in words, counted from 0 as in the configuration."""
    numbers = [str(number) for number in np.flatnonzero(chosen)]
    return f"channel {numbers[0]} is" if len(numbers) == 1 else f"channels {', '.join(numbers)} are"
