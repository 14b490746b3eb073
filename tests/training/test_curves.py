from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirend.training import curves

if TYPE_CHECKING:
    from pathlib import Path

SCORE = np.array([0.9, 0.8, 0.7, 0.3, 0.2])
SIREN = np.array([True, True, False, True, False])


def test_each_threshold_has_its_alarms_and_misses() -> None:
    alarms, misses = curves.rates(SCORE, SIREN)
    np.testing.assert_allclose(alarms, [0.0, 0.0, 0.5, 0.5, 1.0])
    np.testing.assert_allclose(misses, [2 / 3, 1 / 3, 1 / 3, 0.0, 0.0])
    precision, recall = curves.precision_recall(SCORE, SIREN)
    np.testing.assert_allclose(precision, [1.0, 1.0, 2 / 3, 3 / 4, 3 / 5])
    np.testing.assert_allclose(recall, [1 / 3, 2 / 3, 2 / 3, 1.0, 1.0])
    assert curves.equal_error_rate(SCORE, SIREN) == pytest.approx(5 / 12)


@given(st.lists(st.tuples(st.floats(0.0, 1.0), st.booleans()), min_size=1))
def test_fewer_misses_cost_more_alarms(clips: list[tuple[float, bool]]) -> None:
    score, siren = np.array([each for each, _ in clips]), np.array([each for _, each in clips], dtype=bool)
    alarms, misses = curves.rates(score, siren)
    assert (np.diff(alarms) >= 0.0).all()
    assert (np.diff(misses) <= 0.0).all()
    assert misses[-1] == 0.0


def test_the_curves_are_drawn(tmp_path: Path) -> None:
    curves.draw_curves(tmp_path / "curves.png", {"sirend": (SCORE, SIREN), "yamnet": (1.0 - SCORE, SIREN)})
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
