from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirend.detect.bundle import OperatingPoint
from sirend.training import decision

POINT = OperatingPoint(enter=0.8, exit=0.4, confirm_s=0.75, release_s=3.0)


def _series(*parts: tuple[float, float], hop_s: float = 0.48) -> decision.Series:
    """Return scores that stay as long, s, as each part says, one after the other."""
    score = np.concatenate([np.full(round(seconds / hop_s), value) for seconds, value in parts])
    return 0.975 + hop_s * np.arange(len(score)), score


def test_a_siren_is_one_call_and_a_stray_window_none() -> None:
    series = _series((10.0, 0.01), (6.0, 0.99), (20.0, 0.01), (0.5, 0.99), (20.0, 0.01))
    begun = decision.calls(series, decision.rules(POINT, 0.8))
    assert len(begun) == 1
    assert 10.0 < begun[0] < 14.0


def test_nothing_heard_calls_nothing() -> None:
    assert len(decision.calls((np.zeros(0), np.zeros(0)), decision.rules(POINT, 0.5))) == 0


@given(st.floats(0.05, 0.95))
def test_the_hysteresis_moves_with_the_threshold(enter: float) -> None:
    by = decision.rules(POINT, enter)
    odds = (by.enter / (1 - by.enter)) / (by.exit / (1 - by.exit))
    assert odds == pytest.approx((0.8 / 0.2) / (0.4 / 0.6))


def test_the_threshold_allows_no_more_calls_than_asked() -> None:
    streams = [_series((20.0, 0.01), (6.0, level), (20.0, 0.01)) for level in (0.3, 0.5, 0.7, 0.9)]
    thresholds = [decision.matched(streams, POINT, most) for most in range(5)]
    assert thresholds == sorted(thresholds, reverse=True)
    for most, threshold in enumerate(thresholds):
        by = decision.rules(POINT, threshold)
        assert sum(len(decision.calls(series, by)) for series in streams) <= most
    assert all(np.diff(thresholds) < 0.0), "each siren more is bought with a lower threshold"
    assert thresholds[4] < 0.3


def test_the_highest_threshold_is_that_at_which_a_siren_is_just_called() -> None:
    for level in (0.3, 0.6, 0.9):
        series = _series((20.0, 0.01), (6.0, level), (20.0, 0.01))
        highest = decision.highest(series, POINT)
        assert len(decision.calls(series, decision.rules(POINT, highest))) == 1
        assert level - 0.03 < highest <= level
        assert decision.highest(series, POINT, since_s=30.0) == 0.0
    assert decision.highest(_series((20.0, 0.001)), POINT) == 0.0


def test_a_call_before_counts_neither_for_a_siren_nor_against_it() -> None:
    street = _series((20.0, 0.4), (6.0, 0.9), (10.0, 0.01))
    assert not (decision.calls(street, decision.rules(POINT, 0.3)) > 20.0).any()
    assert decision.highest(street, POINT, since_s=20.0) == pytest.approx(0.89, abs=0.015)
