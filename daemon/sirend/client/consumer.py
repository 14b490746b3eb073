"""The rules by which a controller reads a site: messages and the time in, the effective call out. Pure.

A call is in force only while the daemon is online, the statement is fresh by both clocks, and nothing newer was said.
Everything else is clear.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from sirend.call.state import CallState
from sirend.client.statement import Fault, Statement, StatementError, parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sirend.client.keyring import Keyring
    from sirend.publish.mqtt.topics import Topics

_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
LONGEST_VALIDITY = timedelta(seconds=65.0)
"""A statement that claims to be valid for longer than ``call.valid_for_s`` can be (60 s) is none of ours; 5 s are for
clocks that differ."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, by two clocks: the wall clock that statements are dated by, and one that nobody can set back."""

    utc: datetime
    """Aware, UTC."""
    mono_s: float
    """Monotonic time, s."""

    @classmethod
    def now(cls) -> Self:
        """Return the present."""
        return cls(datetime.now(UTC), time.monotonic())


@dataclass(frozen=True, slots=True)
class Call:
    """What a controller must act on at one approach."""

    site: str
    approach: str
    state: CallState
    reason: str
    """The statement's own, or why none is in force: ``offline``, ``unknown``, ``expired``, ``advisory``, ``replay``."""
    at: datetime
    """When it came into force here, UTC."""
    statement: Statement | None
    """What the site said last, if anything is known of it."""

    @property
    def is_active(self) -> bool:
        """Whether an emergency vehicle is to be served."""
        return self.state is CallState.APPROACHING


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that was refused, and why."""

    fault: Fault
    topic: str
    text: str

    def __str__(self) -> str:
        """Return one line for a log."""
        return f"{self.topic}: {self.text}"


@dataclass(frozen=True, slots=True)
class _Held:
    """The last statement of an approach, and the monotonic time, s, from which it does not count."""

    statement: Statement
    deadline_s: float


@dataclass(slots=True)
class Consumer:
    """What is known of a site. Not for several threads at once."""

    topics: Topics
    approaches: Sequence[str]
    """The approaches that are acted on; what is said of others is refused."""
    keys: Keyring | None = None
    """With keys, only what one of them signed counts."""
    rehearsal: bool = False
    """Whether advisory and replayed calls count, to try a controller out."""
    _is_online: bool = False
    _held: dict[str, _Held] = field(default_factory=dict)
    _boot_id: str = ""
    _latest_at: datetime = _LONG_AGO
    _seqs: dict[str, int] = field(default_factory=dict)
    _refused: Counter[Fault] = field(default_factory=Counter)
    _told: dict[str, tuple[CallState, str]] = field(default_factory=dict)

    @property
    def refused(self) -> Mapping[Fault, int]:
        """Messages refused since the beginning, by kind."""
        return self._refused

    def take(self, topic: str, payload: bytes, now: Moment, *, retained: bool = False) -> Refusal | None:
        """Take a message of the broker; return why it was refused, if it was.

        ``retained`` tells that the broker repeats what it keeps, which it does after every subscription.
        """
        try:
            self._take(topic, payload, now, retained=retained)
        except StatementError as error:
            self._refused[error.fault] += 1
            return Refusal(error.fault, topic, str(error))
        return None

    def _take(self, topic: str, payload: bytes, now: Moment, *, retained: bool) -> None:
        if topic == self.topics.availability:
            self._is_online = payload == b"online"
            if payload not in (b"online", b"offline", b""):
                raise StatementError(Fault.MALFORMED, "it is neither online nor offline: taken as offline")
            return
        approach = self.topics.approach_of(topic)
        if approach is None:
            return
        if approach not in self.approaches:
            raise StatementError(Fault.UNKNOWN_APPROACH, "nothing here is mapped to this approach")
        if not payload:  # the daemon took its state from the broker: nothing is known
            self._held.pop(approach, None)
            return
        statement = parse(payload)
        held = self._held.get(approach)
        if retained and held is not None and statement == held.statement:
            return
        self._judge(statement, approach, now)
        if statement.boot_id != self._boot_id:
            self._boot_id = statement.boot_id
            self._seqs.clear()
        self._latest_at = max(self._latest_at, statement.at)
        self._seqs[approach] = statement.seq
        left_s = (statement.valid_until - now.utc).total_seconds()
        self._held[approach] = _Held(statement, now.mono_s + left_s)

    def _judge(self, statement: Statement, approach: str, now: Moment) -> None:
        """Raise ``StatementError`` when ``statement`` must not count."""
        if (statement.site, statement.approach) != (self.topics.site, approach):
            raise StatementError(Fault.ELSEWHERE, "it speaks of another site or approach")
        if statement.valid_until > now.utc + LONGEST_VALIDITY:
            raise StatementError(Fault.TOO_LONG, "it claims to be valid for too long")
        if self.keys is not None and not self.keys.signed(statement.payload):
            raise StatementError(Fault.SIGNATURE, "its signature is missing or wrong")
        # Whoever records signed statements can repeat them: numbers grow within a run, and an earlier run is over.
        # A new run is told by its time: were it by its name alone, one old message would lock the living daemon out.
        if statement.boot_id == self._boot_id:
            is_repeated = statement.seq <= self._seqs.get(approach, 0)
        else:
            is_repeated = statement.at <= self._latest_at
        if is_repeated:
            raise StatementError(Fault.REPLAYED, "it was said before")
        # A clear stands until something else is said, so its age is no fault; but it must not end another run's call.
        is_foreign = bool(self._boot_id) and statement.boot_id != self._boot_id
        if statement.valid_until < now.utc and (statement.state is CallState.APPROACHING or is_foreign):
            raise StatementError(Fault.STALE, "it is stale")

    def effective(self, now: Moment) -> list[Call]:
        """Return what is to be acted on at each approach, in their order."""
        return [self._effective(approach, now) for approach in self.approaches]

    def _effective(self, approach: str, now: Moment) -> Call:
        held = self._held.get(approach)
        statement = None if held is None else held.statement
        state, reason = CallState.CLEAR, ""
        if not self._is_online:
            reason = "offline"
        elif held is None or statement is None:
            reason = "unknown"
        elif statement.state is CallState.CLEAR:
            reason = statement.reason
        elif now.mono_s >= held.deadline_s or now.utc >= statement.valid_until:
            reason = "expired"
        elif statement.mode == "replay" and not self.rehearsal:
            reason = "replay"
        elif statement.advisory and not self.rehearsal:
            reason = "advisory"
        else:
            state, reason = CallState.APPROACHING, statement.reason
        return Call(self.topics.site, approach, state, reason, now.utc, statement)

    def changes(self, now: Moment) -> list[Call]:
        """Return the calls that differ from what was returned before: each change of an approach once.

        The first answer has all approaches. Between two clear states only the begin and end of a call that is not acted
        on (``advisory``, ``replay``) is a change.
        """
        changed = []
        for call in self.effective(now):
            trial = call.reason if call.reason in ("advisory", "replay") else ""
            if self._told.get(call.approach) != (call.state, trial):
                self._told[call.approach] = (call.state, trial)
                changed.append(call)
        return changed
