from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evidence.test_chart import RULES, event, strip_of

from sirend.audio.stream import SAMPLE_RATE_HZ, Gap, GapReason, Samples, Score
from sirend.call.state import CallState
from sirend.detect.motion import Motion
from sirend.detect.tracker import Track
from sirend.evidence import chart_data as strip
from sirend.evidence.chart_data import ChartData, PitchTrack
from sirend.simulate import siren_sound, sirens, synthesis

if TYPE_CHECKING:
    from sirend.audio.stream import Pcm


def test_listening_changes_nothing_and_finds_the_pitch() -> None:
    made = strip_of(10)
    assert made.end_s == 10.0
    assert len(made.columns) == 10 * SAMPLE_RATE_HZ // strip.FRAME
    assert {int(np.argmax(column)) for column in made.columns} == {1_000 * strip.FRAME // SAMPLE_RATE_HZ}
    assert len(made.pitch.hz) == (10 * SAMPLE_RATE_HZ - 768) // 500 + 1
    assert np.abs(np.array(made.pitch.hz) - 1_000.0).max() < 2.0


def test_a_gap_passes_through() -> None:
    gap = Gap(Samples(0), GapReason.OVERFLOW)
    assert list(ChartData("a.wav", 1.0, RULES).listen([gap])) == [gap]


@pytest.mark.parametrize("hours", [1, 24, 24 * 14])
def test_a_long_recording_takes_no_more_columns_and_points_than_a_day_of_hours(hours: int) -> None:
    made = ChartData("a.wav", 3_600.0 * hours, RULES)
    most = strip.COLUMNS * min(hours, strip.MOST_HOURS)
    assert 0.9 * most <= 3_600.0 * hours * SAMPLE_RATE_HZ / made.column_samples <= most
    assert made.column_samples % strip.FRAME == 0
    assert 3_600.0 * hours * SAMPLE_RATE_HZ / (500 * made.pitch.frames) <= 1.01 * most


def siren(seconds: int) -> Pcm:
    return synthesis.synthesise(
        sirens.find_siren("de", "hilo"), seconds * SAMPLE_RATE_HZ, SAMPLE_RATE_HZ, np.random.default_rng(3)
    )


@pytest.mark.parametrize("frames", [1, 8])
def test_the_pitch_is_that_of_the_siren_whatever_a_point_stands_for(frames: int) -> None:
    """Germany's two tones, DIN 14610: what lies between them are the changes."""
    track = PitchTrack(frames)
    track.add_sound(siren(8))
    expected = siren_sound.instantaneous_hz(sirens.find_siren("de", "hilo"), np.array(track.at_s))
    off = np.abs(np.array(track.hz) / expected - 1.0)
    assert len(track.hz) > 0.9 * 8 * 32 / frames
    assert np.mean(off < 0.02) > 0.9


@settings(max_examples=20)
@given(sizes=st.lists(st.integers(1, 4_000), min_size=1, max_size=40), frames=st.integers(1, 9))
def test_the_pitch_is_the_same_however_the_sound_is_cut(sizes: list[int], frames: int) -> None:
    pcm = siren(5)[: sum(sizes)]
    whole, pieces = PitchTrack(frames), PitchTrack(frames)
    whole.add_sound(pcm)
    for piece in np.split(pcm, np.cumsum(sizes)[:-1]):
        pieces.add_sound(piece)
    assert pieces.at_s == whole.at_s
    assert pieces.hz == pytest.approx(whole.hz, rel=1e-4)


def test_noise_and_silence_have_hardly_a_pitch() -> None:
    noise = 0.1 * np.random.default_rng(1).standard_normal(10 * SAMPLE_RATE_HZ)
    for pcm in (noise, 0.0 * noise):
        track = PitchTrack(1)
        track.add_sound(pcm.astype(np.float32))
        assert len(track.hz) < 10


def test_calls_are_paired_by_approach_and_an_open_one_lasts_to_the_end() -> None:
    made = strip_of(30)
    made.events = [
        event(5.0, CallState.APPROACHING, "north"),
        event(6.0, CallState.APPROACHING, "north", refresh=True),
        event(7.0, CallState.APPROACHING, "south"),
        event(12.0, CallState.CLEAR, "north"),
    ]
    calls = [(call.start_s, call.end_s, call.start.approach, call.end is None) for call in made.calls()]
    assert calls == [(5.0, 12.0, "north", False), (7.0, 30.0, "south", True)]


def followed(evidence: list[float], motions: list[Motion]) -> ChartData:
    made = ChartData("a.wav", 10.0, RULES)
    for second, (heard, motion) in enumerate(zip(evidence, motions, strict=True), start=1):
        end = Samples(second * SAMPLE_RATE_HZ)
        made.observe(Score(end, "main", heard, -20.0), Track(end, "main", heard, end, -20.0, motion))
    made.end_s = float(len(evidence))
    return made


def test_a_siren_is_heard_from_enter_until_below_exit() -> None:
    made = followed([0.1, 0.5, 0.6, 0.5, 0.4, 0.3, 0.5, 0.9], [Motion.UNKNOWN] * 8)
    assert list(made.sirens("main")) == [(3.0, 6.0), (8.0, 8.0)]


def test_the_way_is_told_where_something_is_known_of_it() -> None:
    near, far, unknown = Motion.APPROACHING, Motion.DEPARTING, Motion.UNKNOWN
    made = followed([0.9] * 7, [unknown, near, near, far, unknown, unknown, far])
    assert list(made.motions("main")) == [(2.0, 4.0, near), (4.0, 5.0, far), (7.0, 7.0, far)]
