"""How long to wait before the next attempt to connect."""

from __future__ import annotations

import random
from dataclasses import dataclass

URGENT_S = (0.5, 1.0)
"""Between two attempts of a call that waits: about one a second, jittered."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter, so that a city does not return to its broker in one moment."""

    first_s: float = 0.5
    cap_s: float = 30.0

    def delay_s(self, failures: int) -> float:
        """Return a random time between 0 and a bound that doubles with each of ``failures`` in a row, up to the cap."""
        bound = min(self.cap_s, self.first_s * 2.0 ** min(failures, 30))
        return random.uniform(0.0, bound)  # noqa: S311  spread, not secrecy


def urgent_delay_s() -> float:
    """Return the random time, s, from one attempt to the next while a call waits."""
    return random.uniform(*URGENT_S)  # noqa: S311  spread, not secrecy
