from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sirend.audio.resample import Resampler

Pcm = npt.NDArray[np.float32]

RATES_HZ = [8_000, 11_025, 12_000, 22_050, 22_254, 32_000, 44_100, 48_000, 96_000, 192_000]


def convert(rate_hz: int, pcm: Pcm, cuts: list[int] | None = None) -> Pcm:
    resampler = Resampler(rate_hz, pcm.shape[1])
    pieces = np.split(pcm, sorted(cuts or []))
    return np.concatenate([*(resampler.push(piece) for piece in pieces), resampler.finish()])


def tone(rate_hz: int, hz: float, seconds: float) -> Pcm:
    at_s = np.arange(round(rate_hz * seconds)) / rate_hz
    return np.sin(2.0 * np.pi * hz * at_s).astype(np.float32)[:, np.newaxis]


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_tone_keeps_its_pitch_its_level_and_its_time(rate_hz: int) -> None:
    hz = 0.4 * min(rate_hz, 16_000)
    out = convert(rate_hz, tone(rate_hz, hz, 1.0))
    assert len(out) == 16_000
    inner = slice(1_000, -1_000)
    assert np.abs(out - tone(16_000, hz, 1.0))[inner].max() < 5e-4


@pytest.mark.parametrize("rate_hz", [rate for rate in RATES_HZ if rate > 18_000])
def test_what_would_fold_into_the_bands_of_the_features_is_removed(rate_hz: int) -> None:
    out = convert(rate_hz, tone(rate_hz, 8_600.0, 1.0))
    assert 20.0 * np.log10(np.abs(out[1_000:-1_000]).max()) < -120.0


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_constant_input_stays_constant(rate_hz: int) -> None:
    out = convert(rate_hz, np.full((rate_hz, 1), 0.5, dtype=np.float32))
    assert np.abs(out[1_000:-1_000] - 0.5).max() < 1e-5


def test_a_click_stays_where_it_was() -> None:
    pcm = np.zeros((48_000, 1), dtype=np.float32)
    pcm[30_000] = 1.0
    assert int(np.argmax(convert(48_000, pcm))) == 10_000


@settings(deadline=None, max_examples=25)
@given(
    rate_hz=st.sampled_from([8_000, 16_000, 22_254, 44_100, 48_000, 96_000]),
    cuts=st.lists(st.integers(0, 9_000), max_size=12),
    channels=st.integers(1, 4),
    seed=st.integers(0, 9),
)
def test_any_cutting_gives_the_same_bytes(rate_hz: int, cuts: list[int], channels: int, seed: int) -> None:
    pcm = np.random.default_rng(seed).standard_normal((9_000, channels)).astype(np.float32)
    assert convert(rate_hz, pcm, cuts).tobytes() == convert(rate_hz, pcm).tobytes()


@settings(deadline=None, max_examples=40)
@given(rate_hz=st.sampled_from([8_000, 11_025, 22_254, 44_100, 96_000]), frames=st.integers(0, 5_000))
def test_the_length_in_time_is_kept(rate_hz: int, frames: int) -> None:
    out = convert(rate_hz, np.zeros((frames, 1), dtype=np.float32))
    assert abs(len(out) - frames * 16_000 / rate_hz) <= 0.5


@pytest.mark.parametrize(
    ("rate_hz", "most_s"), [(16_000, 0.0), (44_100, 0.041), (48_000, 0.041), (96_000, 0.080), (8_000, 0.116)]
)
@pytest.mark.parametrize("frames", [7, 441, 960])
def test_no_sample_is_held_back_for_longer_than_stated(rate_hz: int, most_s: float, frames: int) -> None:
    resampler = Resampler(rate_hz, 1)
    given_s = 0.0
    behind_s = []
    for number in range(2 * rate_hz // frames):
        given_s += len(resampler.push(np.zeros((frames, 1), dtype=np.float32))) / 16_000
        behind_s.append((number + 1) * frames / rate_hz - given_s)
    assert max(behind_s) <= most_s + 1e-9


def test_a_minute_of_four_channels_costs_a_fraction_of_a_second() -> None:
    resampler = Resampler(44_100, 4)
    pcm = np.random.default_rng(1).standard_normal((882, 4)).astype(np.float32)
    began_s = time.process_time()
    for _ in range(3_000):
        resampler.push(pcm)
    assert time.process_time() - began_s < 1.0  # .21 s; the filter of our own that it replaced took .53 s


def test_channels_do_not_mix() -> None:
    pcm = np.concatenate((tone(44_100, 440.0, 0.5), np.zeros((22_050, 1), dtype=np.float32)), axis=1)
    out = convert(44_100, pcm)
    assert np.abs(out[:, 1]).max() == 0.0
    assert np.abs(out[:, 0]).max() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("rate_hz", [0, 999, 1_000_001])
def test_rates_that_no_recording_has_are_refused(rate_hz: int) -> None:
    with pytest.raises(ValueError, match=str(rate_hz)):
        Resampler(rate_hz, 1)
