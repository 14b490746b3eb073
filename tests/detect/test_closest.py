"""Where a siren is nearest, by the level of one that drives past, whatever its own level does meanwhile."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sirend.detect.closest import LEAST_S, STEP_S, Closest, find_closest

Frames = npt.NDArray[np.float64]
WAIL_S = 4.0


def found(hz: Frames, strength: Frames, level_db: Frames, cycle: float | None) -> Closest | None:
    """Return what is made of frames float64[n]."""
    return find_closest(hz.astype(np.float32), strength.astype(np.float32), level_db.astype(np.float32), cycle)


def heard(
    to_s: float | None,
    *,
    seconds: float = 12.0,
    sharpness_s: float = 0.8,
    swing_db: float = 0.0,
    cycle: float | None = WAIL_S / STEP_S,
) -> Closest | None:
    """Return what is made of a wail with 8 dB less at its highest that is nearest in ``to_s``, under a road's swing."""
    back_s = (np.arange(round(seconds / STEP_S)) - round(seconds / STEP_S) + 1) * STEP_S
    octaves = 9.5 + 0.65 * (1.0 - np.cos(2.0 * np.pi * back_s / WAIL_S))
    level_db = -50.0 - 6.0 * (octaves - 9.5) + swing_db * np.sin(2.0 * np.pi * back_s / 7.0)
    if to_s is not None:
        level_db -= 20.0 * np.log10(np.hypot(back_s - to_s, sharpness_s))
    return found(np.exp2(octaves), np.full(back_s.size, 0.8), level_db, cycle)


@given(st.floats(2.5, 20.0), st.floats(0.4, 1.5), st.sampled_from([None, WAIL_S / STEP_S]))
def test_a_siren_that_comes_and_one_that_goes_are_told_apart(
    away_s: float, sharpness_s: float, cycle: float | None
) -> None:
    coming, going = (heard(to_s, sharpness_s=sharpness_s, cycle=cycle) for to_s in (away_s, -away_s))
    assert coming is not None
    assert going is not None
    assert coming.ahead > 0.9
    assert going.behind > 0.9


def test_at_the_closest_point_neither_is_sure() -> None:
    nearest = heard(0.0)
    assert nearest is not None
    assert max(nearest.ahead, nearest.behind) < 0.9


def test_it_is_known_within_a_second_and_a_half_that_the_siren_has_passed() -> None:
    passed = heard(-1.5)
    assert passed is not None
    assert passed.ahead < 0.05


def test_a_level_that_stands_still_has_no_closest_point() -> None:
    nearest = heard(None)
    assert nearest is not None
    assert nearest.resting > 0.6
    assert nearest.ahead == pytest.approx(nearest.behind, abs=0.2)


def test_a_roads_swing_makes_nothing_sure() -> None:
    nearest = heard(None, swing_db=5.0)
    assert nearest is not None
    assert max(nearest.ahead, nearest.behind) < 0.97


@given(st.floats(-60.0, 60.0))
def test_how_loud_it_is_says_nothing(louder_db: float) -> None:
    rng = np.random.default_rng(1)
    hz, strength, level_db = rng.uniform(500.0, 1500.0, 320), rng.uniform(0.4, 1.0, 320), rng.uniform(-60, -50, 320)
    one, other = (found(hz, strength, level_db + more, None) for more in (0.0, louder_db))
    assert one is not None
    assert other is not None
    assert other.ahead == pytest.approx(one.ahead, abs=1e-3)


def test_a_faint_tone_has_the_streets_share_taken_out_of_its_level() -> None:
    """Half of what is heard at the beginning is the street: its level rises less than the tone's own."""
    back_s = (np.arange(320) - 319) * STEP_S
    octaves = 9.5 + 0.65 * (1.0 - np.cos(2.0 * np.pi * back_s / WAIL_S))
    tone = np.square(10.0 / (10.0 - back_s))
    street = np.full(320, 0.25)
    strength = (tone + 0.2 * street) / (tone + street)
    level_db = 10.0 * np.log10(tone + 0.2 * street)
    whole = 10.0 * np.log10(tone)
    faint = found(np.exp2(octaves), strength, level_db, WAIL_S / STEP_S)
    alone = found(np.exp2(octaves), np.full(320, 0.999), whole, WAIL_S / STEP_S)
    assert faint is not None
    assert alone is not None
    assert faint.ahead == pytest.approx(alone.ahead, abs=0.05)


def test_too_little_or_a_steady_tone_says_nothing() -> None:
    assert heard(6.0, seconds=LEAST_S - 0.5) is None
    steady, strong = np.full(400, 700.0, np.float32), np.full(400, 0.8, np.float32)
    assert find_closest(steady, strong, np.linspace(-60.0, -40.0, 400, dtype=np.float32), None) is None


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(0, 900), st.none() | st.floats(7.0, 250.0))
def test_any_frames_give_chances_or_nothing(seed: int, frames: int, cycle: float | None) -> None:
    rng = np.random.default_rng(seed)
    hz, strength = rng.uniform(250.0, 2500.0, frames), rng.random(frames)
    level = rng.uniform(-120.0, 0.0, frames)
    nearest = found(hz, strength, level, cycle)
    if nearest is not None:
        chances = (nearest.ahead, nearest.behind, nearest.resting)
        assert min(chances) >= 0.0
        assert sum(chances) == pytest.approx(1.0)
        assert nearest.span_s <= frames * STEP_S + 1e-9
