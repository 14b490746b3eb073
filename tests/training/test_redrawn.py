from __future__ import annotations

import numpy as np
import pytest

from sirend.detect.bundle import OperatingPoint
from sirend.training import redrawn
from sirend.training.passages import Passage

POINT = OperatingPoint(0.8, 0.4, 0.25, 3.0)
NONE_DB = float("nan")


def _of(level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a stream that is as sure as ``level`` from its sixth to its tenth second."""
    end_s = np.arange(1.0, 12.1, 0.25)
    return end_s, np.where((end_s >= 6.0) & (end_s < 10.0), level, 0.01)


def _expected(streets: list[float], sirens: list[float], most: int) -> redrawn.Expected:
    planned = [Passage("street", "a", 0, (0,)) for _ in streets]
    planned += [Passage("siren", "b", 0, (0,), (1,), 0.0) for _ in sirens]
    return redrawn.expected_recall(planned, [_of(level) for level in (*streets, *sirens)], POINT, [most])[most]


def test_streets_that_are_all_alike_decide_as_they_are() -> None:
    found = _expected([0.5] * 20, [0.4, 0.7, 0.8, 0.9], 1)
    assert found.recall == {"siren +0": 0.75}
    assert found.deviation == 0.0


def test_one_loud_street_decides_no_longer_alone() -> None:
    """It is the surest of ten: where it is drawn twice or more, 26 % of the time, one false call leaves .6 uncalled."""
    found = _expected([0.95] + [0.3] * 9, [0.6, 0.97], 1)
    assert found.recall["siren +0"] == pytest.approx(1.0 - 0.5 * 0.264, abs=0.03)
    assert found.deviation == pytest.approx(0.5 * np.sqrt(0.264 * 0.736), abs=0.03)


def test_fewer_streets_than_false_calls_leave_no_threshold() -> None:
    assert _expected([0.9, 0.9], [0.2], 3).recall == {"siren +0": 1.0}


def test_nothing_to_draw_from_expects_nothing() -> None:
    assert redrawn.expected_recall([], [], POINT, [1]) == {}
