from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirend.detect.site_gain import SiteGain, SiteGainSpec, gain, quietest_dbfs, step

SPEC = SiteGainSpec(target_rms=2.0, prior_s=30.0, memory_s=120.0, low_db=-20.0, high_db=40.0, tolerance_db=0.0)
LENIENT = replace(SPEC, tolerance_db=12.0)


def _followed(rms: float, seconds: float, state: SiteGain | None = None) -> SiteGain:
    state = state or SiteGain()
    for _ in range(round(4 * seconds)):
        state = step(SPEC, state, np.array([rms]), 0.25)
    return state


def _db(state: SiteGain) -> float:
    return float(20.0 * np.log10(gain(SPEC, state)[0]))


@pytest.mark.parametrize(("rms", "counts_as_db"), [(2e-4, -60.0), (2e3, 40.0), (0.2, -20.0)])
def test_a_level_counts_as_no_further_off_than_any_street_lies(rms: float, counts_as_db: float) -> None:
    assert step(SPEC, SiteGain(), np.array([rms]), 30.0).mean_db == pytest.approx(counts_as_db * 30.0 / 60.0)


def test_a_stream_begins_at_the_level_that_it_has() -> None:
    assert _db(SiteGain()) == 0.0
    assert _db(_followed(2.0, 600.0)) == pytest.approx(0.0, abs=1e-9)


def test_the_gain_moves_over_minutes() -> None:
    assert _db(_followed(0.2, 5.0)) == pytest.approx(20.0 * 5 / 35, abs=1e-9)
    assert _db(_followed(0.2, 30.0)) == pytest.approx(10.0, abs=1e-9)
    assert 18.0 < _db(_followed(0.2, 300.0)) < 20.0


def test_a_siren_of_half_a_minute_is_not_taken_for_the_site() -> None:
    street = _followed(2.0, 600.0)
    assert -3.0 < _db(_followed(8.0, 30.0, street)) < -2.0  # 12 dB over the street


def test_the_gain_is_bounded() -> None:
    assert _db(_followed(1e-4, 3_600.0)) == pytest.approx(40.0)
    assert _db(_followed(1e3, 3_600.0)) == pytest.approx(-20.0)


@pytest.mark.parametrize(
    ("rms", "wanted_db"), [(0.51, 0.0), (2.0, 0.0), (7.9, 0.0), (0.2, 8.0), (0.02, 28.0), (20.0, -8.0), (1e-4, 40.0)]
)
def test_a_level_as_streets_have_it_is_left_alone_and_of_others_what_is_beyond_is_made_good(
    rms: float, wanted_db: float
) -> None:
    settled = SiteGain(20.0 * np.log10(np.array([rms]) / SPEC.target_rms), SPEC.memory_s)
    assert 20.0 * np.log10(gain(LENIENT, settled)[0]) == pytest.approx(wanted_db, abs=1e-9)


def test_the_quietest_street_is_one_that_the_greatest_gain_brings_within_the_tolerance() -> None:
    assert quietest_dbfs(replace(LENIENT, high_db=30.0)) == pytest.approx(-64.0)
    assert quietest_dbfs(replace(LENIENT, target_rms=0.2, high_db=30.0)) == pytest.approx(-84.0)


def test_digital_silence_says_nothing_of_the_site() -> None:
    quiet = _followed(0.2, 60.0)
    assert _db(_followed(0.0, 600.0, quiet)) == _db(quiet)


@given(st.lists(st.floats(0.0, 1e4), min_size=1, max_size=40))
def test_each_approach_has_its_own_level_and_the_gain_stays_in_bounds(levels: list[float]) -> None:
    both, one = SiteGain(), SiteGain()
    for rms in levels:
        both = step(SPEC, both, np.array([rms, 2.0]), 0.25)
        one = step(SPEC, one, np.array([rms]), 0.25)
    assert both.mean_db.tolist() == [*one.mean_db.tolist(), 0.0]
    assert 0.0999 <= gain(SPEC, both).min() <= gain(SPEC, both).max() <= 100.1
