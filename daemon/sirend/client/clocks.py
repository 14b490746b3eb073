"""How far a site's clock is from ours, by what it says of itself every 30 s. Pure.

A state counts by both clocks. Where they differ by more than it is valid for, each call would be refused as stale, and
nobody would know before the first: so it is told while nothing calls.
"""

from __future__ import annotations

import json
from collections import deque
from datetime import datetime

BEHIND_S = 2.0
"""A site whose clock is behind by more has calls that count for too short a time, or not at all."""
AHEAD_S = 30.0
"""One that is ahead loses nothing at first; beyond a minute nothing of it counts."""
_SO = "so its calls may not count; let both be set by the same time server"


class ClockOffset:
    """Remembers by how much the last words of a site were ahead of our clock."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._ahead_s: deque[float] = deque(maxlen=2)

    def heard(self, health: bytes, utc: datetime) -> None:
        """Hear a health message that was sent just now, at our time ``utc``; what has no time in it says nothing."""
        try:
            at = datetime.fromisoformat(json.loads(health)["at"])
            self._ahead_s.append((at - utc).total_seconds())
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return

    @property
    def problem(self) -> str | None:
        """Return that the clocks differ by too much, by two words in succession: one may have been held up."""
        if len(self._ahead_s) < 2:  # noqa: PLR2004
            return None
        if max(self._ahead_s) < -BEHIND_S:
            return f"the site's clock is {-max(self._ahead_s):.0f} s behind ours, {_SO}"
        if min(self._ahead_s) > AHEAD_S:
            return f"the site's clock is {min(self._ahead_s):.0f} s ahead of ours, {_SO}"
        return None
