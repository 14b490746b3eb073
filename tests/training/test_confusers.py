from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sirend.training import confusers

if TYPE_CHECKING:
    from collections.abc import Callable

RATE_HZ = 16_000
WINDOW = 2 * RATE_HZ


def _peaks_hz(pcm: np.ndarray) -> list[int]:
    """Return the frequencies that stand out, in steps of 5 Hz."""
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))
    hz = np.fft.rfftfreq(len(pcm), 1 / RATE_HZ)
    return sorted({round(each / 5) for each in hz[spectrum > 0.7 * spectrum.max()]})


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(WINDOW, 48_000))
def test_a_confuser_has_the_length_asked_for_and_peak_one(seed: int, samples: int) -> None:
    pcm = confusers.draw_confuser(np.random.default_rng(seed), samples)
    assert pcm.shape == (samples,)
    assert pcm.dtype == np.float32
    assert np.isfinite(pcm).all()
    assert np.abs(pcm).max() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("kind", confusers.confuser_kinds().values(), ids=confusers.confuser_kinds())
def test_every_kind_is_audible_and_finite(kind: Callable[[np.random.Generator, Any], Any]) -> None:
    seconds = np.arange(WINDOW) / RATE_HZ
    for seed in range(20):
        pcm = kind(np.random.default_rng(seed), seconds)
        assert pcm.shape == (WINDOW,)
        assert np.isfinite(pcm).all()
        assert np.abs(pcm).max() > 1e-6


def test_the_same_seed_gives_the_same_sound() -> None:
    one, two = (confusers.draw_confuser(np.random.default_rng(5), WINDOW) for _ in range(2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, confusers.draw_confuser(np.random.default_rng(6), WINDOW))


@pytest.mark.parametrize("seed", range(10))
def test_a_steady_tone_does_not_move(seed: int) -> None:
    pcm = confusers.steady(np.random.default_rng(seed), np.arange(WINDOW) / RATE_HZ)
    first, second = (_peaks_hz(half) for half in np.split(pcm, 2))
    assert first == second


@pytest.mark.parametrize("seed", range(10))
def test_a_tone_has_nothing_that_the_features_cannot_see(seed: int) -> None:
    pcm = confusers.steady(np.random.default_rng(seed), np.arange(WINDOW) / RATE_HZ)
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm)))) ** 2
    hz = np.fft.rfftfreq(len(pcm), 1 / RATE_HZ)
    assert spectrum[hz > 7_010].sum() < 1e-4 * spectrum.sum()


@pytest.mark.parametrize("seed", range(10))
def test_a_beeper_falls_silent_between_beeps(seed: int) -> None:
    seconds = np.arange(2 * WINDOW) / RATE_HZ
    pcm = confusers.beeper(np.random.default_rng(seed), seconds)
    level = np.abs(pcm).reshape(-1, 80).max(axis=1)
    assert np.mean(level < 1e-9) > 0.2
    assert np.mean(level > 0.1 * level.max()) > 0.1


@pytest.mark.parametrize("seed", range(10))
def test_singing_stays_within_a_voice_and_its_harmonics(seed: int) -> None:
    pcm = confusers.singing(np.random.default_rng(seed), np.arange(2 * WINDOW) / RATE_HZ)
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm)))) ** 2
    hz = np.fft.rfftfreq(len(pcm), 1 / RATE_HZ)
    assert spectrum[(hz > 75) & (hz < 7_010)].sum() > 0.99 * spectrum.sum()


def test_a_named_kind_is_drawn() -> None:
    rng = np.random.default_rng(3)
    pcm = confusers.draw_confuser(rng, WINDOW, "sweep")
    first, last = (_peaks_hz(part)[0] for part in (pcm[:8_000], pcm[-8_000:]))
    assert first != last, "a sweep moves"
