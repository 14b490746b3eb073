"""The rules by which a controller reads a site: messages and the time in, the effective call out. Pure.

A call is in force only while the statement is fresh by both clocks and its run of the daemon said nothing newer. With a
key, a fresh signed state is itself the proof of life; without one, ``availability`` must be ``online`` as well, or have
never come, as from a cluster that keeps it on another node. Everything else is clear.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from sirend.call.state import CallState
from sirend.client.clocks import ClockOffset
from sirend.client.presence import Presence, is_signed
from sirend.client.runs import CLOCKS_DIFFER, LONGEST_VALIDITY, Runs
from sirend.client.statement import LARGEST_BYTES, Fault, StatementError, parse_statement, peek

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sirend.client.keyring import Keyring
    from sirend.client.runs import Held
    from sirend.client.statement import Statement
    from sirend.publish.mqtt.topics import Topics
MOST_NAMED = 4
NOTHING: Mapping[str, str] = MappingProxyType({})


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
    heard_s: float = -math.inf
    """Monotonic time, s, of the last word of the site that counted, and was not only kept by the broker."""
    _offset: ClockOffset = field(default_factory=ClockOffset)
    _presence: Presence = field(init=False)
    _runs: Runs = field(init=False)
    _refused: Counter[Fault] = field(default_factory=Counter)
    _others: dict[str, None] = field(default_factory=dict)
    """Approaches that the site spoke of and nothing is mapped to, some of them."""
    _told: dict[str, tuple[CallState, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with nothing known."""
        self._presence = Presence(self.topics.site, self.keys)
        self._runs = Runs(is_keyed=self.keys is not None)

    @property
    def refused(self) -> Mapping[Fault, int]:
        """Messages refused since the beginning, by kind."""
        return self._refused

    @property
    def mapping_problem(self) -> str | None:
        """Why calls come that nobody waits for: the site names its approaches otherwise; None where it does not."""
        missing = [approach for approach in self.approaches if not any(self._runs.of(approach))]
        if not missing or not self._others:
            return None
        return f"the site speaks of {', '.join(self._others)} and not of {', '.join(missing)}; see approaches"

    @property
    def clock_problem(self) -> str | None:
        """Why calls may not count although they come: the clocks differ; None where they do not."""
        return self._offset.problem

    def is_genuine(self, topic: str, payload: bytes, properties: Mapping[str, str] = NOTHING) -> bool:
        """Return whether a message is surely the daemon's own; cheap. Without a key it never is."""
        if self.keys is None or len(payload) > LARGEST_BYTES:
            return False
        if topic in (self.topics.availability, self.topics.health):
            kind = "health" if topic == self.topics.health else "availability"
            return is_signed(self.topics.site, kind, payload, properties, self.keys)
        return self.keys.vouches_for(payload)

    def worn(self, topic: str, payload: bytes, now: Moment) -> Refusal | None:
        """Refuse a genuine state that was said before or is over, by its number and dates alone; cheap."""
        glance, approach = peek(payload), self.topics.approach_of(topic)
        fault = None if glance is None or approach is None else self._runs.worn(glance, approach, now.utc, now.mono_s)
        if fault is None:
            return None
        self._refused[fault] += 1
        return Refusal(fault, topic, "it was said before" if fault is Fault.REPLAYED else "it is stale")

    def crowded_out(self, topic: str) -> Refusal:
        """Count a message that nobody had the time to look at."""
        self._refused[Fault.CROWDED_OUT] += 1
        return Refusal(Fault.CROWDED_OUT, topic, "too many messages that nobody signed")

    def take(
        self,
        topic: str,
        payload: bytes,
        now: Moment,
        *,
        retained: bool = False,
        properties: Mapping[str, str] = NOTHING,
    ) -> Refusal | None:
        """Take a message of the broker; return why it was refused, if it was.

        ``retained`` tells that the broker repeats what it keeps, which it does after every subscription; ``properties``
        are the user properties of MQTT 5.
        """
        try:
            self._take(topic, payload, now, retained=retained, properties=properties)
        except StatementError as error:
            self._refused[error.fault] += 1
            return Refusal(error.fault, topic, str(error))
        return None

    def _take(self, topic: str, payload: bytes, now: Moment, *, retained: bool, properties: Mapping[str, str]) -> None:
        approach = self.topics.approach_of(topic)
        if approach is None:
            self._take_presence(topic, payload, now, properties, retained=retained)
            return
        if approach not in self.approaches:
            if len(self._others) < MOST_NAMED and (self.keys is None or self.keys.vouches_for(payload)):
                self._others.setdefault(approach)
            raise StatementError(Fault.UNKNOWN_APPROACH, "nothing here is mapped to this approach")
        if not payload:  # the daemon took its state from the broker: nothing is known; with a key nobody signed that
            if self.keys is None:
                self._runs.forget(approach)
            return
        statement = parse_statement(payload)
        if retained and any(held.statement == statement for held in self._runs.of(approach)):
            return
        self._judge(statement, approach, now)
        self._runs.accept(statement, approach, now.mono_s)
        if not retained:
            self.heard_s = now.mono_s
        # A state that is said now, and not repeated, is said by somebody who is there, unless a word says otherwise.
        if self.keys is not None or not (retained or self._presence.has_word):
            self._presence.is_online = True

    def _take_presence(
        self, topic: str, payload: bytes, now: Moment, properties: Mapping[str, str], *, retained: bool
    ) -> None:
        """Take ``availability``, and ``health`` as a sign of life: with a key, a signed one, and said now."""
        is_health = topic == self.topics.health
        if topic == self.topics.availability:
            ended = self._presence.take(payload, properties, now.mono_s)
            if ended is not None:
                self._runs.end(ended)
        elif not is_health or not (
            self.keys is None or is_signed(self.topics.site, "health", payload, properties, self.keys)
        ):
            return
        if not retained:
            self.heard_s = now.mono_s
            if is_health:
                self._offset.heard(payload, now.utc)

    def _judge(self, statement: Statement, approach: str, now: Moment) -> None:
        """Raise ``StatementError`` when ``statement`` must not count."""
        if (statement.site, statement.approach) != (self.topics.site, approach):
            raise StatementError(Fault.ELSEWHERE, "it speaks of another site or approach")
        is_ahead = statement.valid_until > now.utc + LONGEST_VALIDITY + CLOCKS_DIFFER
        if is_ahead or statement.valid_until - statement.at > LONGEST_VALIDITY:
            raise StatementError(Fault.TOO_LONG, "it claims to be valid for too long")
        if self.keys is not None and not self.keys.signed(statement.payload):
            raise StatementError(Fault.SIGNATURE, "its signature is missing or wrong")
        self._runs.judge(statement, approach, now.utc, now.mono_s)

    def effective(self, now: Moment) -> list[Call]:
        """Return what is to be acted on at each approach, in their order."""
        return [self._effective(approach, now) for approach in self.approaches]

    def _effective(self, approach: str, now: Moment) -> Call:
        """Return the newest call that is in force; where there is none, why not, by what was said last."""
        known = sorted(self._runs.of(approach), key=lambda held: held.order, reverse=True)
        verdicts = [(self._verdict(held, now), held.statement) for held in known]
        for reason, statement in verdicts:
            if reason is None:
                return Call(self.topics.site, approach, CallState.APPROACHING, statement.reason, now.utc, statement)
        reason, last = verdicts[0] if verdicts else ("unknown", None)
        if not self._presence.is_online:
            reason = "offline"
        return Call(self.topics.site, approach, CallState.CLEAR, reason or "unknown", now.utc, last)

    def _verdict(self, held: Held, now: Moment) -> str | None:
        """Return why what is held is no call in force, or None when it is one."""
        statement = held.statement
        if held.is_over or (self.keys is None and not self._presence.is_online):
            return "offline"
        if statement.state is CallState.CLEAR:
            return statement.reason
        if not held.is_fresh(now.utc, now.mono_s):
            return "expired"
        if statement.mode == "replay" and not self.rehearsal:
            return "replay"
        return "advisory" if statement.advisory and not self.rehearsal else None

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
