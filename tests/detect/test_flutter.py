"""Flutter: sweeps too fast for a pitch, told from everything slower and from a street."""

from __future__ import annotations

import numpy as np
import pytest

from sirend.detect import flutter
from sirend.simulate import sirens, synthesis
from sirend.simulate.background import synthetic_street
from sirend.simulate.levels import RATE_HZ, mix_at_snr

WINDOW = 2 * RATE_HZ


def swept(rate_hz: float) -> np.ndarray:
    phase = 2.0 * np.abs(np.arange(WINDOW) / RATE_HZ * rate_hz % 1.0 - 0.5)
    hz = 725.0 + (1800.0 - 725.0) * phase
    return np.sin(2.0 * np.pi * np.cumsum(hz) / RATE_HZ).astype(np.float32)


@pytest.mark.parametrize("rate_hz", [15.0, 21.7, 26.7])
def test_a_fast_sweep_flutters_at_any_level(rate_hz: float) -> None:
    for gain in (1.0, 1e-3):
        assert flutter.strength(np.float32(gain) * swept(rate_hz)) > 0.9


@pytest.mark.parametrize("rate_hz", [1.0, 3.7, 6.0, 50.0])
def test_slower_and_faster_ones_do_not(rate_hz: float) -> None:
    assert flutter.strength(swept(rate_hz)) < 0.7


def test_a_phaser_flutters_in_a_street_as_loud_as_itself() -> None:
    rng = np.random.default_rng(2)
    siren = synthesis.synthesise(sirens.find_siren("us", "phaser"), WINDOW, RATE_HZ, rng)
    street = synthetic_street(WINDOW, rng)
    assert flutter.strength(mix_at_snr(siren, street, 0.0)[0]) > 0.75
    assert flutter.strength(street) < 0.4


def test_silence_does_not() -> None:
    assert flutter.strength(np.zeros(WINDOW, np.float32)) == 0.0
