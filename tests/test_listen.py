from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sirend.audio import Samples
from sirend.debounce import CallState, Reason, Transition
from sirend.events import ReplayClock, Scribe, to_json
from sirend.listen import Consumer
from sirend.motion import Motion
from sirend.topics import Topics

NOW = datetime(2026, 11, 22, 21, 3, 4, tzinfo=UTC)
TOPICS = Topics("sirend", "main-5th")
ROOT = TOPICS.root
TOPIC = f"{ROOT}/main/emergency"
KEY = b"secret"
CALL = Transition(
    approach="main",
    state=CallState.APPROACHING,
    at=Samples(0),
    onset=Samples(0),
    confidence=0.9,
    level_dbfs=-30.0,
    motion=Motion.UNKNOWN,
    reason=Reason.SIREN,
    refresh=False,
)
CLEAR = replace(CALL, state=CallState.CLEAR, reason=Reason.QUIET)


def scribe(key: bytes | None = None, boot_id: str = "boot-1", valid_for_s: float = 5.0) -> Scribe:
    return Scribe(
        site="main-5th",
        boot_id=boot_id,
        mode="live",
        model="siren-9.9.9@0123456789ab",
        clock=ReplayClock(NOW),
        valid_for_s=valid_for_s,
        sign_key=key,
    )


def payload(transition: Transition, by: Scribe | None = None) -> bytes:
    return to_json((by or scribe()).write(transition)).encode()


def consumer(key: bytes | None = None, *, online: bool = True) -> Consumer:
    made = Consumer(TOPICS, ["main"], key)
    if online:
        assert made.take(f"{ROOT}/availability", b"online", NOW) is None
    return made


def acted_on(by: Consumer, after_s: float = 0.0) -> tuple[str, str]:
    ((approach, state, reason),) = by.effective(NOW + timedelta(seconds=after_s))
    assert approach == "main"
    return state, reason


def test_nothing_known_is_clear() -> None:
    assert acted_on(consumer(online=False)) == ("clear", "offline")
    assert acted_on(consumer()) == ("clear", "unknown")


def test_a_call_counts_until_it_expires() -> None:
    listening = consumer()
    assert listening.take(TOPIC, payload(CALL), NOW) is None
    assert acted_on(listening) == ("approaching", "siren")
    assert acted_on(listening, 4.9) == ("approaching", "siren")
    assert acted_on(listening, 5.1) == ("clear", "expired")


def test_a_clear_and_an_emptied_topic_end_a_call() -> None:
    listening = consumer()
    for ending, reason in ((payload(CLEAR), "quiet"), (b"", "unknown")):
        listening.take(TOPIC, payload(CALL), NOW)
        assert acted_on(listening) == ("approaching", "siren")
        listening.take(TOPIC, ending, NOW)
        assert acted_on(listening) == ("clear", reason)


def test_a_daemon_that_went_offline_calls_nobody() -> None:
    listening = consumer()
    listening.take(TOPIC, payload(CALL), NOW)
    listening.take(f"{ROOT}/availability", b"offline", NOW)
    assert acted_on(listening) == ("clear", "offline")


@pytest.mark.parametrize(
    ("damage", "refusal"),
    [
        (lambda _: b"{", "no state of sirend (JSONDecodeError: "),
        (lambda _: b"[]", "no state of sirend (TypeError: "),
        (lambda state: json.dumps({**state, "valid_until": "noon"}).encode(), "no state of sirend (ValueError: "),
        (lambda state: json.dumps({**state, "valid_until": "2026-11-22"}).encode(), "no state of sirend (TypeError: "),
        (lambda state: json.dumps({**state, "approach": "north"}).encode(), "it speaks of something else"),
        (lambda state: json.dumps({**state, "state": "maybe"}).encode(), "it speaks of something else"),
        (
            lambda state: json.dumps({**state, "valid_until": "2027-01-01T00:00:00.000Z"}).encode(),
            "it claims to be valid for too long",
        ),
    ],
)
def test_what_is_no_state_is_refused_and_changes_nothing(damage: Any, refusal: str) -> None:  # noqa: ANN401
    listening = consumer()
    told = listening.take(TOPIC, damage(json.loads(payload(CALL))), NOW)
    assert told is not None
    assert told.startswith(f"{TOPIC}: {refusal}")
    assert acted_on(listening) == ("clear", "unknown")


def test_other_topics_are_none_of_its_business() -> None:
    listening = consumer()
    assert listening.take(f"{ROOT}/west/emergency", payload(CALL), NOW) is None
    assert acted_on(listening) == ("clear", "unknown")


def test_with_a_key_only_what_it_signed_counts() -> None:
    listening = consumer(KEY)
    assert listening.take(TOPIC, payload(CALL), NOW) == f"{TOPIC}: its signature is missing or wrong"
    assert listening.take(TOPIC, payload(CALL, scribe(b"other")), NOW) == f"{TOPIC}: its signature is missing or wrong"
    forged = {**json.loads(payload(CALL, scribe(KEY))), "confidence": 1.0}
    assert listening.take(TOPIC, json.dumps(forged).encode(), NOW) == f"{TOPIC}: its signature is missing or wrong"
    assert acted_on(listening) == ("clear", "unknown")
    assert listening.take(TOPIC, payload(CALL, scribe(KEY)), NOW) is None
    assert acted_on(listening) == ("approaching", "siren")


def test_with_a_key_nothing_is_believed_twice() -> None:
    listening, first, second = consumer(KEY), scribe(KEY), scribe(KEY, "boot-2")
    call, clear = payload(CALL, first), payload(CLEAR, first)
    assert listening.take(TOPIC, call, NOW) is None
    assert listening.take(TOPIC, clear, NOW) is None
    for replayed in (call, clear):
        assert listening.take(TOPIC, replayed, NOW) == f"{TOPIC}: it was said before"
    assert listening.take(TOPIC, payload(CLEAR, second), NOW) is None
    assert listening.take(TOPIC, payload(CALL, first), NOW) == f"{TOPIC}: it was said before"
    assert acted_on(listening) == ("clear", "quiet")


def test_with_a_key_a_stale_call_is_refused_and_a_clear_never_is() -> None:
    later = NOW + timedelta(seconds=6.0)
    by = scribe(KEY)
    listening = consumer(KEY)
    assert listening.take(TOPIC, payload(CALL, by), later) == f"{TOPIC}: it is stale"
    assert listening.take(TOPIC, payload(CLEAR, by), later) is None
