import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirend.audio.stream import Samples
from sirend.call import event as events
from sirend.call import schemas
from sirend.call.clock import LiveClock, ReplayClock, utc_text
from sirend.call.event import Event, to_json
from sirend.call.machine import Transition
from sirend.call.scribe import Scribe
from sirend.call.state import CallState, Reason
from sirend.detect.arrival import Arrival
from sirend.detect.motion import Motion
from sirend.detect.tone import Tone
from sirend.signing import canonical, is_authentic

CALL = Transition(
    approach="north",
    state=CallState.APPROACHING,
    at=Samples(52_000),
    onset=Samples(36_000),
    confidence=0.97049,
    level_dbfs=-31.249,
    motion=Motion.UNKNOWN,
    reason=Reason.SIREN,
    refresh=False,
)
KEY = b"0123456789abcdef"
REFRESH = replace(CALL, at=Samples(68_000), refresh=True)
END = replace(CALL, state=CallState.CLEAR, at=Samples(160_000), reason=Reason.QUIET)


def _scribe(**changes: Any) -> Scribe:  # noqa: ANN401
    return Scribe(
        **{
            "site": "main-5th",
            "boot_id": "replay",
            "mode": "replay",
            "model": "siren-0.1.0@3f2a00000000",
            "clock": ReplayClock(),
            "valid_for_s": 5.0,
            **changes,
        }
    )


def _checked(event: Event) -> dict[str, Any]:
    """Return the event's JSON, having checked it against the schema."""
    payload: dict[str, Any] = json.loads(to_json(event))
    jsonschema.Draft202012Validator(schemas.event_schema()).validate(payload)
    return payload


def test_scribes_of_several_devices_share_their_numbers_but_not_their_clocks() -> None:
    first = _scribe()
    second = first.beside(ReplayClock(datetime(2026, 1, 1, tzinfo=UTC)))
    told = [first.write(CALL), second.write(replace(CALL, approach="south")), first.write(REFRESH)]
    assert [event.seq for event in told] == [1, 2, 3]
    assert first.seq == second.seq == 3
    assert [utc_text(event.at) for event in told[:2]] == ["1970-01-01T00:00:03.250Z", "2026-01-01T00:00:03.250Z"]
    assert told[2].event_id == told[0].event_id


def test_uptime_lays_streams_beside_each_other_by_what_has_arrived_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sirend.call.clock.time.monotonic", lambda: 100.0)
    early, late = LiveClock(arrived=lambda: 5_000), LiveClock(arrived=lambda: 9_000_000)
    assert early.uptime(Samples(5_000)) == late.uptime(Samples(9_000_000)) == 1_600_000
    assert early.uptime(Samples(1_000)) == late.uptime(Samples(8_996_000)) == 1_596_000
    assert early.uptime(Samples(6_000)) == 1_600_000  # what is still to come counts as now


def test_an_event_says_which_kind_of_siren_where_a_call_stands() -> None:
    assert _checked(_scribe().write(replace(CALL, tone=Tone.HILO)))["tone"] == "hilo"
    assert "tone" not in _checked(_scribe().write(CALL))


def test_an_event_says_when_the_siren_will_be_nearest_where_that_is_known() -> None:
    told = _checked(_scribe().write(replace(CALL, arrival=Arrival(5.04, 3.21, 6.66))))
    assert (told["eta_s"], told["eta_low_s"], told["eta_high_s"]) == (5.0, 3.2, 6.7)
    assert "eta_s" not in _checked(_scribe().write(CALL))


def test_an_event_is_the_contracts_json() -> None:
    assert _checked(_scribe(source="a.wav").write(CALL)) == {
        "schema": "sirend/event/1",
        "type": "emergency_approaching",
        "state": "approaching",
        "site": "main-5th",
        "approach": "north",
        "event_id": "a456b790-6eb1-53df-a4ef-d2c6bfe4c0de",
        "boot_id": "replay",
        "seq": 1,
        "at": "1970-01-01T00:00:03.250Z",
        "onset_at": "1970-01-01T00:00:02.250Z",
        "sample": 52_000,
        "confidence": 0.97,
        "motion": "unknown",
        "level_dbfs": -31.2,
        "reason": "siren",
        "valid_until": "1970-01-01T00:00:08.250Z",
        "mode": "replay",
        "model": "siren-0.1.0@3f2a00000000",
        "source": "a.wav",
    }


def test_the_json_has_one_form_of_bytes() -> None:
    text = to_json(_scribe(source="straße \udcff.wav").write(CALL))
    assert text.startswith('{"approach":"north","at":"1970-01-01T00:00:03.250Z","boot_id":"replay","confidence":0.97,')
    assert r'"source":"stra\u00dfe \udcff.wav"' in text
    assert text == canonical(json.loads(text))


def test_a_clear_says_why() -> None:
    payload = _checked(_scribe().write(END))
    assert (payload["type"], payload["state"], payload["reason"]) == ("emergency_cleared", "clear", "quiet")
    assert "source" not in payload
    assert "advisory" not in payload
    assert "sig" not in payload


def test_every_statement_has_its_number_and_every_change_its_identifier() -> None:
    scribe = _scribe()
    written = [scribe.write(transition) for transition in (CALL, REFRESH, END, replace(CALL, approach="south"))]
    assert [event.seq for event in written] == [1, 2, 3, 4]
    assert written[0].event_id == written[1].event_id
    assert len({event.event_id for event in written}) == 3
    assert [event.refresh for event in written] == [False, True, False, False]
    assert written[1].valid_until - written[0].valid_until == timedelta(seconds=1)


def test_the_same_replay_writes_the_same_and_another_file_other_identifiers() -> None:
    def first(source: str) -> Event:
        return _scribe(source=source).write(CALL)

    assert first("a.wav") == first("a.wav")
    assert first("a.wav").event_id != first("b.wav").event_id


def test_numbering_goes_on_from_an_earlier_scribe() -> None:
    scribe = _scribe(seq=7)
    assert scribe.seq == 7
    assert scribe.write(CALL).seq == scribe.seq == 8


def test_a_run_begins_with_a_clear_state_that_tells_of_no_change() -> None:
    event = _scribe(mode="live", boot_id="b").initial("north")
    payload = _checked(event)
    assert (payload["state"], payload["reason"], payload["confidence"], payload["level_dbfs"]) == (
        "clear",
        "shutdown",
        0.0,
        -120.0,
    )
    assert event.refresh


def test_a_trial_marks_its_events() -> None:
    assert _checked(_scribe(advisory=True).write(CALL))["advisory"] is True


def test_a_signature_holds_for_the_bytes_and_the_key_it_was_made_with() -> None:
    payload = _checked(_scribe(sign_key=KEY).write(CALL))
    assert is_authentic(payload, KEY)
    assert not is_authentic(payload, b"other")
    assert not is_authentic({name: value for name, value in payload.items() if name != "sig"}, KEY)
    for name, value in (("seq", 2), ("valid_until", "2099-01-01T00:00:00.000Z"), ("more", 1), ("sig", "ä")):
        assert not is_authentic({**payload, name: value}, KEY)


def test_the_signature_is_hmac_sha256_over_the_canonical_json_without_it() -> None:
    # as `openssl dgst -sha256 -hmac 0123456789abcdef` says of the unsigned JSON
    event = _scribe(sign_key=KEY).write(CALL)
    assert event.sig == "8c9864355d92f1c687e9abd0d186335083a806f3aee2f15d2f0f05b64dc0d30f"
    assert event.kid == "f0e13c1d"


@pytest.mark.parametrize(
    "change",
    [
        {"state": "clear"},
        {"reason": "quiet"},
        {"type": "emergency_cleared"},
        {"confidence": 1.2},
        {"seq": 0},
        {"site": "Main St"},
        {"at": "1970-01-01T00:00:03Z"},
        {"advisory": False},
        {"extra": 1},
        {"schema": "sirend/event/2"},
    ],
)
def test_the_schema_refuses_what_is_no_event(change: dict[str, object]) -> None:
    payload = _checked(_scribe().write(CALL))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schemas.event_schema()).validate({**payload, **change})


def test_the_schema_needs_every_field() -> None:
    payload = _checked(_scribe().write(CALL))
    for name in payload:
        with pytest.raises(jsonschema.ValidationError, match=f"'{name}' is a required property"):
            jsonschema.validate({key: value for key, value in payload.items() if key != name}, schemas.event_schema())


_transitions = st.builds(
    lambda state, reason, at, onset, confidence, level, motion, refresh: Transition(
        "main",
        state,
        Samples(onset + at),
        Samples(onset),
        confidence,
        level,
        motion,
        Reason.SIREN if state is CallState.APPROACHING else reason,
        refresh,
    ),
    st.sampled_from(CallState),
    st.sampled_from([reason for reason in Reason if reason is not Reason.SIREN]),
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.floats(0.0, 1.0),
    st.floats(-120.0, 3.0),
    st.sampled_from(Motion),
    st.booleans(),
)


@given(st.lists(_transitions, max_size=5), st.binary(min_size=16, max_size=80), st.text())
def test_whatever_happens_is_written_as_a_valid_signed_event(
    transitions: list[Transition], key: bytes, source: str
) -> None:
    scribe = _scribe(sign_key=key, source=source, advisory=True)
    for i, transition in enumerate(transitions):
        payload = _checked(scribe.write(transition))
        assert payload["seq"] == i + 1
        assert is_authentic(payload, key)


def test_the_schemas_are_valid_schemas() -> None:
    for schema in (schemas.event_schema(), schemas.health_schema(), schemas.ack_schema()):
        jsonschema.Draft202012Validator.check_schema(schema)


def test_a_health_message_is_checked_by_its_schema() -> None:
    outbox = dict.fromkeys(("queued", "published", "dropped_expired", "dropped_full", "refused", "reconnects"), 0)
    health: dict[str, Any] = {
        "schema": events.HEALTH_SCHEMA,
        "site": "s",
        "boot_id": "b",
        "at": utc_text(datetime(2026, 11, 22, tzinfo=UTC)),
        "state": "degraded",
        "reasons": ["the broker is away"],
        "levels_dbfs": {"main": None},
        **dict.fromkeys(("dropped_samples", "gaps", "windows_scored", "clock_steps", "journal_failures"), 0),
        "outbox": {"connected": False, **outbox},
        "model": "m",
        "version": "0.1.0",
        "uptime_s": 1.5,
        **dict.fromkeys(("cpu_percent", "rss_mb", "temperature_c"), None),
    }
    jsonschema.validate(health, schemas.health_schema())
    with pytest.raises(jsonschema.ValidationError, match="'fine' is not one of"):
        jsonschema.validate({**health, "state": "fine"}, schemas.health_schema())


def test_replay_time_counts_samples_from_the_start() -> None:
    clock = ReplayClock(datetime(2026, 11, 22, 21, 3, tzinfo=UTC))
    assert clock.utc(Samples(0)) == datetime(2026, 11, 22, 21, 3, tzinfo=UTC)
    assert clock.utc(Samples(16_000 * 3600 + 4_000)) == datetime(2026, 11, 22, 22, 3, 0, 250_000, tzinfo=UTC)


def test_live_time_counts_back_from_now_and_follows_a_corrected_clock() -> None:
    now = datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
    arrived = 48_000
    clock = LiveClock(arrived=lambda: arrived, now=lambda: now)
    assert clock.utc(Samples(32_000)) == datetime(1970, 1, 1, 0, 0, 59, tzinfo=UTC)
    now, arrived = datetime(2026, 11, 22, tzinfo=UTC), 64_000
    assert clock.utc(Samples(32_000)) == datetime(2026, 11, 21, 23, 59, 58, tzinfo=UTC)
    assert clock.utc(Samples(64_001)) == now


def test_live_time_is_in_utc_by_default() -> None:
    before = datetime.now(UTC)
    moment = LiveClock(arrived=lambda: 0).utc(Samples(0))
    assert before <= moment <= datetime.now(UTC)
    assert moment.tzinfo is UTC


def test_times_are_written_in_utc_to_the_millisecond() -> None:
    moment = datetime(2026, 11, 22, 22, 3, 4, 250_999, tzinfo=timezone(timedelta(hours=1)))
    assert utc_text(moment) == "2026-11-22T21:03:04.250Z"
