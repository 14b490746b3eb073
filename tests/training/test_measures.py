import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirend.training import measures


def test_the_area_under_the_curve_counts_pairs() -> None:
    score = np.array([0.9, 0.4, 0.4, 0.1])
    siren = np.array([True, True, False, False])
    assert measures.area_under_roc(score, siren) == pytest.approx(3.5 / 4)


def test_f1_is_the_harmonic_mean_of_precision_and_recall() -> None:
    assert measures.f1(np.array([True, True, False]), np.array([True, False, True])) == pytest.approx(0.5)


def test_scores_close_together_are_one_false_alarm() -> None:
    end_s = np.array([1.0, 2.0, 8.0, 30.0])
    score = np.array([0.9, 0.2, 0.9, 0.9])
    assert measures.bursts(end_s, score, 0.5) == 2
    assert measures.threshold_for(end_s, score, 0) == 0.9
    assert measures.bursts(end_s, score, measures.threshold_for(end_s, score, 2)) <= 2


@pytest.mark.parametrize(("count", "upper"), [(0, 2.996), (1, 4.744), (10, 16.962)])
def test_the_poisson_bound_is_garwoods(count: int, upper: float) -> None:
    assert measures.poisson_upper(count) == pytest.approx(upper, abs=1e-3)


def test_a_share_is_shown_with_its_interval() -> None:
    assert measures.share(9, 10) == {"called": 9, "of": 10, "interval_95": [0.596, 0.982]}
    assert measures.share_text(measures.share(9, 10)) == "9 of 10 (0.60-0.98)"


def test_a_rate_has_the_exact_bound_and_none_without_hours() -> None:
    assert measures.rate(0, 2.0) == {"count": 0, "hours": 2.0, "per_hour": 0.0, "per_hour_upper_95": 1.5}
    assert measures.rate(1, 0.0)["per_hour_upper_95"] is None


@given(st.lists(st.floats(0.0, 100.0), max_size=12), st.lists(st.floats(0.0, 100.0), max_size=12))
def test_a_call_is_paired_once(onset_s: list[float], call_s: list[float]) -> None:
    pairs = measures.paired(onset_s, call_s, 1.0, 3.0)
    assert pairs <= min(len(onset_s), len(call_s))
    assert pairs <= sum(any(-1.0 <= call - onset <= 3.0 for call in call_s) for onset in onset_s)
    assert measures.paired(onset_s, onset_s, 1.0, 3.0) == len(onset_s)


def test_the_first_call_in_time_is_the_sirens() -> None:
    assert measures.paired([10.0, 60.0], [9.5, 10.5, 70.0], 1.0, 3.0) == 1
    assert measures.paired([10.0, 12.0], [12.5, 12.9], 1.0, 3.0) == 2
