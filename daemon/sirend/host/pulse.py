"""A thread that goes on, as another one sees it: what hangs in a library or the system raises nothing."""

from __future__ import annotations

import time

LOOKS_S = 5.0
"""Whoever looks on less often than this was held up himself, and cannot tell."""


class Pulse:
    """Beaten by a thread each time round; another one asks regularly whether it still is."""

    def __init__(self, most_s: float) -> None:
        """Take a thread that beats less often than every ``most_s`` for one that hangs."""
        self._most_s = most_s
        self._beats = 0
        self._seen = -1
        self._seen_at = self._looked_at = 0.0

    def beat(self) -> None:
        """Show that the thread goes on."""
        self._beats += 1

    def has_stopped(self, now: float | None = None) -> bool:
        """Return whether it was not beaten for too long, as far as one saw who looked on all that time.

        ``now`` is monotonic, s. After both were held up, as in a frozen machine, the time begins anew.
        """
        now = time.monotonic() if now is None else now
        was_away = now - self._looked_at > LOOKS_S
        self._looked_at = now
        if was_away or self._beats != self._seen:
            self._seen, self._seen_at = self._beats, now
        return now - self._seen_at > self._most_s
