"""Connections that end again and again: told while one stands too, or nobody would ever read it. Pure."""

from __future__ import annotations

from collections import deque

MOST = 3
WITHIN_S = 600.0
"""So many connections that ended within so long a time are too many."""
HINT = "another client comes with the same client id, see mqtt.client_id"
SAYS_SO = "ended the connection: Session taken over"
HINTS_AT_IT = "lost the connection"
"""All that MQTT 3.1.1 has, and all that mosquitto 2.0 says."""


class Unrest:
    """Remembers how the latest connections ended."""

    def __init__(self) -> None:
        """Begin with none."""
        self._ends: deque[tuple[float, str]] = deque(maxlen=MOST)

    def ended(self, why: str, now: float) -> str:
        """Hear why a connection ended at the monotonic time ``now``, s; return that with what may be done about it."""
        told = f"{why}; {HINT}" if why == SAYS_SO else why
        self._ends.append((now, told))
        return told

    def problem(self, now: float) -> str | None:
        """Return what happens again and again, as a predicate of the broker; None when nothing does."""
        ends = tuple(self._ends)
        if len(ends) < MOST or ends[0][0] < now - WITHIN_S:
            return None
        perhaps = f"; perhaps {HINT}" if all(why == HINTS_AT_IT for _, why in ends) else ""
        return f"{ends[-1][1]}; {MOST} times within {WITHIN_S / 60:g} minutes{perhaps}"
