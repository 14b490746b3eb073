import numpy as np
import pytest

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
