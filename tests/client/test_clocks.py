from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from sirend.client.clocks import ClockOffset

NOW = datetime(2026, 11, 22, 21, 3, 4, tzinfo=UTC)


def told(*ahead_s: float) -> str | None:
    offset = ClockOffset()
    for each in ahead_s:
        offset.heard(json.dumps({"at": (NOW + timedelta(seconds=each)).isoformat()}).encode(), NOW)
    return offset.problem


def test_what_matters_is_told_after_two_words() -> None:
    assert told(-12.0) is None
    assert told(-12.0, -13.0) == (
        "the site's clock is 12 s behind ours, so its calls may not count; let both be set by the same time server"
    )
    assert (told(-400.0, 3_600.0), told(3_600.0, 3_601.0)) == (
        None,
        "the site's clock is 3600 s ahead of ours, so its calls may not count; let both be set by the same time server",
    )


def test_a_word_that_was_held_up_and_what_does_no_harm_are_not_told() -> None:
    assert told(-40.0, -0.1) is None
    assert told(-1.9, -1.9) is None
    assert told(20.0, 20.0) is None


@pytest.mark.parametrize(
    "health",
    [b"", b"{}", b"[]", b'{"at": 1}', b'{"at": "now"}', b'{"at": "2026-11-22T21:03:04"}', b"[" * 70_000, b"\xff"],
)
def test_what_has_no_time_in_it_says_nothing(health: bytes) -> None:
    offset = ClockOffset()
    for _ in range(2):
        offset.heard(health, NOW)
    assert offset.problem is None
