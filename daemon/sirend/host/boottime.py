"""The time since the host was started, which nobody sets."""

from __future__ import annotations

import time


def boottime_s() -> float:
    """Return it in s; it goes on while the host is suspended, as ``time.monotonic`` does not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
