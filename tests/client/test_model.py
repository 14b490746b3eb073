"""A site and its controller against a model: clocks that differ and step, restarts, losses, an attacker between them.

The attacker may keep every message, deliver it again, late or never, and put in messages of its own. With a key it can
neither make a call nor end one: whatever it does,

- no call is in force without a word of the key holder's that is at most ``valid_for_s`` old by both clocks;
- a call that was said and delivered stands until its time is over, its run says otherwise, or its run goes offline.

Without a key anyone can say anything; but the living daemon must be believed again within a bounded time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.transitions import CALL, CLEAR

from sirend.call.event import to_json
from sirend.call.scribe import Scribe
from sirend.client import Consumer, Fault, Keyring, Moment, Refusal, Topics
from sirend.client.runs import CLOCKS_DIFFER, LONGEST_VALIDITY
from sirend.publish.mqtt.stamp import Stamp

NOW = datetime(2026, 11, 22, 21, 3, 4, tzinfo=UTC)
KEY = b"0123456789abcdef"
TOPICS = Topics("sirend", "s")
STATE = TOPICS.state("main")
VALID_S = 5.0
SETTLED_S = 2.0 * VALID_S + 2.0
"""After so long with a living daemon, whatever happened before is over."""
AHEAD_S = (LONGEST_VALIDITY + CLOCKS_DIFFER).total_seconds() - VALID_S
"""A daemon whose clock is further ahead is not heard. One that is set back to a snapshot says its numbers again, and is
known by its dates alone; if its clock was ahead and is then set right, those are said again too, for so long at most.
"""


@dataclass
class Said:
    """A genuine message, as the attacker may keep it."""

    topic: str
    payload: bytes
    properties: dict[str, str]
    boot_id: str
    is_call: bool = False
    seq: int = 0
    at: datetime = NOW
    connection: int = 0
    delivered_s: float | None = None
    """When it was first believed, by the clock that nobody sets."""


class Site(RuleBasedStateMachine):
    """One daemon after another, one controller, and whoever is between them."""

    key: bytes | None = KEY

    def __init__(self) -> None:
        super().__init__()
        self.consumer = Consumer(TOPICS, ["main"], None if self.key is None else Keyring.of(self.key))
        self.real_s = 0.0
        self.daemon_s = self.controller_s = 0.0
        self.boots = 0
        self.is_restored = False
        self.kept: list[Said] = []
        self.standing: Said | None = None
        self.start()

    # The daemon.

    def utc(self, _sample: int) -> datetime:
        """Return the time by the daemon's clock, for its scribe."""
        return NOW + timedelta(seconds=self.real_s + self.daemon_s)

    def start(self) -> None:
        self.boots += 1
        self.boot_id = f"boot-{self.boots}"
        self.connection = 1
        self.begin_numbers()

    def begin_numbers(self) -> None:
        self.scribe = Scribe(
            site="s", boot_id=self.boot_id, mode="live", model="m", clock=self, valid_for_s=VALID_S, sign_key=self.key
        )

    def state(self, *, is_call: bool) -> Said:
        event = self.scribe.write(CALL if is_call else CLEAR)
        said = Said(STATE, to_json(event).encode(), {}, self.boot_id, is_call, event.seq, event.at)
        self.kept.append(said)
        return said

    def availability(self, word: str) -> Said:
        properties = Stamp("s", self.boot_id, self.key).properties("availability", word.encode(), self.connection)
        said = Said(TOPICS.availability, word.encode(), dict(properties), self.boot_id, connection=self.connection)
        self.kept.append(said)
        return said

    # The controller.

    def now(self) -> Moment:
        return Moment(NOW + timedelta(seconds=self.real_s + self.controller_s), 1000.0 + self.real_s)

    def deliver(self, said: Said, *, retained: bool = False) -> Refusal | None:
        refused = self.consumer.take(
            said.topic, said.payload, self.now(), retained=retained, properties=said.properties
        )
        is_first = said.delivered_s is None
        if is_first and (refused is None or said.topic != STATE):
            said.delivered_s = self.real_s
        if self.standing is not None and said.boot_id == self.standing.boot_id and is_first:
            run = [each for each in self.kept if each.boot_id == said.boot_id]
            told = [each.connection for each in run if each.delivered_s is not None]
            is_last_word = said.payload == b"offline" and said.connection >= max(told, default=0)
            if is_last_word or (said.topic == STATE and said.seq > self.standing.seq and refused is None):
                self.standing = None
        return refused

    @property
    def is_active(self) -> bool:
        return self.consumer.effective(self.now())[0].is_active

    def is_fresh(self, said: Said) -> bool:
        """Return whether a word is at most ``valid_for_s`` old, by the wall clock and by that of its arrival."""
        ends = said.at + timedelta(seconds=VALID_S)
        assert said.delivered_s is not None
        return self.now().utc < ends and self.real_s < said.delivered_s + VALID_S

    # What may happen.

    @rule(is_call=st.booleans())
    def says_and_is_heard(self, *, is_call: bool) -> None:
        said = self.state(is_call=is_call)
        refused = self.deliver(said)
        if refused is None:
            self.standing = said if is_call else None
        elif abs(self.daemon_s - self.controller_s) < 4.5 and self.key is not None:
            assert refused.fault is Fault.REPLAYED  # another run's clock was ahead; see `teardown`
            assert self.boots > 1 or self.is_restored

    @rule(is_call=st.booleans())
    def says_and_is_not_heard_yet(self, *, is_call: bool) -> None:
        self.state(is_call=is_call)

    @rule(seconds=st.floats(0.1, 7.0))
    def time_passes(self, seconds: float) -> None:
        self.real_s += seconds

    @rule(is_heard=st.booleans())
    def reconnects(self, *, is_heard: bool) -> None:
        self.availability("offline")  # the will, which the attacker may hold back
        self.connection += 1
        online = self.availability("online")
        if is_heard:
            self.deliver(online)

    @initialize(ahead_s=st.sampled_from([0.0, 59.0, 59.0, 3.0, -2.0]))
    def begins(self, ahead_s: float) -> None:
        self.daemon_s = ahead_s

    @rule(is_heard=st.booleans(), is_set_right=st.booleans())
    def restarts(self, *, is_heard: bool, is_set_right: bool) -> None:
        if is_set_right:
            self.daemon_s = self.controller_s
        will = self.availability("offline")
        if is_heard:
            self.deliver(will)
        self.start()

    @rule()
    def is_set_back_to_a_snapshot(self) -> None:
        self.is_restored = True
        self.begin_numbers()

    @rule(which=st.integers(0, 200), retained=st.booleans())
    @precondition(lambda self: self.kept)
    def attacker_delivers(self, which: int, *, retained: bool) -> None:
        self.deliver(self.kept[which % len(self.kept)], retained=retained)

    @rule(offset_s=st.sampled_from([0.0, -2.0, 3.0, 59.0, -59.0, -3600.0, 3600.0]), who=st.sampled_from("dcb"))
    def clocks_step(self, offset_s: float, who: str) -> None:
        if who in "db":
            self.daemon_s = offset_s
        if who in "cb":
            self.controller_s = offset_s

    FORGERIES = st.fixed_dictionaries(
        {},
        optional={
            "seq": st.sampled_from([1, 10**6, 10**15]),
            "boot_id": st.sampled_from(["evil", "boot-1", "boot-2"]),
            "at": st.sampled_from(["2026-11-22T21:03:04.000Z", "9999-01-01T00:00:00.000Z"]),
            "valid_until": st.sampled_from(["2026-11-22T21:03:30.000Z", "9999-01-01T00:00:05.000Z"]),
            "state": st.just("clear"),
            "sig": st.just("0" * 64),
        },
    )

    @rule(which=st.integers(0, 200), changes=FORGERIES, payload=st.sampled_from([None, b"", b"{}", b"offline"]))
    @precondition(lambda self: any(said.topic == STATE for said in self.kept))
    def attacker_forges(self, which: int, changes: dict[str, Any], payload: bytes | None) -> None:
        states = [said for said in self.kept if said.topic == STATE]
        forged = {**json.loads(states[which % len(states)].payload), **changes, "forged": True}
        if changes.get("state") == "clear":
            forged |= {"type": "emergency_cleared", "reason": "quiet"}
        self.consumer.take(STATE, json.dumps(forged).encode() if payload is None else payload, self.now())
        if payload in (b"", b"offline"):
            self.consumer.take(TOPICS.availability, payload, self.now())
            other = Stamp("s", self.boot_id, None).properties("availability", b"offline", self.connection)
            self.consumer.take(TOPICS.availability, b"offline", self.now(), properties=dict(other))

    def teardown(self) -> None:
        """Set the clocks right and let the living daemon call for a while: it must be heard, whatever was before."""
        self.daemon_s = self.controller_s = 0.0
        self.connection += 1
        self.deliver(self.availability("online"))
        for _ in range(round(SETTLED_S + (AHEAD_S if self.is_restored else 0.0))):
            self.real_s += 1.0
            said = self.state(is_call=True)
            if self.deliver(said) is None:
                self.standing = said
        assert self.is_active

    @invariant()
    def no_call_without_a_fresh_word_of_the_key_holder(self) -> None:
        if self.key is None or not self.is_active:
            return
        calls = [said for said in self.kept if said.is_call and said.delivered_s is not None]
        assert any(self.is_fresh(said) for said in calls)

    @invariant()
    def a_call_that_was_said_and_delivered_stands(self) -> None:
        if self.key is not None and self.standing is not None and self.is_fresh(self.standing):
            assert self.is_active


def test_a_daemon_that_was_set_back_while_its_clock_was_ahead_is_heard_within_a_minute_of_its_being_set_right() -> None:
    site = Site()
    site.begins(ahead_s=59.0)
    site.says_and_is_heard(is_call=False)
    site.is_set_back_to_a_snapshot()
    site.time_passes(seconds=11.0)
    site.says_and_is_heard(is_call=False)
    site.teardown()
    assert site.is_active


class SiteWithoutKey(Site):
    """The same without a key, where only the bounded time holds."""

    key = None


TestWithKey = Site.TestCase
TestWithoutKey = SiteWithoutKey.TestCase
TestWithKey.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestWithoutKey.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
