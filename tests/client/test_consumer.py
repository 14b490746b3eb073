from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.transitions import CALL, CLEAR

from sirend.audio.stream import Samples
from sirend.call.clock import ReplayClock
from sirend.call.event import Mode, to_json
from sirend.call.scribe import Scribe
from sirend.call.state import CallState
from sirend.client import Call, Consumer, Fault, Keyring, Moment, Topics
from sirend.publish.mqtt.stamp import Stamp

if TYPE_CHECKING:
    from sirend.call.machine import Transition

NOW = datetime(2026, 11, 22, 21, 3, 4, tzinfo=UTC)
TOPICS = Topics("sirend", "main-5th")
TOPIC = TOPICS.state("main")
KEY = b"0123456789abcdef"


def moment(after_s: float = 0.0) -> Moment:
    return Moment(NOW + timedelta(seconds=after_s), 1000.0 + after_s)


def scribe(  # noqa: PLR0913
    key: bytes | None = None,
    boot_id: str = "boot-1",
    *,
    after_s: float = 0.0,
    site: str = "main-5th",
    mode: Mode = "live",
    advisory: bool = False,
    valid_for_s: float = 5.0,
) -> Scribe:
    """Return who writes for a run of the daemon whose sample 0 was heard at ``after_s``."""
    return Scribe(
        site=site,
        boot_id=boot_id,
        mode=mode,
        model="siren-9.9.9@0123456789ab",
        clock=ReplayClock(NOW + timedelta(seconds=after_s)),
        valid_for_s=valid_for_s,
        sign_key=key,
        advisory=advisory,
    )


def payload(transition: Transition, by: Scribe | None = None, at_s: float = 0.0) -> bytes:
    return to_json((by or scribe()).write(replace(transition, at=Samples(round(at_s * 16_000))))).encode()


def consumer(key: bytes | None = None, *, online: bool = True, **settings: Any) -> Consumer:  # noqa: ANN401
    made = Consumer(TOPICS, ["main"], None if key is None else Keyring.of(key), **settings)
    if online:
        assert made.take(TOPICS.availability, b"online", moment()) is None
    return made


def presence(  # noqa: PLR0913  as many things as it says
    by: Consumer, state: str, boot_id: str, connection: int, key: bytes | None = None, *, after_s: float = 0.0
) -> Fault | None:
    """Let ``by`` take the availability that a run says on a connection; return why it refused."""
    properties = Stamp("main-5th", boot_id, key).properties("availability", state.encode(), connection)
    refused = by.take(TOPICS.availability, state.encode(), moment(after_s), properties=dict(properties))
    return None if refused is None else refused.fault


def acted_on(by: Consumer, after_s: float = 0.0) -> tuple[str, str]:
    (call,) = by.effective(moment(after_s))
    assert (call.site, call.approach) == ("main-5th", "main")
    assert call.is_active == (call.state == "approaching")
    return call.state, call.reason


def refusal(
    by: Consumer, message: bytes, after_s: float = 0.0, topic: str = TOPIC, *, retained: bool = False
) -> Fault | None:
    """Let ``by`` take ``message``; return why it refused, and check that the refusal was counted."""
    before = dict(by.refused)
    refused = by.take(topic, message, moment(after_s), retained=retained)
    if refused is None:
        assert dict(by.refused) == before
        return None
    assert dict(by.refused) == {**before, refused.fault: before.get(refused.fault, 0) + 1}
    assert str(refused).startswith(f"{topic}: ")
    return refused.fault


def test_nothing_known_is_clear() -> None:
    assert acted_on(consumer(online=False)) == ("clear", "offline")
    assert acted_on(consumer()) == ("clear", "unknown")


def test_a_call_counts_until_it_expires() -> None:
    listening = consumer()
    assert refusal(listening, payload(CALL)) is None
    assert acted_on(listening) == ("approaching", "siren")
    assert acted_on(listening, 4.9) == ("approaching", "siren")
    assert acted_on(listening, 5.0) == ("clear", "expired")


def test_a_clock_that_is_set_back_does_not_prolong_a_call_and_one_set_forth_ends_it() -> None:
    listening = consumer()
    listening.take(TOPIC, payload(CALL), moment())
    (call,) = listening.effective(Moment(NOW - timedelta(hours=1), 1005.0))
    assert (call.state, call.reason) == ("clear", "expired")
    (call,) = listening.effective(Moment(NOW + timedelta(hours=1), 1000.1))
    assert (call.state, call.reason) == ("clear", "expired")


def test_a_clock_that_was_ahead_when_a_call_came_does_not_end_it_once_it_is_set_right() -> None:
    listening = consumer(KEY)
    by = scribe(KEY)
    listening.take(TOPIC, payload(CALL, by), Moment(NOW + timedelta(seconds=4.5), 1000.0))
    for mono_s, is_active in ((1000.4, True), (1001.0, True), (1004.9, True), (1005.0, False)):
        (call,) = listening.effective(Moment(NOW + timedelta(seconds=mono_s - 1000.0), mono_s))
        assert call.is_active == is_active


def test_a_clear_and_an_emptied_topic_end_a_call() -> None:
    by = scribe()
    for ending, reason in ((CLEAR, "quiet"), (None, "unknown")):
        listening = consumer()
        listening.take(TOPIC, payload(CALL, by), moment())
        assert acted_on(listening) == ("approaching", "siren")
        listening.take(TOPIC, b"" if ending is None else payload(ending, by), moment())
        assert acted_on(listening) == ("clear", reason)


def test_a_daemon_that_went_offline_calls_nobody() -> None:
    for last_word in (b"offline", b"", b"\xff online"):
        listening = consumer()
        listening.take(TOPIC, payload(CALL), moment())
        listening.take(TOPICS.availability, last_word, moment())
        assert acted_on(listening) == ("clear", "offline")


def test_what_is_no_state_is_refused_and_changes_nothing() -> None:
    listening = consumer()
    assert refusal(listening, b"{") is Fault.MALFORMED
    assert refusal(listening, b"x" * 9000) is Fault.TOO_BIG
    assert refusal(listening, b"x" * 9000, retained=True) is Fault.TOO_BIG
    assert refusal(listening, payload(CALL).replace(b"event/1", b"event/2")) is Fault.SCHEMA
    assert refusal(listening, payload(replace(CALL, approach="north"))) is Fault.ELSEWHERE
    assert refusal(listening, payload(CALL, scribe(site="other"))) is Fault.ELSEWHERE
    assert refusal(listening, payload(CALL, scribe(valid_for_s=66.0))) is Fault.TOO_LONG
    assert refusal(listening, payload(replace(CALL, approach="west")), topic=TOPICS.state("west")) is (
        Fault.UNKNOWN_APPROACH
    )
    assert refusal(listening, b"on", topic=TOPICS.availability) is Fault.MALFORMED
    listening.take(TOPICS.availability, b"online", moment())
    assert acted_on(listening) == ("clear", "unknown")


def test_topics_of_other_kinds_are_none_of_its_business() -> None:
    listening = consumer()
    for topic in (TOPICS.event("main"), TOPICS.health, "sirend/other/main/emergency"):
        assert refusal(listening, payload(CALL), topic=topic) is None
    assert acted_on(listening) == ("clear", "unknown")


def test_a_stale_call_is_refused_and_a_clear_never_is() -> None:
    by, listening = scribe(), consumer()
    assert refusal(listening, payload(CALL, by), after_s=6.0) is Fault.STALE
    assert refusal(listening, payload(CLEAR, by), after_s=6.0) is None
    assert acted_on(listening, 6.0) == ("clear", "quiet")


def test_with_a_key_only_what_it_signed_counts() -> None:
    listening = consumer(KEY)
    assert refusal(listening, payload(CALL)) is Fault.SIGNATURE
    assert refusal(listening, payload(CALL, scribe(b"another key, as long"))) is Fault.SIGNATURE
    tampered = {**json.loads(payload(CALL, scribe(KEY))), "valid_until": "2026-11-22T21:04:00.000Z"}
    assert refusal(listening, json.dumps(tampered).encode()) is Fault.SIGNATURE
    assert acted_on(listening) == ("clear", "unknown")
    assert refusal(listening, payload(CALL, scribe(KEY))) is None
    assert acted_on(listening) == ("approaching", "siren")


@pytest.mark.parametrize("key", [None, KEY])
def test_nothing_is_believed_twice_or_out_of_order(key: bytes | None) -> None:
    by = scribe(key)
    call, clear, again, end = (payload(each, by) for each in (CALL, CLEAR, CALL, CLEAR))
    listening = consumer(key)
    assert refusal(listening, call) is None
    assert refusal(listening, clear) is None
    for repeated in (call, clear):
        assert refusal(listening, repeated) is Fault.REPLAYED
    assert refusal(listening, end) is None
    assert refusal(listening, again) is Fault.REPLAYED
    assert acted_on(listening) == ("clear", "quiet")


@pytest.mark.parametrize("key", [None, KEY])
def test_a_run_that_was_set_back_to_a_snapshot_is_heard_and_what_it_said_before_is_not(key: bytes | None) -> None:
    """Its numbers were said before: with a key every call was refused until they had caught up, after days."""
    listening, before = consumer(key), scribe(key)
    said = [payload(CLEAR if number == 8 else CALL, before, float(number)) for number in range(9)]
    for number, message in enumerate(said):
        assert refusal(listening, message, float(number)) is None
    back = scribe(key)
    early = payload(CALL, back, 9.0)  # it cannot be told from a message that was held back
    assert (listening.worn(TOPIC, early, moment(9.0)) is None) is (key is None)
    assert refusal(listening, early, 9.0) is Fault.REPLAYED
    calls = [payload(CALL, back, 20.0 + number) for number in range(3)]
    for number, message in enumerate(calls):
        assert listening.worn(TOPIC, message, moment(20.0 + number)) is None
        assert refusal(listening, message, 20.0 + number) is None
        assert acted_on(listening, 20.0 + number) == ("approaching", "siren")
    for message in (*said, *calls) if key else calls:
        assert refusal(listening, message, 22.0) in (Fault.REPLAYED, Fault.STALE)
    assert acted_on(listening, 22.0) == ("approaching", "siren")


def test_without_a_key_the_connections_of_a_run_that_was_set_back_count_anew() -> None:
    """Its `online` was that of a connection long gone, and the site stayed offline for as many connections."""
    listening = consumer(online=False)
    assert presence(listening, "online", "boot-1", 7) is None
    assert presence(listening, "offline", "boot-1", 7, after_s=10.0) is None
    assert presence(listening, "online", "boot-1", 2, after_s=10.1) is None
    assert refusal(listening, payload(CALL, at_s=11.0), 11.0) is None
    assert acted_on(listening, 11.0) == ("approaching", "siren")
    assert presence(listening, "offline", "boot-1", 1, after_s=12.0) is Fault.REPLAYED  # a late will
    assert acted_on(listening, 12.0) == ("approaching", "siren")


@pytest.mark.parametrize("key", [None, KEY])
def test_a_site_that_names_its_approaches_otherwise_is_told_of(key: bytes | None) -> None:
    """Each call was refused in a line of the log, and nothing said so before the first."""
    listening, by = consumer(key), scribe(key)
    assert listening.mapping_problem is None
    assert refusal(listening, b"rubbish", topic=TOPICS.state("west")) is Fault.UNKNOWN_APPROACH
    assert (listening.mapping_problem is None) is (key is not None)  # with a key only what the site says counts
    other = payload(replace(CLEAR, approach="north"), by)
    assert refusal(listening, other, topic=TOPICS.state("north")) is Fault.UNKNOWN_APPROACH
    assert "north and not of main; see approaches" in (listening.mapping_problem or "")
    assert refusal(listening, payload(CLEAR, by)) is None
    assert listening.mapping_problem is None


def test_the_approaches_of_a_run_are_numbered_together_and_read_apart() -> None:
    listening, by = Consumer(TOPICS, ["main", "north"]), scribe()
    listening.take(TOPICS.availability, b"online", moment())
    first, second = payload(replace(CALL, approach="north"), by), payload(CALL, by)
    assert refusal(listening, second, retained=True) is None  # a broker repeats what it keeps in any order
    assert refusal(listening, first, topic=TOPICS.state("north"), retained=True) is None
    assert [call.is_active for call in listening.effective(moment())] == [True, True]


def test_what_an_earlier_run_said_is_refused_once_a_later_one_spoke() -> None:
    early, late = scribe(KEY), scribe(KEY, "boot-2", after_s=2.0)
    old_call, old_clear = payload(CALL, early), payload(CLEAR, early)
    listening = consumer(KEY)
    assert refusal(listening, payload(CALL, late), after_s=2.0) is None
    assert refusal(listening, old_call, after_s=2.0) is Fault.REPLAYED
    assert refusal(listening, old_clear, after_s=2.0) is Fault.REPLAYED
    assert acted_on(listening, 2.0) == ("approaching", "siren")


def test_an_old_message_does_not_lock_the_living_daemon_out() -> None:
    early, late = scribe(KEY), scribe(KEY, "boot-2", after_s=100.0)
    old = payload(CLEAR, early)
    listening = consumer(KEY)
    assert refusal(listening, old, after_s=100.0) is None
    assert refusal(listening, payload(CALL, late), after_s=100.0) is None
    assert acted_on(listening, 100.0) == ("approaching", "siren")


def test_a_stale_clear_of_another_run_does_not_end_a_call() -> None:
    listening = consumer(KEY)
    assert refusal(listening, payload(CALL, scribe(KEY, after_s=-4.0))) is None
    other = payload(CLEAR, scribe(KEY, "boot-2", after_s=-3.5, valid_for_s=2.0))
    assert refusal(listening, other) is Fault.STALE
    assert acted_on(listening) == ("approaching", "siren")


def test_what_the_broker_repeats_after_a_reconnection_is_no_replay() -> None:
    listening, by = consumer(KEY), scribe(KEY)
    call = payload(CALL, by)
    assert refusal(listening, call) is None
    assert refusal(listening, call, after_s=3.0, retained=True) is None
    assert acted_on(listening, 4.9) == ("approaching", "siren")
    assert acted_on(listening, 5.0) == ("clear", "expired")


@pytest.mark.parametrize(("how", "reason"), [({"advisory": True}, "advisory"), ({"mode": "replay"}, "replay")])
def test_trials_and_replays_are_told_but_not_acted_on_unless_it_is_a_rehearsal(how: Any, reason: str) -> None:  # noqa: ANN401
    listening, by = consumer(), scribe(**how)
    assert [call.reason for call in listening.changes(moment())] == ["unknown"]
    listening.take(TOPIC, payload(CALL, by), moment())
    assert acted_on(listening) == ("clear", reason)
    assert [(call.state, call.reason) for call in listening.changes(moment())] == [("clear", reason)]
    listening.take(TOPIC, payload(CLEAR, by), moment())
    assert [(call.state, call.reason) for call in listening.changes(moment())] == [("clear", "quiet")]
    rehearsing = consumer(rehearsal=True)
    rehearsing.take(TOPIC, payload(CALL, scribe(**how)), moment())
    assert acted_on(rehearsing) == ("approaching", "siren")


def test_each_change_is_told_once_and_a_refresh_is_none() -> None:
    listening, by = consumer(), scribe()
    told: list[tuple[float, str, str]] = []

    def note(after_s: float) -> None:
        told.extend((after_s, call.state, call.reason) for call in listening.changes(moment(after_s)))

    note(0.0)
    for second in range(1, 4):
        listening.take(TOPIC, payload(CALL, by, second), moment(second))
        note(second)
        note(second + 0.5)
    for second in range(4, 12):
        note(second)
    assert told == [(0.0, "clear", "unknown"), (1, "approaching", "siren"), (8, "clear", "expired")]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.sampled_from([CALL, CLEAR])),
        st.tuples(st.just("repeat"), st.integers(0, 20)),
        st.tuples(st.just("forge"), st.integers(0, 20)),
        st.tuples(st.just("wait"), st.floats(0.1, 4.0)),
        st.tuples(st.just("presence"), st.sampled_from([b"online", b"offline"])),
        st.tuples(st.just("restart"), st.none()),
        st.tuples(st.just("garbage"), st.binary(max_size=30)),
    ),
    max_size=40,
)


@given(STEPS)
def test_whatever_is_sent_a_call_is_in_force_only_if_the_daemon_said_so_lately(steps: list[tuple[str, Any]]) -> None:
    """An attacker repeats and forges at will; the model is what the daemon itself said last."""
    listening, by = consumer(KEY), scribe(KEY)
    now_s, boot, recorded = 0.0, 1, list[bytes]()
    said = (CallState.CLEAR, -100.0)
    told: list[Call] = listening.changes(moment())
    for kind, value in steps:
        if kind == "say":
            now_s += 0.01
            recorded.append(payload(value, by, now_s))
            said = (value.state, now_s)
            assert refusal(listening, recorded[-1], now_s) is None
        elif kind == "repeat" and recorded:
            assert refusal(listening, recorded[value % len(recorded)], now_s) in (Fault.REPLAYED, Fault.STALE)
        elif kind == "forge" and recorded:
            forged = {**json.loads(recorded[value % len(recorded)]), "seq": 10**6, "boot_id": "evil"}
            assert refusal(listening, json.dumps(forged).encode(), now_s) in (Fault.SIGNATURE, Fault.STALE)
        elif kind == "wait":
            now_s += value
        elif kind == "presence":  # nobody signed it
            listening.take(TOPICS.availability, value, moment(now_s))
            listening.take(TOPIC, b"", moment(now_s))
        elif kind == "restart":
            assert presence(listening, "offline", f"boot-{boot}", 1, KEY) is None  # its will
            said = (CallState.CLEAR, now_s)
            boot += 1
            now_s += 0.01
            by = scribe(KEY, f"boot-{boot}")
        elif kind == "garbage" and value:
            assert refusal(listening, value, now_s) is not None
        (call,) = listening.effective(moment(now_s))
        in_force = said[0] is CallState.APPROACHING and round(now_s - said[1], 3) < 4.999
        if abs(now_s - said[1] - 5.0) > 0.01:  # statements are dated to the millisecond
            assert call.is_active == in_force
        told += listening.changes(moment(now_s))
    states = [call.state for call in told]
    assert all(before != after for before, after in pairwise(states))


def test_an_offline_speaks_for_its_own_run_and_its_own_connection_only() -> None:
    """A frozen predecessor's late will, and the recorded will of a connection that was replaced."""
    listening, by = consumer(KEY), scribe(KEY)
    assert presence(listening, "online", "boot-1", 3, KEY) is None
    assert refusal(listening, payload(CALL, by)) is None
    assert presence(listening, "offline", "boot-0", 9, KEY) is None
    assert acted_on(listening) == ("approaching", "siren")
    assert presence(listening, "offline", "boot-1", 2, KEY) is Fault.REPLAYED
    assert acted_on(listening) == ("approaching", "siren")
    assert presence(listening, "offline", "boot-1", 3, KEY) is None
    assert acted_on(listening) == ("clear", "offline")
    assert refusal(listening, payload(CALL, by, 0.5), 0.5) is None  # a fresh signed state is proof of life
    assert acted_on(listening, 0.5) == ("approaching", "siren")
    assert presence(listening, "offline", "boot-1", 3, KEY) is Fault.REPLAYED
    assert acted_on(listening, 0.5) == ("approaching", "siren")


def test_with_a_key_nothing_unsigned_ends_a_call() -> None:
    for state, properties in (
        ("offline", {}),
        ("", {}),
        ("offline", {"boot_id": "boot-1", "connection": "1"}),
        ("offline", {"boot_id": "boot-1", "connection": "1", "kid": "0" * 8, "sig": "0" * 64}),
        ("offline", {"boot_id": "boot-1", "connection": "²", "kid": "0" * 8, "sig": "0" * 64}),
        ("garbage", {}),
    ):
        listening = consumer(KEY)
        assert refusal(listening, payload(CALL, scribe(KEY))) is None
        listening.take(TOPICS.availability, state.encode(), moment(), properties=properties)
        listening.take(TOPIC, b"", moment())
        assert acted_on(listening) == ("approaching", "siren")


def test_without_a_key_the_late_will_of_another_run_does_not_mute_the_site() -> None:
    listening = consumer(online=False)
    assert presence(listening, "online", "boot-1", 1) is None
    assert refusal(listening, payload(CALL)) is None
    assert presence(listening, "offline", "boot-0", 1) is None
    assert acted_on(listening) == ("approaching", "siren")
    assert presence(listening, "offline", "boot-1", 1) is None
    assert acted_on(listening) == ("clear", "offline")


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("is_named", [True, False])
def test_a_run_that_is_thrown_out_again_and_again_ends_its_call_once(key: bytes | None, is_named: bool) -> None:
    """Two clients of one id: the broker spoke a will each second, and as often the preempt began and ended."""
    listening, by, connection = consumer(key), scribe(key), 1
    told: list[CallState] = []

    def says(state: str, after_s: float) -> None:
        if is_named:
            assert presence(listening, state, "boot-1", connection, key, after_s=after_s) is None
        else:
            listening.take(TOPICS.availability, state.encode(), moment(after_s))
        told.extend(call.state for call in listening.changes(moment(after_s)))

    says("online", 0.0)
    for second in range(20):
        assert refusal(listening, payload(CALL, by, float(second)), float(second)) is None
        told.extend(call.state for call in listening.changes(moment(second)))
        says("offline", second + 0.4)
        connection += 1
        says("online", second + 0.6)
    flaps = told.count(CallState.CLEAR)
    assert flaps == (1 if key is not None and not is_named else 2)  # an unsigned word ends nothing that is signed
    assert acted_on(listening, 23.9) == ("approaching", "siren")
    assert acted_on(listening, 24.1) == ("clear", "expired")
    says("offline", 60.0)
    connection += 1
    assert refusal(listening, payload(CALL, by, 61.0), 61.0) is None
    says("online", 61.0)


def test_a_spare_daemon_that_comes_and_goes_does_not_end_a_call() -> None:
    listening, by = consumer(KEY), scribe(KEY)
    assert presence(listening, "online", "boot-1", 1, KEY) is None
    assert refusal(listening, payload(CALL, by)) is None
    spare = scribe(KEY, "spare", after_s=0.2)
    assert presence(listening, "online", "spare", 1, KEY) is None
    assert refusal(listening, payload(CLEAR, spare), 0.2) is None
    assert acted_on(listening, 0.2) == ("approaching", "siren")
    assert presence(listening, "offline", "spare", 1, KEY) is None
    assert acted_on(listening, 0.3) == ("approaching", "siren")
    assert refusal(listening, payload(CLEAR, by, 0.5), 0.5) is None
    assert acted_on(listening, 0.5)[0] == "clear"


def test_a_daemon_whose_clock_is_ahead_calls_no_longer_than_it_says() -> None:
    listening = consumer(KEY)
    assert refusal(listening, payload(CALL, scribe(KEY, after_s=59.0))) is None
    assert acted_on(listening, 4.9) == ("approaching", "siren")
    assert acted_on(listening, 5.0) == ("clear", "expired")


@pytest.mark.parametrize("ahead_s", [59.0, 3600.0])
def test_after_the_clocks_were_set_back_the_next_run_is_believed(ahead_s: float) -> None:
    """Both sides' clocks were ``ahead_s`` ahead until the daemon was restarted."""
    listening = consumer(KEY)
    then = Moment(NOW + timedelta(seconds=ahead_s), 1000.0)
    assert listening.take(TOPIC, payload(CALL, scribe(KEY, after_s=ahead_s)), then) is None
    for after_s in range(1, 12):  # it calls, and says so every second
        call = payload(CALL, scribe(KEY, "boot-2"), after_s)
        late = scribe(KEY, "boot-2", after_s=0.0)
        for _ in range(after_s):
            call = payload(CALL, late, after_s)
        listening.take(TOPIC, call, moment(after_s))
    assert acted_on(listening, 11.5) == ("approaching", "siren")


@pytest.mark.parametrize(
    "changes",
    [
        {"at": "9999-01-01T00:00:00.000Z"},
        {"at": "9999-01-01T00:00:00.000Z", "valid_until": "9999-01-01T00:00:05.000Z"},
        {"seq": 10**15},
        {"boot_id": "evil", "seq": 10**15, "at": "2026-11-22T21:04:03.000Z", "valid_until": "2026-11-22T21:04:08.000Z"},
    ],
)
def test_without_a_key_no_single_forgery_locks_the_site_out(changes: dict[str, Any]) -> None:
    listening, by = consumer(), scribe()
    listening.take(TOPIC, payload(CLEAR, by), moment())
    listening.take(TOPIC, json.dumps({**json.loads(payload(CLEAR, by)), **changes}).encode(), moment())
    for after_s in range(1, 13):
        listening.take(TOPIC, payload(CALL, by, after_s), moment(after_s))
    assert acted_on(listening, 12.5) == ("approaching", "siren")


def test_what_is_signed_in_canonical_form_is_told_apart_at_a_glance() -> None:
    listening, by = consumer(KEY), scribe(KEY)
    call = payload(CALL, by)
    assert listening.is_genuine(TOPIC, call)
    for forged in (call.replace(b"approaching", b"clear"), payload(CALL), b"", b"{}", call[:-1], call + b" "):
        assert not listening.is_genuine(TOPIC, forged)
    assert not listening.is_genuine(TOPIC, json.dumps(json.loads(call)).encode())  # it has to be looked at
    assert not consumer().is_genuine(TOPIC, call)


def test_a_state_that_comes_live_counts_where_nothing_was_heard_of_availability() -> None:
    # A cluster keeps what is retained on the node where it was said, and repeats it to nobody elsewhere.
    kept = consumer(online=False)
    assert refusal(kept, payload(CALL), retained=True) is None
    assert acted_on(kept) == ("clear", "offline")  # who said that may be gone
    live = consumer(online=False)
    assert refusal(live, payload(CALL)) is None
    assert acted_on(live) == ("approaching", "siren")
    for word in (b"offline", b""):
        gone = consumer(online=False)
        gone.take(TOPICS.availability, word, moment())
        assert refusal(gone, payload(CALL)) is None
        assert acted_on(gone) == ("clear", "offline")
    live.take(TOPICS.availability, b"offline", moment())
    assert acted_on(live) == ("clear", "offline")


def test_what_was_said_before_or_is_over_is_told_by_number_and_dates_alone() -> None:
    listening, by, earlier = consumer(KEY), scribe(KEY), scribe(KEY, "boot-0")
    old, first = payload(CALL, earlier), payload(CALL, by)
    second = payload(CLEAR, by, 1.0)
    for message in (first, second):
        assert listening.worn(TOPIC, message, moment()) is None
        assert listening.take(TOPIC, message, moment(1.0)) is None
    for message, after_s, fault in (
        (first, 1.0, Fault.REPLAYED),
        (second, 1.0, Fault.REPLAYED),
        (old, 6.0, Fault.STALE),
    ):
        worn = listening.worn(TOPIC, message, moment(after_s))
        assert worn is not None
        assert worn.fault is fault
        assert str(worn).startswith(TOPIC)
    assert listening.refused == {Fault.REPLAYED: 2, Fault.STALE: 1}
    assert listening.worn(TOPIC, b"{}", moment()) is None  # it has to be looked at
    assert consumer(KEY).worn(TOPIC, payload(CLEAR, by), moment(99.0)) is None  # a clear stands until another word


def test_a_recorded_statement_is_told_by_its_number_however_long_it_would_be_valid() -> None:
    """One that is valid for longer than what came last was read whole each time, which 10,000 a second do not allow."""
    listening, long = consumer(KEY), scribe(KEY, valid_for_s=30.0)
    recorded = payload(CALL, long, 0.0)
    short = scribe(KEY, valid_for_s=2.0)
    for number in range(4):
        assert listening.take(TOPIC, payload(CALL, short, float(number)), moment(float(number))) is None
    worn = listening.worn(TOPIC, recorded, moment(3.5))
    assert worn is not None
    assert worn.fault is Fault.REPLAYED
    assert refusal(listening, recorded, 3.5) is Fault.REPLAYED


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["boot-1", "boot-2", "boot-3"]),
            st.sampled_from([CALL, CLEAR]),
            st.floats(0.0, 20.0).map(lambda at_s: round(at_s, 1)),
            st.integers(0, 8),
        ),
        max_size=12,
    )
)
def test_the_short_way_refuses_nothing_that_would_count(said: list[tuple[str, Transition, float, int]]) -> None:
    """``worn`` beside ``take``: a consumer that asks it first and one that does not act on the same."""
    plain, quick = consumer(KEY), consumer(KEY)
    by = {boot_id: scribe(KEY, boot_id) for boot_id, *_ in said}
    recorded: list[bytes] = []
    for step, (boot_id, transition, at_s, repeated) in enumerate(said):
        recorded.append(payload(transition, by[boot_id], at_s))
        for message in (recorded[-1], recorded[repeated % len(recorded)]):
            now = moment(1.5 * step)
            refused = plain.take(TOPIC, message, now)
            worn = quick.worn(TOPIC, message, now)
            if worn is None:
                quick.take(TOPIC, message, now)
            else:
                assert refused is not None
            assert acted_on(plain, 1.5 * step) == acted_on(quick, 1.5 * step)
