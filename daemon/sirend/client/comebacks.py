"""Runs that go offline and are back at once, again and again: two clients of one name, or a line that breaks. Pure.

Each time the broker speaks a will, and the next word of the daemon is there within a second. A controller that believed
every one of them would begin and end its preempt as often. The first is believed, for it may be a crash; of a run that
was back, the time that a state says of itself decides.
"""

from __future__ import annotations

BACK_S = 10.0
"""Who says ``online`` within so long after ``offline`` was not gone."""
RESTLESS_S = 30.0
"""So long after it was back, its ``offline`` ends nothing that a fresh state says."""
MOST_RUNS = 64


class Comebacks:
    """Remembers when runs went, and when they were back."""

    def __init__(self) -> None:
        """Begin without any."""
        self._went_s: dict[str, float] = {}
        self._back_s: dict[str, float] = {}

    def online(self, run: str, now_s: float) -> None:
        """Hear that ``run``, "" where none is named, is there at the monotonic time ``now_s``."""
        if now_s - self._went_s.get(run, float("-inf")) <= BACK_S:
            self._note(self._back_s, run, now_s)

    def offline(self, run: str, now_s: float) -> bool:
        """Hear that ``run`` is gone; return whether to believe it at once."""
        self._note(self._went_s, run, now_s)
        return now_s - self._back_s.get(run, float("-inf")) > RESTLESS_S

    def _note(self, times: dict[str, float], run: str, now_s: float) -> None:
        times.pop(run, None)
        times[run] = now_s
        if len(times) > MOST_RUNS:
            del times[next(iter(times))]
