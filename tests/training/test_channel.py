from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirend.training.channel import add_while_sounding, coded, colour, down_a_street, wind

RATE_HZ = 16_000
SAMPLES = 2 * RATE_HZ


def _rms(pcm: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(pcm, dtype=np.float64))))


def _noise(seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(SAMPLES)).astype(np.float32)


@given(st.floats(-15, 20), st.integers(1, 8_000), st.floats(1e-3, 0.3), st.integers(0, 1_000))
def test_a_mixture_has_the_ratio_asked_for_while_the_siren_sounds(
    snr_db: float, sounding: int, street_rms: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    wanted, street = np.zeros(8_000, dtype=np.float32), rng.standard_normal(8_000).astype(np.float32)
    wanted[:sounding] = np.where(rng.random(sounding) < 0.5, -0.25, 0.25)
    street *= np.float32(street_rms / _rms(street))
    added = add_while_sounding(wanted, street, snr_db).astype(np.float64) - street
    assert 20 * np.log10(_rms(added[:sounding]) / _rms(street)) == pytest.approx(snr_db, abs=0.05)
    assert np.abs(added[sounding:]).max(initial=0.0) == 0.0


def test_mixing_with_silence_on_either_side_stays_finite() -> None:
    silence, tone = np.zeros(800, dtype=np.float32), np.ones(800, dtype=np.float32)
    assert np.array_equal(add_while_sounding(silence, tone, 10.0), tone)
    assert np.isfinite(add_while_sounding(tone, silence, 10.0)).all()
    assert _rms(add_while_sounding(tone, silence, 10.0)) < 1e-3, (
        "nothing is louder than a street because there is no street"
    )


def _spectrum_share(pcm: np.ndarray, below_hz: float) -> float:
    power = np.abs(np.fft.rfft(pcm)) ** 2
    hz = np.fft.rfftfreq(len(pcm), 1 / RATE_HZ)
    return float(power[hz < below_hz].sum() / power.sum())


def test_wind_is_of_one_level_and_blows_below_the_siren() -> None:
    for seed in range(20):
        blown = wind(np.random.default_rng(seed), SAMPLES)
        assert _rms(blown) == pytest.approx(1.0, abs=1e-3)
        assert _spectrum_share(blown, 400) > 0.6


def test_a_codec_leaves_a_sound_much_as_it_was() -> None:
    for seed in range(6):
        pcm = _noise(seed)
        heard = coded(np.random.default_rng(seed), pcm)
        assert heard.shape == pcm.shape
        assert not np.array_equal(heard, pcm)
        assert _rms(heard) == pytest.approx(_rms(pcm), rel=0.3)


def test_a_street_never_adds_what_lies_before_a_sound_and_may_return_it_later() -> None:
    click = np.zeros(SAMPLES, np.float32)
    click[RATE_HZ] = 1.0
    returned = 0
    for seed in range(60):
        heard = down_a_street(np.random.default_rng(seed), click, [])
        assert heard.shape == click.shape
        assert np.abs(heard[:RATE_HZ]).max() < 1e-5
        returned += bool(np.abs(heard[RATE_HZ + 800 :]).max() > 1e-4)
    assert 10 < returned < 40


def test_measured_streets_are_among_them() -> None:
    click, echo = np.zeros(SAMPLES, np.float32), np.zeros(4_000, np.float32)
    click[0] = echo[0] = echo[3_000] = 1.0
    heard = [down_a_street(np.random.default_rng(seed), click, [echo]) for seed in range(200)]
    assert 5 <= sum(abs(each[3_000] - each[0]) < 1e-4 < each[0] for each in heard) <= 40


def test_a_microphone_has_a_colour_and_stays_finite() -> None:
    for seed in range(50):
        heard = colour(np.random.default_rng(seed), _noise())
        assert np.isfinite(heard).all()
        assert 0.05 < _rms(heard) / _rms(_noise()) < 3.0
