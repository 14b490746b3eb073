"""The noise floor of an approach, minute by minute, and how far it has drifted, by age, a nest or a fan."""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass, field

MINUTE_S = 60.0
DAY = 24 * 60
NOW = 10
"""Minutes whose median is the floor of now."""
LEAST = 60
"""Minutes that must be known before a drift can be told."""
SHARE = 0.1
"""The floor is what nine windows in ten exceed."""


@dataclass(slots=True)
class FloorTrend:
    """Follows the level of one approach. Lives on the worker's thread."""

    began_s: float
    """Time in the stream at which the minute began, s: a minute is one of sound, so it holds so many windows and no
    more, however fast they are heard."""
    _minutes: deque[float] = field(default_factory=lambda: deque(maxlen=DAY))
    _levels: list[float] = field(default_factory=list)

    def observe(self, level_dbfs: float, now_s: float) -> None:
        """Take the level of a window that ended at ``now_s`` of its stream."""
        if not 0.0 <= now_s - self.began_s < MINUTE_S:
            if self._levels:
                self._minutes.append(sorted(self._levels)[int(SHARE * len(self._levels))])
            self._levels.clear()
            self.began_s = now_s
        self._levels.append(level_dbfs)

    @property
    def dbfs(self) -> float | None:
        """Median of the last ten minutes' floors; None in the first minute."""
        return round(statistics.median(list(self._minutes)[-NOW:]), 1) if self._minutes else None

    @property
    def drift_db(self) -> float | None:
        """By how much it lies above the median of the last 24 hours; None before an hour is known."""
        now = self.dbfs
        if now is None or len(self._minutes) < LEAST:
            return None
        return round(now - statistics.median(self._minutes), 1)
