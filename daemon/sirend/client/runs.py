"""The runs of a site's daemon as a controller knows them: what each said, in which order, and which of it stands.

Two runs may speak at the same time: a spare daemon that was started by mistake, or the one before, whose last words
were under way. With a key each is judged for itself, so that none ends another's call; only what is older than the last
word of another run is refused, as long as that word may still count.

A machine that is set back to a snapshot goes on under the name of its run with numbers that were said before. It is
heard again when its last word is over, and then by dates that were not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sirend.call.state import CallState
from sirend.client.statement import Fault, StatementError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sirend.client.statement import Peek, Statement

LONGEST_VALIDITY = timedelta(seconds=60.0)
"""``call.valid_for_s`` cannot be more."""
CLOCKS_DIFFER = timedelta(seconds=5.0)
MOST_RUNS = 64
"""Whoever can sign has restarted less often within the time that anything of a run can still be fresh."""
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Held:
    """The last statement of a run about an approach."""

    statement: Statement
    deadline_s: float
    """Monotonic time, s, from which it does not count."""
    order: int
    """Grows with everything that was believed."""
    is_over: bool = False
    """Whether its run went offline since."""

    def is_fresh(self, utc: datetime, mono_s: float) -> bool:
        """Return whether it still counts, by both clocks."""
        return mono_s < self.deadline_s and utc < self.statement.valid_until


@dataclass(slots=True)
class _Run:
    """One run of the daemon."""

    heard_s: float
    """Monotonic time, s, of its last statement."""
    seqs: dict[str, int] = field(default_factory=dict)
    ends: dict[str, datetime] = field(default_factory=dict)
    """By approach, until when the longest of its statements was valid."""
    floors: dict[str, datetime] = field(default_factory=dict)
    """What ``ends`` was when its numbers began anew: what was valid until then was said before."""
    held: dict[str, Held] = field(default_factory=dict)


@dataclass(slots=True)
class Runs:
    """What each run said. ``is_keyed`` tells that nobody else can have said it."""

    is_keyed: bool
    _runs: dict[str, _Run] = field(default_factory=dict)
    _boot_id: str = ""
    _latest_at: datetime = _LONG_AGO
    _latest_s: float = float("-inf")
    _order: int = 0

    def __contains__(self, boot_id: str) -> bool:
        """Return whether a run is known."""
        return boot_id in self._runs

    def of(self, approach: str) -> Iterator[Held]:
        """Yield what each run said last of ``approach``."""
        return (run.held[approach] for run in self._runs.values() if approach in run.held)

    def worn(self, glance: Peek, approach: str, utc: datetime, mono_s: float) -> Fault | None:
        """Return why a genuine statement cannot count, as far as a glance tells: a part of ``judge``."""
        run = self._runs.get(glance.boot_id)
        if run is not None and self.is_keyed and glance.seq <= run.seqs.get(approach, 0):
            speaks_now = mono_s - run.heard_s <= CLOCKS_DIFFER.total_seconds()  # so it has not settled, see ``judge``
            if speaks_now or glance.valid_until <= run.ends.get(approach, _LONG_AGO):
                return Fault.REPLAYED
        is_foreign = bool(self._boot_id) and glance.boot_id != self._boot_id
        return Fault.STALE if glance.valid_until < utc and (glance.is_call or is_foreign) else None

    def judge(self, statement: Statement, approach: str, utc: datetime, mono_s: float) -> None:
        """Raise ``StatementError`` when ``statement`` was said before, or is stale.

        Whoever records signed statements can repeat them: numbers grow within a run, and an earlier run is over. A new
        run is told by its time: were it by its name alone, one old message would lock the living daemon out. Where the
        clocks were set back, its time says nothing, so it counts only as long as the last word of the other run may.
        """
        settled_s = (statement.valid_until - statement.at + CLOCKS_DIFFER).total_seconds()
        run = self._runs.get(statement.boot_id)
        is_repeated = run is not None and self._is_repeated(run, statement, approach, mono_s - run.heard_s > settled_s)
        is_foreign = bool(self._boot_id) and statement.boot_id != self._boot_id
        is_older = is_foreign and statement.at <= self._latest_at and mono_s - self._latest_s <= settled_s
        if is_repeated or is_older:
            raise StatementError(Fault.REPLAYED, "it was said before")
        # A clear stands until something else is said, so its age is no fault; but it must not end another run's call.
        if statement.valid_until < utc and (statement.state is CallState.APPROACHING or is_foreign):
            raise StatementError(Fault.STALE, "it is stale")

    def _is_repeated(self, run: _Run, statement: Statement, approach: str, is_settled: bool) -> bool:
        """Return whether ``run`` said it before; ``is_settled`` tells that nothing it said may still count.

        Without a key anyone can name any number; the living daemon must not be locked out by it for ever.
        """
        if self.is_keyed and statement.valid_until <= run.floors.get(approach, _LONG_AGO):
            return True
        if statement.seq > run.seqs.get(approach, 0):
            return False
        return not is_settled or (self.is_keyed and statement.valid_until <= run.ends[approach])

    def accept(self, statement: Statement, approach: str, mono_s: float) -> None:
        """Take over what was judged, which came at the monotonic time ``mono_s``.

        By that clock it counts for as long as it says. When it ends by the wall clock is asked each time: one that was
        wrong for a moment, and made it look nearly over when it came, does not end it once it is right.
        """
        span_s = (statement.valid_until - statement.at).total_seconds()
        self._order += 1
        if not self.is_keyed:  # anyone can name a run: the last word replaces all others
            self.forget(approach)
        run = self._runs.setdefault(statement.boot_id, _Run(mono_s))
        run.heard_s = mono_s
        if statement.seq <= run.seqs.get(approach, 0):
            run.floors[approach] = run.ends[approach]
        run.seqs[approach] = statement.seq
        run.ends[approach] = max(statement.valid_until, run.ends.get(approach, _LONG_AGO))
        run.held[approach] = Held(statement, mono_s + span_s, self._order)
        self._boot_id, self._latest_at, self._latest_s = statement.boot_id, statement.at, mono_s
        if len(self._runs) > MOST_RUNS:
            del self._runs[min(self._runs, key=lambda boot_id: self._runs[boot_id].heard_s)]

    def forget(self, approach: str) -> None:
        """Forget what was said of ``approach``; its numbers stay known."""
        for run in self._runs.values():
            run.held.pop(approach, None)

    def end(self, boot_id: str) -> None:
        """Let nothing that a run said count any more; it may speak again."""
        run = self._runs.get(boot_id)
        for held in () if run is None else run.held.values():
            held.is_over = True
