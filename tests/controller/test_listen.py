"""The lines that ``sirend listen`` prints."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.transitions import CALL

from sirend.call.clock import ReplayClock
from sirend.call.event import to_json
from sirend.call.scribe import Scribe
from sirend.call.state import CallState
from sirend.client import Call
from sirend.client.statement import parse_statement
from sirend.controller.listen import TimesToGo, line_of
from sirend.detect.arrival import Arrival

NOW = datetime(2026, 11, 22, 21, 3, 4, tzinfo=UTC)


def line(state: CallState = CallState.APPROACHING, **damage: Any) -> dict[str, object]:  # noqa: ANN401  any JSON value
    """Return what is printed of a call whose statement has the fields of ``damage``."""
    scribe = Scribe(site="s", boot_id="b", mode="live", model="m", clock=ReplayClock(NOW), valid_for_s=5.0)
    said = json.loads(to_json(scribe.write(replace(CALL, arrival=Arrival(6.04, 3.21, 8.96)))))
    statement = parse_statement(json.dumps({**said, **damage}).encode())
    made: dict[str, object] = json.loads(line_of(Call("s", "main", state, statement.reason, NOW, statement)))
    return made


def test_the_line_of_a_call_has_the_time_to_go_that_it_said() -> None:
    assert line() == {
        "site": "s", "approach": "main", "state": "approaching", "reason": "siren", "at": "2026-11-22T21:03:04.000Z",
        "eta_s": 6.0, "eta_low_s": 3.2, "eta_high_s": 9.0,
    }  # fmt: skip


@pytest.mark.parametrize("damage", [{"eta_s": "6"}, {"eta_low_s": -1}, {"eta_high_s": 10**400}, {"eta_s": None}])
def test_what_is_no_time_is_not_printed(damage: dict[str, Any]) -> None:
    assert "eta_s" not in line(**damage)


def test_a_call_that_learns_the_time_to_go_is_told_once_more() -> None:
    scribe = Scribe(site="s", boot_id="b", mode="live", model="m", clock=ReplayClock(NOW), valid_for_s=5.0)
    times = TimesToGo()

    def said(arrival: Arrival | None, *, is_new: bool = False, is_told: bool = False) -> int:
        event = scribe.write(replace(CALL, arrival=arrival, refresh=not is_new))
        statement = parse_statement(to_json(event).encode())
        call = Call("s", "main", statement.state, statement.reason, NOW, statement)
        return len(times.due([call], [call] if is_told else []))

    coming = Arrival(6.04, 3.21, 8.96)
    assert [said(None, is_new=True, is_told=True), said(None), said(coming), said(coming), said(None)] == [
        0,
        0,
        1,
        0,
        0,
    ]
    assert said(coming) == 0, "it comes and goes"
    assert [said(coming, is_new=True, is_told=True), said(coming)] == [0, 0], "its first line had it"
    assert [said(None, is_new=True), said(coming)] == [0, 1], "the next call"
    assert times.due([Call("s", "main", CallState.CLEAR, "quiet", NOW, None)], []) == []


def test_a_call_that_is_over_has_none() -> None:
    assert "eta_s" not in line(CallState.CLEAR)
