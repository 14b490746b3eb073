from __future__ import annotations

import numpy as np
import pytest

from sirend.training import repertoire

RATE_HZ = 16_000


def test_a_siren_has_the_length_asked_for_and_peak_one() -> None:
    for seed in range(12):
        pcm, name = repertoire.draw_siren(np.random.default_rng(seed), 3 * RATE_HZ + seed)
        assert pcm.shape == (3 * RATE_HZ + seed,)
        assert pcm.dtype == np.float32
        assert np.abs(pcm).max() == pytest.approx(1.0, abs=1e-5)
        assert name


def test_the_same_seed_gives_the_same_siren() -> None:
    one, two = (repertoire.draw_siren(np.random.default_rng(3), RATE_HZ) for _ in range(2))
    assert one[1] == two[1]
    assert np.array_equal(one[0], two[0])


def test_all_kinds_are_drawn_and_an_air_horn_never() -> None:
    rng = np.random.default_rng(0)
    drawn = {repertoire.draw_tone(rng, repertoire.voice(rng)).siren for _ in range(300)}
    assert {"pulsed", "two-tone", "phaser", "rumbler", "hooter", "sweep", "wail"} <= drawn
    assert "airhorn" not in drawn


def test_a_pulsed_siren_pauses() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        motion = repertoire.pulsed(rng, repertoire.SINE).motion
        pause = motion.segments[-1]
        assert pause.gain == 0.0
        assert 0.25 <= pause.seconds <= 1.7
        assert 2 <= sum(segment.gain > 0 for segment in motion.segments) <= 5


def test_a_two_tone_has_two_pitches_less_than_an_octave_apart() -> None:
    rng = np.random.default_rng(7)
    for _ in range(20):
        motion = repertoire.two_tone(rng, repertoire.SQUARE).motion
        held = {segment.from_hz for segment in motion.segments if segment.from_hz == segment.to_hz}
        assert len(held) == 2
        assert 1.05 < max(held) / min(held) < 2.0


def test_the_undertone_of_a_rumbler_lies_below_it() -> None:
    tone = repertoire.rumbler(np.random.default_rng(1), repertoire.SQUARE)
    ((under, gain),) = tone.layers
    for high, low in zip(tone.motion.segments, under.segments, strict=True):
        assert low.from_hz < high.from_hz / 1.9
        assert low.seconds == high.seconds
    assert gain > 0.0
