"""When the configuration forbids calls: its times of day in the host's zone, asked at a count of samples."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sirend.audio.stream import to_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sirend.audio.stream import Samples
    from sirend.call.clock import Clock
    from sirend.config.settings import Inhibit

_ZONE = to_samples(10.0)


def schedule(inhibit: Sequence[Inhibit], clock: Clock) -> Callable[[Samples], bool]:
    """Return a function that tells whether ``inhibit``, in the host's local time, forbids calls at a sample.

    The host's time zone is looked up again every ``_ZONE``: the C library knows the one of the start only.
    """
    due_at = 0

    def is_inhibited(sample: Samples) -> bool:
        nonlocal due_at
        if inhibit and sample >= due_at:
            due_at = sample + _ZONE
            time.tzset()
        return any(entry.covers(clock.utc(sample).astimezone()) for entry in inhibit)

    return is_inhibited
