from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sirend.audio.stream import to_samples
from sirend.call.clock import ReplayClock
from sirend.call.schedule import schedule
from sirend.config.settings import Inhibit

if TYPE_CHECKING:
    import pytest


def test_a_time_zone_that_changes_moves_the_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    """The C library keeps the zone that it found first; the zone of a test's own is undone before others run."""
    monkeypatch.setenv("TZ", "Etc/UTC")
    time.tzset()
    morning = Inhibit(from_min=0, to_min=60)
    is_inhibited = schedule([morning], ReplayClock(datetime(2026, 11, 28, 0, 0, tzinfo=UTC)))
    assert is_inhibited(to_samples(1.0))
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert not is_inhibited(to_samples(12.0))
    monkeypatch.undo()
    time.tzset()
