"""The pitch track against tones of known pitch, alone and in a street."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sirend.audio.stream import Block, Pcm, Samples, Window
from sirend.audio.windows import Windows
from sirend.detect.pitch import FRAME, LEVEL_S, MEMORY_S, STEP, Pitch, PitchTracker, measure_pitch, tone_level_dbfs
from sirend.simulate import siren_sound, sirens, synthesis
from sirend.simulate.background import synthetic_street
from sirend.simulate.levels import mix_at_snr

RATE_HZ = 16_000
HOP = 4_000


def _sine(hz: float, samples: int = RATE_HZ, amplitude: float = 0.1) -> Pcm:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(samples) / RATE_HZ)).astype(np.float32)


def _windows(pcm: Pcm, hop: int = HOP) -> list[Window]:
    """Return the windows of float32[approaches, n]."""
    windows = Windows(window=32_000, hop=hop, channels=range(len(pcm)))
    return list(windows.push(Block(Samples(0), np.ascontiguousarray(pcm.T))))


def _last(pcm: Pcm, hop: int = HOP) -> Pitch:
    tracker = PitchTracker()
    return [tracker.update(window) for window in _windows(pcm, hop)][-1]


@pytest.mark.parametrize(("older_s", "level_dbfs"), [(0.1, -20.0), (-0.1, -40.0)])
def test_a_tone_is_as_loud_as_it_was_of_late(older_s: float, level_dbfs: float) -> None:
    now = 10 * RATE_HZ
    at = np.array([now - round((LEVEL_S + older_s) * RATE_HZ), now])
    loud_then = np.array([[0.0, -20.0]], np.float32) if older_s > 0.0 else np.array([[-60.0, -20.0]], np.float32)
    pitch = Pitch(at, np.full((1, 2), 700.0, np.float32), np.ones((1, 2), np.float32), loud_then)
    assert tone_level_dbfs(pitch, 0) == level_dbfs


@given(st.floats(255.0, 2490.0), st.floats(-60.0, 0.0))
def test_a_steady_tone_is_measured_to_two_hertz_and_its_level_to_half_a_decibel(hz: float, level_db: float) -> None:
    found, strength, level_dbfs = measure_pitch(_sine(hz, amplitude=10 ** (level_db / 20))[np.newaxis])[:, 0]
    assert np.abs(found - hz).max() < 2.0
    assert strength.min() > 0.97
    assert np.abs(level_dbfs - (level_db - 3.01)).max() < 0.5


def _share_within(tone: siren_sound.SirenSound, snr_db: float | None, tolerance: float = 0.03) -> float:
    """Return the share of sounding frames whose pitch is right to ``tolerance``, over 8 s."""
    rng = np.random.default_rng(5)
    pcm = synthesis.synthesise(tone, 8 * RATE_HZ, RATE_HZ, rng)
    if snr_db is not None:
        pcm = mix_at_snr(pcm, synthetic_street(pcm.size, rng), snr_db)[0]
    hz = measure_pitch(pcm[np.newaxis])[0, 0]
    at_s = (np.arange(hz.size) * STEP + FRAME / 2) / RATE_HZ
    sounding = tone.motion.level(at_s) > 0.9
    right = np.abs(hz / siren_sound.instantaneous_hz(tone, at_s) - 1.0) < tolerance
    return float(right[sounding].mean())


SLOW = [key for key in sirens.TONES if key[1] not in ("yelp", "phaser", "rumbler", "airhorn")]


@pytest.mark.parametrize("key", SLOW, ids="-".join)
def test_the_pitch_of_every_slow_siren_is_followed(key: tuple[str, str]) -> None:
    assert _share_within(sirens.TONES[key], None) > 0.95


@pytest.mark.parametrize("key", [("us", "wail"), ("uk", "hilo"), ("de", "hilo"), ("fr", "samu"), ("jp", "ambulance")])
def test_and_through_a_street_as_loud_as_itself(key: tuple[str, str]) -> None:
    assert _share_within(sirens.TONES[key], 0.0) > 0.85


@pytest.mark.parametrize("key", [("us", "yelp"), ("uk", "yelp"), ("de", "yelp")])
def test_a_yelp_is_followed_coarsely(key: tuple[str, str]) -> None:
    assert _share_within(sirens.TONES[key], 10.0, tolerance=0.06) > 0.85


def test_a_louder_third_harmonic_is_not_the_pitch() -> None:
    pcm = _sine(400.0, amplitude=0.05) + _sine(1200.0, amplitude=0.1)
    assert measure_pitch(pcm[np.newaxis])[0, 0] == pytest.approx(400.0, abs=2.0)


def test_strength_tells_a_tone_from_a_street() -> None:
    rng = np.random.default_rng(3)
    street = synthetic_street(8 * RATE_HZ, rng)
    tone = mix_at_snr(_sine(700.0, street.size), street, 5.0)[0]
    alone, with_tone = measure_pitch(np.stack((street, tone)))[1]
    assert np.quantile(alone, 0.9) < 0.3
    assert np.quantile(with_tone, 0.1) > 0.35


def test_silence_has_no_strength() -> None:
    _, strength, level_dbfs = measure_pitch(np.zeros((1, RATE_HZ), np.float32))
    assert strength.max() == 0.0
    assert level_dbfs == pytest.approx(-120.0)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 190).map(lambda n: n * 160), st.integers(0, 2**32 - 1))
def test_frames_are_the_same_whatever_the_hop(hop: int, seed: int) -> None:
    pcm = np.random.default_rng(seed).standard_normal((2, 72_000)).astype(np.float32)
    found = _last(pcm, hop)
    whole = measure_pitch(pcm[:, (-FRAME) % STEP :])
    begin = (int(found.at[0]) - FRAME // 2 - (-FRAME) % STEP) // STEP
    assert np.diff(found.at).tolist() == [STEP] * (found.at.size - 1)
    expected = whole[:, :, begin : begin + found.at.size]
    np.testing.assert_allclose(np.stack((found.hz, found.strength, found.level_dbfs)), expected, rtol=1e-4)


def test_eight_seconds_are_remembered_to_the_end_of_the_window() -> None:
    found = _last(_sine(500.0, 12 * RATE_HZ)[np.newaxis])
    assert found.at[0] >= (12 - MEMORY_S) * RATE_HZ
    assert found.at[-1] == 12 * RATE_HZ - FRAME // 2
    assert found.at.size == pytest.approx(MEMORY_S * RATE_HZ / STEP, abs=1)


def test_every_approach_has_its_own_pitch() -> None:
    found = _last(np.stack((_sine(500.0, 3 * RATE_HZ), _sine(900.0, 3 * RATE_HZ))))
    np.testing.assert_allclose(found.hz, np.repeat([[500.0], [900.0]], found.at.size, axis=1), atol=2.0)


def test_what_came_before_a_gap_is_forgotten() -> None:
    tracker = PitchTracker()
    windows = _windows(_sine(500.0, 6 * RATE_HZ)[np.newaxis])
    for window in windows:
        tracker.update(window)
    later = Window(Samples(windows[-1].end + 5 * RATE_HZ), _sine(800.0, 32_000)[np.newaxis], 32_000)
    assert tracker.update(later).hz[0] == pytest.approx(800.0, abs=2.0)
    tracker.reset()
    assert tracker.update(windows[0]).at.size == (32_000 - FRAME) // STEP + 1
