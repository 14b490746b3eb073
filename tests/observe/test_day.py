from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.observe.test_snapshot import feed, setup

from sirend.observe.day import MINUTES, WRITTEN_EVERY, Day
from sirend.observe.snapshot import Moment, View

if TYPE_CHECKING:
    from pathlib import Path

START_S = 1_800_000_000


def moment(level_dbfs: float, evidence: float = 0.1) -> Moment:
    view = View(setup())
    feed(view, 1)
    (made,) = view.since(0).moments
    return replace(made, heard=(replace(made.heard[0], level_dbfs=level_dbfs, evidence=evidence),))


def fill(day: Day, minutes: int) -> None:
    for minute in range(minutes + 1):
        day.take(moment(-40.0), "ok", START_S + 60 * minute)


def test_a_minute_has_its_median_its_floor_its_most_evidence_and_its_worst_health() -> None:
    day = Day(["main"])
    for number in range(10):
        day.take(moment(-60.0 + number, 0.05 * number), "degraded" if number == 4 else "ok", START_S + number)
    minute = day.take(moment(-10.0), "ok", START_S + 60)
    assert minute is not None
    assert minute.values() == [START_S, 1, [-55.5], [pytest.approx(-59.1)], [0.45]]
    assert day.recent(START_S + 90) == [minute.values()]


def test_it_keeps_a_day_and_no_more() -> None:
    day = Day(["main"])
    fill(day, MINUTES + 30)
    recent = day.recent(START_S + 60 * (MINUTES + 30))
    assert len(recent) == MINUTES
    assert recent[0][0] == START_S + 60 * 30
    assert day.recent(START_S + 60 * (3 * MINUTES)) == []


def test_it_outlives_a_restart_but_not_another_junction_nor_a_torn_file(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl.day"
    day = Day(["main"], file)
    fill(day, WRITTEN_EVERY)
    assert len(Day(["main"], file).recent(START_S + 900)) == WRITTEN_EVERY
    fill(day, 3)
    day.write()
    assert Day(["north", "south"], file).recent(START_S + 900) == []
    file.write_bytes(file.read_bytes()[:-9])
    assert Day(["main"], file).recent(START_S + 900) == []
    for content in (b"", b"[1]\n", b'{"approaches": ["main"]}\n["x"]\n[1, 9, [1], [1], [1]]\n[1, 0, [1], [NaN], []]\n'):
        file.write_bytes(content)
        assert Day(["main"], file).recent(1) == []


def test_a_clock_that_is_set_back_leaves_no_minute_twice() -> None:
    day = Day(["main"])
    fill(day, 5)
    day.take(moment(-30.0), "ok", START_S + 60)
    day.take(moment(-30.0), "ok", START_S + 120)
    assert [values[0] - START_S for values in day.recent(START_S + 600)] == [0, 60]


def test_a_disk_that_fails_is_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    day = Day(["main"], tmp_path / "none" / "events.jsonl.day")
    fill(day, 3 * WRITTEN_EVERY)
    assert len(caplog.messages) == 1
    assert "the day at a glance cannot be kept" in caplog.messages[0]
