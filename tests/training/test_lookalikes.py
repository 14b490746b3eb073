from __future__ import annotations

import numpy as np
import pytest

from sirend.training import confusers, lookalikes

RATE_HZ = 16_000


@pytest.mark.parametrize("kind", lookalikes.lookalike_kinds())
def test_every_kind_is_finite_and_of_peak_one(kind: str) -> None:
    for seed in range(3):
        pcm, name = lookalikes.draw_lookalike(np.random.default_rng(seed), 5 * RATE_HZ, kind)
        assert name == kind
        assert pcm.shape == (5 * RATE_HZ,)
        assert pcm.dtype == np.float32
        assert np.isfinite(pcm).all()
        assert np.abs(pcm).max() == pytest.approx(1.0, abs=1e-5)


def test_the_kinds_of_two_seconds_are_among_them() -> None:
    assert set(confusers.confuser_kinds()) < set(lookalikes.lookalike_kinds())


def test_the_same_seed_gives_the_same_sound() -> None:
    (one, first), (two, second) = (lookalikes.draw_lookalike(np.random.default_rng(5), 2 * RATE_HZ) for _ in range(2))
    assert first == second
    assert np.array_equal(one, two)


def test_a_reversing_beeper_beeps_about_once_a_second() -> None:
    pcm, _ = lookalikes.draw_lookalike(np.random.default_rng(1), 10 * RATE_HZ, "reversing")
    loud = np.abs(pcm).reshape(-1, 160).max(axis=1) > 0.1
    begun = int(np.sum(~loud[:-1] & loud[1:]))
    assert 7 <= begun <= 17


def test_a_glide_changes_its_pitch_by_more_than_a_fifth() -> None:
    pcm, _ = lookalikes.draw_lookalike(np.random.default_rng(4), 8 * RATE_HZ, "glide")
    pieces = pcm.reshape(8, RATE_HZ) * np.hanning(RATE_HZ)
    strongest = np.argmax(np.abs(np.fft.rfft(pieces, axis=1))[:, 50:], axis=1) + 50
    assert strongest.max() / strongest.min() > 1.5
