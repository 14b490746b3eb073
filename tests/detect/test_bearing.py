from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sirend.audio.stream import SAMPLE_RATE_HZ, Block, Samples, to_samples
from sirend.audio.windows import Windows
from sirend.config.geometry import KNOWN, SOUND_M_S
from sirend.detect.bearing import Bearing, Compass
from sirend.detect.bearing_course import Look, agree, apart, latest
from sirend.detect.pitch import TONAL, PitchTracker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sirend.audio.stream import Window

QUAD = KNOWN["respeaker-4"]


def plane_wave(deg: float, seconds: float, *, noise: float = 0.0, hz: float = 700.0, seed: int = 1) -> np.ndarray:
    """Return a two-tone of sawtooth timbre that comes from ``deg``: float32[n, microphones]."""
    rng = np.random.default_rng(seed)
    towards = np.array((np.sin(np.deg2rad(deg)), np.cos(np.deg2rad(deg))))
    lead_s = np.array(QUAD.places_m) @ towards / SOUND_M_S
    at = np.arange(round(seconds * SAMPLE_RATE_HZ))[:, np.newaxis] / SAMPLE_RATE_HZ + lead_s
    pitch = np.where(np.floor(at) % 2 < 1, hz, hz * 1.33)
    pcm = sum(np.sin(2 * np.pi * part * pitch * at) / part for part in (1, 2, 3))
    return np.asarray(0.1 * pcm + noise * rng.standard_normal(at.shape), dtype=np.float32)


def bearings(pcm: np.ndarray, block: int = 4000, heading_deg: float = 0.0) -> list[Bearing | None]:
    windows = Windows(window=32_000, hop=4_000, channels=range(pcm.shape[1]))
    pitch, compass = PitchTracker(), Compass(QUAD, heading_deg)
    return [
        compass.update(window, pitch.update(replace(window, pcm=window.pcm[:1])))
        for start in range(0, len(pcm), block)
        for window in windows.push(Block(Samples(start), pcm[start : start + block]))
    ]


def windows_of(pcm: np.ndarray) -> Iterator[Window]:
    return Windows(window=32_000, hop=4_000, channels=range(pcm.shape[1])).push(Block(Samples(0), pcm))


@given(deg=st.floats(0.0, 359.0), heading_deg=st.sampled_from([0.0, 90.0, 217.0]))
@settings(max_examples=15)
def test_a_plane_wave_is_found_where_it_comes_from(deg: float, heading_deg: float) -> None:
    last = bearings(plane_wave(deg, 4.0, noise=0.02), heading_deg=heading_deg)[-1]
    assert last is not None
    assert abs(float(apart(last.deg, deg + heading_deg))) < 3.0
    assert last.sd_deg <= 4.0


def test_any_cutting_into_blocks_gives_the_same_bearings() -> None:
    pcm = plane_wave(120.0, 4.0, noise=0.1)
    assert bearings(pcm, 1_234) == bearings(pcm, 64_000)


def test_noise_has_no_bearing() -> None:
    pcm = (0.1 * np.random.default_rng(3).standard_normal((6 * SAMPLE_RATE_HZ, 4))).astype(np.float32)
    assert all(found is None for found in bearings(pcm))


def test_a_siren_that_one_microphone_hardly_tells_from_the_street_has_a_bearing() -> None:
    pcm = plane_wave(120.0, 6.0, noise=0.2)
    assert PitchTracker().update(next(windows_of(pcm))).strength.max() < TONAL
    found = [each for each in bearings(pcm) if each is not None]
    assert len(found) >= 12
    assert np.median([abs(float(apart(each.deg, 120.0))) for each in found]) < 6.0


def test_once_its_leg_is_known_it_is_looked_for_once_a_second() -> None:
    pcm = plane_wave(120.0, 6.0, noise=0.02)

    pitch, compass, found = PitchTracker(), Compass(QUAD), []
    for window in windows_of(pcm):
        bearing = compass.update(window, pitch.update(replace(window, pcm=window.pcm[:1])), is_settled=True)
        assert bearing is not None
        assert bearing.end == window.end
        assert abs(float(apart(bearing.deg, 120.0))) < 3.0
        found.append(bearing.turning_deg_s)
    assert len(found) == 17
    assert len(set(found)) == 5  # from 2 to 6 s


def test_a_swapped_pair_of_microphones_gives_no_sure_bearing() -> None:
    right = plane_wave(30.0, 5.0, noise=0.01)
    swapped = right[:, [1, 0, 2, 3]]
    found = [each for each in bearings(swapped) if each is not None]
    assert all(abs(float(apart(each.deg, 30.0))) > 20.0 or each.sd_deg > 5.0 for each in found)


def test_looks_that_disagree_are_left_out() -> None:
    steady = [Look(Samples(n * 4000), 40.0 + (n % 2), 0.9) for n in range(6)]
    steady[3] = replace(steady[3], deg=200.0)  # a wall
    found = agree(steady, Samples(6 * 4000))
    assert found is not None
    assert found.deg == pytest.approx(40.5, abs=1.5)
    scattered = [Look(Samples(n * 4000), 97.0 * n % 360.0, 0.9) for n in range(6)]
    assert agree(scattered, Samples(6 * 4000)) is None


def test_a_bearing_that_turns_is_told_as_of_now() -> None:
    turning = [Look(Samples(n * 4000), (350.0 + 15.0 * n) % 360.0, 0.9) for n in range(6)]
    found = agree(turning, Samples(6 * 4000))
    assert found is not None
    assert found.deg == pytest.approx(80.0, abs=0.5)
    assert found.turning_deg_s == pytest.approx(60.0, abs=0.5)


def test_the_memory_is_bounded_by_time() -> None:
    found = bearings(np.concatenate((plane_wave(10.0, 4.0, noise=0.01), plane_wave(200.0, 4.0, noise=0.01))))
    assert found[-1] is not None
    assert abs(float(apart(found[-1].deg, 200.0))) < 3.0
    ends = [each.end for each in found if each is not None]
    assert all(later > earlier for earlier, later in pairwise(ends))
    assert max(ends) == to_samples(8.0)


def test_the_first_window_tells_where_the_siren_was_and_later_ones_do_not() -> None:
    pcm = plane_wave(250.0, 3.0, noise=0.02)
    pitch, compass, past = PitchTracker(), Compass(QUAD), []
    for window in Windows(window=32_000, hop=4_000, channels=range(4)).push(Block(Samples(0), pcm)):
        compass.update(window, pitch.update(replace(window, pcm=window.pcm[:1])))
        past.append(compass.past)
    assert len(past[0]) >= 3
    assert all(abs(float(apart(each.deg, 250.0))) < 3.0 for each in past[0])
    assert [each.end for each in past[0]] == sorted({each.end for each in past[0]})
    assert past[0][-1].end < 32_000
    assert past[1:] == [()] * (len(past) - 1)


def test_of_a_tone_that_ended_within_the_first_window_nothing_is_told_twice() -> None:
    pcm = plane_wave(250.0, 2.0, noise=0.02)
    pcm[16_000:] = 1e-3 * np.random.default_rng(2).standard_normal((16_000, 4))
    pitch, compass = PitchTracker(), Compass(QUAD)
    window = next(windows_of(pcm))
    compass.update(window, pitch.update(replace(window, pcm=window.pcm[:1])))
    assert [each.end for each in compass.past] == [12_000, 16_000, 20_000]


def test_the_uncertainty_grows_with_the_turning() -> None:
    def sd_deg(deg_a_look: float) -> float:
        found = agree([Look(Samples(n * 2000), (deg_a_look * n) % 360.0, 0.9) for n in range(8)], Samples(8 * 2000))
        assert found is not None
        return found.sd_deg

    assert sd_deg(0.0) < sd_deg(5.0) < sd_deg(15.0)


def test_a_bearing_that_turns_ever_faster_is_off_by_no_more_than_it_states() -> None:
    bent = [Look(Samples(n * 2000), 0.0 if n < 6 else 14.0 * (n - 5), 0.9) for n in range(12)]
    found = latest(bent, Samples(12 * 2000))
    assert found is not None
    assert abs(float(apart(found.deg, 98.0))) <= found.sd_deg
