from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirend.detect.recollection import mean_log_odds

LOGITS = st.lists(st.floats(-60, 60), min_size=1, max_size=16)


def test_odds_are_averaged_and_not_their_logarithms() -> None:
    said = np.log([[1.0, 4.0], [3.0, 8.0]])
    np.testing.assert_allclose(mean_log_odds(said), np.log([2.0, 6.0]))


def test_what_was_not_listened_to_does_not_count() -> None:
    said = np.array([[1.0, np.nan, np.nan], [np.nan, 2.0, np.nan]])
    np.testing.assert_array_equal(mean_log_odds(said), [1.0, 2.0, np.nan])


@given(LOGITS)
def test_it_lies_between_the_mean_and_the_largest(said: list[float]) -> None:
    mean = float(mean_log_odds(np.array(said)))
    assert np.mean(said) - 1e-9 <= mean <= max(said) + 1e-9


@given(LOGITS)
def test_one_patch_in_so_many_counts_for_its_share(said: list[float]) -> None:
    alone = float(mean_log_odds(np.array([*said, 1000.0])))
    assert alone == pytest.approx(1000.0 - np.log(len(said) + 1))
