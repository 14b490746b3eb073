"""How fast a siren grows louder, whatever its own level does meanwhile."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirend.detect.motion import Motion, weigh
from sirend.detect.slope import STEP_S, Slope, slope


def heard(db_s: float, *, seconds: float = 12.0, road_db: float = 0.0, cycle: float | None = None) -> Slope | None:
    """Return the slope of a wail of 4 s that has 8 dB less at its highest, under a road's slow swing."""
    at_s = np.arange(round(seconds / STEP_S)) * STEP_S
    octaves = 9.5 + 0.65 * (1.0 - np.cos(2.0 * np.pi * at_s / 4.0))
    level_db = -50.0 + db_s * at_s - 6.0 * (octaves - 9.5) + road_db * np.sin(2.0 * np.pi * at_s / 7.0)
    frames = [each.astype(np.float32) for each in (np.exp2(octaves), np.full(at_s.size, 0.8), level_db)]
    return slope(frames[0], frames[1], frames[2], cycle)


@given(st.floats(-3.0, 3.0), st.sampled_from([None, 4.0 / STEP_S]))
def test_the_sirens_own_swing_is_taken_out(db_s: float, cycle: float | None) -> None:
    found = heard(db_s, cycle=cycle)
    assert found is not None
    assert found.db_s == pytest.approx(db_s, abs=0.05)
    assert found.error_db_s < 0.1


def test_a_clear_rise_and_fall_are_sure_and_a_roads_swing_is_not() -> None:
    rising, falling, swinging = heard(0.8), heard(-0.8), heard(0.1, road_db=5.0)
    assert rising is not None
    assert falling is not None
    assert swinging is not None
    assert (rising.is_rising, rising.is_falling) == (True, False)
    assert (falling.is_rising, falling.is_falling) == (False, True)
    assert not swinging.is_rising
    assert not swinging.is_level(0.12)


def test_too_little_or_a_steady_tone_says_nothing() -> None:
    assert heard(1.0, seconds=3.5) is None
    steady, strong = np.full(400, 700.0, np.float32), np.full(400, 0.8, np.float32)
    assert slope(steady, strong, np.linspace(-60.0, -40.0, 400, dtype=np.float32), None) is None


RISING, FALLING, LEVEL = Slope(0.9, 0.1, 0.8, 0.0), Slope(-0.9, 0.1, -0.8, 9.0), Slope(0.0, 0.05, 0.0, 0.5)


@pytest.mark.parametrize(
    ("said", "rise", "motion"),
    [
        (Motion.UNKNOWN, RISING, Motion.APPROACHING),
        (Motion.STATIONARY, RISING, Motion.APPROACHING),
        (Motion.DEPARTING, RISING, Motion.UNKNOWN),
        (Motion.UNKNOWN, FALLING, Motion.UNKNOWN),  # a road's reflection does that too
        (Motion.DEPARTING, FALLING, Motion.DEPARTING),
        (Motion.APPROACHING, FALLING, Motion.UNKNOWN),
        (Motion.STATIONARY, LEVEL, Motion.STATIONARY),
        (Motion.STATIONARY, Slope(0.2, 0.2, 0.2, 0.0), Motion.UNKNOWN),
        (Motion.APPROACHING, None, Motion.APPROACHING),
        (Motion.UNKNOWN, Slope(0.9, 0.1, -0.5, 0.0), Motion.UNKNOWN),  # it has just passed
        (Motion.UNKNOWN, Slope(0.9, 0.1, 0.5, 6.0), Motion.UNKNOWN),
    ],
)
def test_cycles_and_level_are_weighed(said: Motion, rise: Slope | None, motion: Motion) -> None:
    assert weigh(said, rise) is motion
