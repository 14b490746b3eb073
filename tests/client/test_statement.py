from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.transitions import CALL

from sirend.call.clock import ReplayClock
from sirend.call.event import to_json
from sirend.call.scribe import Scribe
from sirend.call.state import CallState
from sirend.client.statement import LARGEST_BYTES, Fault, StatementError, parse_statement

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 11, 22, 21, 3, 4, tzinfo=UTC)


def fields(**changes: object) -> dict[str, Any]:
    """Return the fields of a call, as JSON values."""
    by = Scribe(site="s", boot_id="b", mode="live", model="m", clock=ReplayClock(NOW), valid_for_s=5.0, advisory=True)
    made: dict[str, Any] = json.loads(to_json(by.write(CALL)))
    return {**made, **changes}


def test_a_statement_has_the_fields_of_the_event() -> None:
    stated = parse_statement(json.dumps(fields()).encode())
    assert (stated.site, stated.approach, stated.state, stated.reason) == ("s", "main", "approaching", "siren")
    assert (stated.boot_id, stated.seq, stated.mode, stated.advisory) == ("b", 1, "live", True)
    assert (stated.valid_until - stated.at).total_seconds() == 5.0
    assert stated.at == NOW
    assert stated.payload["confidence"] == 0.9


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda _: b"{", Fault.MALFORMED),
        (lambda _: b"[]", Fault.MALFORMED),
        (lambda _: b"\xff\xfe\x00", Fault.MALFORMED),
        (lambda _: b"[" * 5000, Fault.MALFORMED),
        (lambda _: b"1" * 5000, Fault.MALFORMED),
        (lambda _: b'{"schema":NaN}', Fault.MALFORMED),
        (lambda f: json.dumps({**f, "source": "x" * LARGEST_BYTES}).encode(), Fault.TOO_BIG),
        (lambda f: json.dumps({**f, "schema": "sirend/event/2"}).encode(), Fault.SCHEMA),
        (lambda f: json.dumps({**f, "state": "clear"}).encode(), Fault.MALFORMED),
        (lambda f: json.dumps({**f, "type": "emergency_cleared", "state": "clear"}).encode(), Fault.MALFORMED),
        (lambda f: json.dumps({**f, "reason": "quiet"}).encode(), Fault.MALFORMED),
        (lambda f: json.dumps({**f, "type": ["emergency_approaching"]}).encode(), Fault.MALFORMED),
        (lambda f: json.dumps({**f, "seq": 0}).encode(), Fault.MALFORMED),
        (lambda f: json.dumps({**f, "seq": True}).encode(), Fault.MALFORMED),
        (lambda f: json.dumps({**f, "seq": "1"}).encode(), Fault.MALFORMED),
        (lambda f: json.dumps({**f, "mode": "dream"}).encode(), Fault.MALFORMED),
        (lambda f: json.dumps({**f, "advisory": False}).encode(), Fault.MALFORMED),
        (lambda f: json.dumps({**f, "tone": 3}).encode(), Fault.MALFORMED),
        (lambda f: json.dumps({**f, "tone": ""}).encode(), Fault.MALFORMED),
        (lambda f: json.dumps({**f, "approach": "North"}).encode(), Fault.MALFORMED),
        (lambda f: json.dumps({**f, "boot_id": "a\nb"}).encode(), Fault.MALFORMED),
        (lambda f: json.dumps({**f, "valid_until": "noon"}).encode(), Fault.MALFORMED),
        (lambda f: json.dumps({**f, "valid_until": "2026-02-31T00:00:00.000Z"}).encode(), Fault.MALFORMED),
        (lambda f: json.dumps({**f, "at": "2026-11-22T21:03:04+00:00"}).encode(), Fault.MALFORMED),
    ],
)
def test_what_is_no_statement_says_why(damage: Callable[[dict[str, Any]], bytes], fault: Fault) -> None:
    with pytest.raises(StatementError) as refused:
        parse_statement(damage(fields()))
    assert refused.value.fault is fault


@pytest.mark.parametrize(
    "key", ["schema", "type", "state", "reason", "site", "approach", "event_id", "boot_id", "seq", "at", "mode"]
)
def test_what_decides_must_be_there(key: str) -> None:
    found = fields()
    del found[key]
    with pytest.raises(StatementError):
        parse_statement(json.dumps(found).encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_nothing_but_the_contract_is_a_statement(payload: bytes) -> None:
    with pytest.raises(StatementError):
        parse_statement(payload)


@given(st.sampled_from(sorted(fields())), JSON)
def test_a_damaged_field_is_refused_or_harmless(key: str, value: object) -> None:
    try:
        stated = parse_statement(json.dumps(fields(**{key: value})).encode())
    except StatementError:
        return
    assert stated.state is CallState.APPROACHING
    assert (stated.valid_until - NOW).total_seconds() == 5.0 or key == "valid_until"
