from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sirend.audio.stream import Block, Gap, GapReason, Samples
from sirend.audio.windows import Windows
from sirend.detect.features import Extractor, FeatureSpec, log_mel, mel_frames

SPEC = FeatureSpec()


def noise(samples: int, seed: int = 0, channels: int = 1) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal((samples, channels))).astype(np.float32)


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([800, 1600, 4000, 4080, 16_000, 32_000]), st.integers(0, 2**31))
def test_features_of_a_hop_equal_those_of_the_whole_window(hop: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pcm = noise(72_000, seed, channels=2)
    sliding, extractor = Windows(window=32_000, hop=hop, channels=[0, 1]), Extractor(SPEC)
    place, gap_at, seen = 0, int(rng.integers(1, 36_000)), 0
    while place < len(pcm):
        if place >= gap_at and gap_at:
            list(sliding.push(Gap(Samples(place), GapReason.OVERFLOW)))
            gap_at = 0
        count = int(rng.integers(1, 9000))
        for window in sliding.push(Block(Samples(place), pcm[place : place + count])):
            heard = extractor.spectrogram(window).mel[:, -SPEC.frames :]
            np.testing.assert_allclose(heard, mel_frames(SPEC, window.pcm), atol=2e-5)
            seen += 1
        place += count
    assert seen > 0


def test_a_hop_off_the_frame_grid_still_gives_the_same_features() -> None:
    sliding, extractor = Windows(window=32_000, hop=4001, channels=[0]), Extractor(SPEC)
    windows = list(sliding.push(Block(Samples(0), noise(60_000))))
    assert len(windows) > 3
    for window in windows:
        np.testing.assert_allclose(extractor.spectrogram(window).mel, mel_frames(SPEC, window.pcm), atol=2e-5)


def test_a_pure_tone_lights_the_band_of_its_pitch() -> None:
    seconds = np.arange(32_000) / 16_000
    for hz in (440.0, 960.0, 2500.0):
        spectrogram = log_mel(SPEC, mel_frames(SPEC, (0.1 * np.sin(2 * np.pi * hz * seconds)).astype(np.float32)))
        mel = 1127 * np.log(1 + np.array([SPEC.low_hz, hz, SPEC.high_hz]) / 700)
        band = (mel[1] - mel[0]) / (mel[2] - mel[0]) * (SPEC.bands + 1) - 1
        assert abs(spectrogram.mean(axis=0).argmax() - band) <= 0.75


def test_a_gain_is_a_level_and_rumble_does_not_change_the_features() -> None:
    pcm = noise(32_000)[:, 0]
    mel = mel_frames(SPEC, pcm)
    np.testing.assert_allclose(mel_frames(SPEC, pcm * np.float32(0.01)), np.float32(0.01) * mel, atol=1e-6)
    np.testing.assert_allclose(log_mel(SPEC, np.float32(0.01) * mel, 100.0), log_mel(SPEC, mel), atol=1e-4)
    rumble = (0.5 * np.sin(2 * np.pi * 20 * np.arange(32_000) / 16_000)).astype(np.float32)
    assert np.abs(log_mel(SPEC, mel_frames(SPEC, pcm + rumble)) - log_mel(SPEC, mel)).mean() < 0.1


def test_digital_silence_gives_the_floor_and_no_warning() -> None:
    silence = log_mel(SPEC, mel_frames(SPEC, np.zeros(32_000, np.float32)))
    assert np.all(silence == np.float32(np.log(SPEC.log_offset)))


def test_every_field_changes_the_digest() -> None:
    digests = {SPEC.digest} | {
        replace(SPEC, **{name: getattr(SPEC, name) * 2}).digest for name in FeatureSpec.__dataclass_fields__
    }
    assert len(digests) == 1 + len(FeatureSpec.__dataclass_fields__)


def test_shapes_follow_the_spec() -> None:
    assert SPEC.frames == 198
    assert mel_frames(SPEC, noise(32_000)[:, 0]).shape == (198, 64)
    assert mel_frames(SPEC, np.zeros((3, 32_000), np.float32)).shape == (3, 198, 64)


@pytest.mark.parametrize("hz", [100.0, 7600.0])
def test_what_lies_outside_the_bands_weighs_little(hz: float) -> None:
    seconds = np.arange(32_000) / 16_000
    outside = mel_frames(SPEC, np.sin(2 * np.pi * hz * seconds).astype(np.float32))
    inside = mel_frames(SPEC, np.sin(2 * np.pi * 1000.0 * seconds).astype(np.float32))
    assert outside.max() < 0.5 * inside.max()
