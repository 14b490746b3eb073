from __future__ import annotations

from sirend.service.floors import FloorTrend


def fill(floor: FloorTrend, minutes: range, dbfs: float) -> None:
    for minute in minutes:
        for window in range(10):
            floor.observe(dbfs + window, 60.0 * minute + 6.0 * window)


def test_the_floor_is_that_of_ten_minutes_and_its_drift_that_against_a_day() -> None:
    floor = FloorTrend(0.0)
    assert (floor.dbfs, floor.drift_db) == (None, None)
    fill(floor, range(50), -60.0)
    assert (floor.dbfs, floor.drift_db) == (-59.0, None)
    fill(floor, range(50, 300), -60.0)
    assert floor.drift_db == 0.0
    fill(floor, range(300, 312), -45.0)
    assert floor.dbfs == -44.0
    assert floor.drift_db == 15.0
    fill(floor, range(312, 312 + 24 * 60), -45.0)
    assert floor.drift_db == 0.0, "after a day it is the new normal"
