"""When the backbone is worth its cost: a far smaller network hears whether there may be a siren at all.

Most seconds of a street hold nothing that a siren could be taken for, and the backbone is most of what a second costs.
While an approach sleeps its score follows the small network's word, and stays far under any threshold; what it slept
through is as if the stream began later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sirend.audio.stream import to_samples
from sirend.detect.network import Network

if TYPE_CHECKING:
    from sirend.audio.stream import Samples
    from sirend.detect.bundle import Bundle
    from sirend.detect.features import Features
    from sirend.detect.memory import Memory

ASLEEP = -3.0
"""Log-odds that no approach which sleeps lies over: .047. By that word alone nothing shall seem nearly called."""


class Waker:
    """Decides at each patch of the head which approaches are listened to."""

    def __init__(self, bundle: Bundle) -> None:
        """Load the network of ``bundle``, where it has one; without it nothing ever sleeps.

        Raises ``ConfigError`` when it is not of the shape that the manifest says.
        """
        self._wake = bundle.streaming.wake
        self._hold = to_samples(self._wake.hold_s if self._wake else 0.0)
        self._network: Network | None = None
        if self._wake is not None:
            shape = (bundle.streaming.patches.patch_frames, bundle.feature_spec.bands)
            self._network = Network(bundle.path, self._wake.model_bytes, rows=1, inputs=[shape], outputs=1)

    @property
    def back(self) -> int:
        """How many patches of the head before the one at which an approach wakes are listened to as well."""
        return self._wake.back if self._wake else 0

    def begins(self, heard: Features, memory: Memory, end: Samples) -> npt.NDArray[np.bool_]:
        """Return which approaches wake, bool[approaches], at the patch ``heard`` that ends at ``end``.

        It is float32[approaches, frames, bands]. Those that sleep from here on lose their history, and have the small
        network's log-odds, brought under ``ASLEEP``. What is believed of a siren keeps an approach awake too.
        """
        if self._wake is None or self._network is None:
            return np.zeros(len(heard), np.bool_)
        log_odds = np.array([self._network(patch)[0, 0] for patch in heard], np.float64)
        if memory.log_odds is None or memory.history is None:
            believed, was_awake = log_odds, np.zeros(len(heard), np.bool_)
        else:
            believed, was_awake = np.maximum(log_odds, memory.log_odds), memory.history[:, -1, -1] > 0.0
        memory.awake_until = np.where(believed > self._wake.over, end + self._hold, memory.awake_until)
        is_awake = memory.awake_until >= end
        if memory.history is not None:
            memory.history = np.where(is_awake[:, np.newaxis, np.newaxis], memory.history, np.float32(0.0))
        shown = log_odds - self._wake.over + ASLEEP
        memory.log_odds = shown if memory.log_odds is None else np.where(is_awake, memory.log_odds, shown)
        return is_awake & ~was_awake

    def is_awake(self, approaches: int, memory: Memory, end: Samples) -> npt.NDArray[np.bool_]:
        """Return which approaches are worth listening to at ``end``, bool[approaches]."""
        return np.full(approaches, self._wake is None) | (memory.awake_until >= end)
