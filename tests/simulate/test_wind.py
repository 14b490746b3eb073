"""Wind at the microphone: its spectrum against Strasberg's line, its gusts, and what it does to a scene."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import signal

from sirend.cli import recordings
from sirend.cli.arguments import parser
from sirend.config.geometry import KNOWN
from sirend.errors import UsageError
from sirend.simulate import array_scene, junction
from sirend.simulate.levels import RATE_HZ, rms
from sirend.simulate.scene import Scene, render_scene
from sirend.simulate.wind import turbulence

if TYPE_CHECKING:
    from pathlib import Path

LONG = 60 * RATE_HZ


def third_octave_db(pcm: np.ndarray, middle_hz: float) -> float:
    """Level of Pa in the third octave about a frequency, dB SPL."""
    edges = middle_hz * 2.0 ** (np.array([-1, 1]) / 6)
    hz, density = signal.welch(pcm, RATE_HZ, nperseg=16_384)
    inside = (hz >= edges[0]) & (hz < edges[1])
    return float(10.0 * np.log10(density[inside].mean() * (edges[1] - edges[0]) / 20e-6**2))


@pytest.mark.parametrize(("wind_m_s", "screen_m"), [(5.0, 0.1), (12.0, 0.1), (12.0, 0.02)])
@pytest.mark.parametrize("hz", [100.0, 250.0, 1000.0])
def test_the_spectrum_is_strasbergs(wind_m_s: float, screen_m: float, hz: float) -> None:
    noise = turbulence(Scene(wind_m_s=wind_m_s, windscreen_m=screen_m), LONG)
    over_dynamic_db = -81.0 - 23.0 * np.log10(hz * screen_m / wind_m_s)
    expected_db = over_dynamic_db + 20.0 * np.log10(1.2 * wind_m_s**2 / 20e-6)
    assert third_octave_db(noise, hz) == pytest.approx(expected_db, abs=1.0)


def test_it_is_low_noise_and_a_larger_screen_hears_less_of_it() -> None:
    screened, bare = (turbulence(Scene(wind_m_s=10.0, windscreen_m=size), LONG) for size in (0.1, 0.01))
    assert third_octave_db(screened, 50.0) - third_octave_db(screened, 500.0) == pytest.approx(23.0, abs=1.5)
    assert third_octave_db(bare, 250.0) - third_octave_db(screened, 250.0) == pytest.approx(23.0, abs=1.5)


def test_twice_the_wind_is_nineteen_decibels_more_and_it_comes_in_gusts() -> None:
    weak, strong = (turbulence(Scene(wind_m_s=speed), LONG) for speed in (6.0, 12.0))
    assert third_octave_db(strong, 250.0) - third_octave_db(weak, 250.0) == pytest.approx(63.0 * np.log10(2.0), abs=1.5)
    seconds = 20.0 * np.log10([rms(second) for second in strong.reshape(60, RATE_HZ)])
    assert 6.0 < np.ptp(seconds) < 40.0


def test_each_microphone_and_each_seed_has_a_wind_of_its_own() -> None:
    one, other, again, third = (
        turbulence(Scene(wind_m_s=8.0, seed=seed), 10 * RATE_HZ, microphone)
        for seed, microphone in ((1, 0), (1, 1), (1, 0), (2, 0))
    )
    np.testing.assert_array_equal(one, again)
    for each in (other, third):
        assert abs(np.corrcoef(one, each)[0, 1]) < 0.3
    assert not turbulence(Scene(), 100).any()


def test_a_scene_in_the_wind_is_that_without_plus_its_noise() -> None:
    calm, windy = (render_scene(Scene(start_m=60.0, wind_m_s=speed, seed=3)) for speed in (0.0, 12.0))
    pascal = (windy.pcm - calm.pcm) / 10.0 ** ((calm.truth["dbfs_of_94_db"]) / 20.0)
    assert windy.truth["dbfs_of_94_db"] == calm.truth["dbfs_of_94_db"] == -26.0
    np.testing.assert_allclose(pascal, turbulence(Scene(wind_m_s=12.0, seed=3), pascal.size), atol=1e-4)
    assert (windy.truth["wind_m_s"], windy.truth["windscreen_m"]) == (12.0, 0.1)
    assert windy.truth["level_db"] == calm.truth["level_db"]


def test_a_bare_capsule_in_a_storm_hides_the_siren_for_longer() -> None:
    calm, storm = (
        render_scene(Scene(start_m=300.0, wind_m_s=speed, windscreen_m=0.01)).truth["first_audible_s"]
        for speed in (0.0, 20.0)
    )
    assert storm > calm + 1.0


def test_every_microphone_of_an_array_and_of_a_junction_stands_in_it() -> None:
    calm, windy = (Scene(start_m=40.0, after_m=10.0, speed_kmh=60.0, seed=5, wind_m_s=speed) for speed in (0.0, 10.0))
    small = KNOWN["respeaker-4"]
    at_array = (
        array_scene.render_at_array(windy, small).pcm.astype(np.float64) - array_scene.render_at_array(calm, small).pcm
    )
    at_junction = junction.render_at_junction(windy).pcm.astype(np.float64) - junction.render_at_junction(calm).pcm
    for added in (at_array[:, list(small.channels)], at_junction):
        assert added.std(axis=0).min() > 3e-4
        assert np.abs(np.corrcoef(added.T) - np.eye(4)).max() < 0.5


def test_wind_has_a_level_so_a_ratio_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="wind has a level of its own"):
        Scene(snr_db=5.0, wind_m_s=5.0)
    with pytest.raises(UsageError, match=r"wind_m_s = 31: it must be within 0\.\.30"):
        Scene(wind_m_s=31.0)
    words = ["simulate", str(tmp_path / "a.wav"), "--snr-db", "5", "--wind-m-s", "5"]
    with pytest.raises(UsageError, match="--snr-db and --wind-m-s contradict each other"):
        recordings.simulate(parser(words).parse_args(words))
