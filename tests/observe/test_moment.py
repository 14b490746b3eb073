from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.observe.test_snapshot import events, feed, feed_call, setup

from sirend.audio.stream import Samples, Score, Window
from sirend.call.eta import KEYS
from sirend.call.state import CallState
from sirend.detect.arrival import Arrival
from sirend.detect.bearing import Bearing
from sirend.detect.features import FeatureSpec
from sirend.detect.motion import Motion
from sirend.detect.tracker import Track
from sirend.observe.moment import MomentEncoder, about, clap, event_values, mel_columns, peak_dbfs
from sirend.observe.snapshot import View

if TYPE_CHECKING:
    import numpy.typing as npt

SPEC = FeatureSpec()


def tone(hz: float, amplitude: float, samples: int) -> npt.NDArray[np.float32]:
    return (amplitude * np.sin(2.0 * np.pi * hz * np.arange(samples) / 16_000)).astype(np.float32)


def hear(view: View, *pcm: npt.NDArray[np.float32]) -> None:
    end = Samples(32_000 + view.windows * 4_000)
    view.add_window(Window(end, np.stack(pcm), 4_000))
    for approach in view.setup.approaches:
        track = Track(end, approach.name, 0.5, end, -60.0, Motion.UNKNOWN)
        view.add_score(Score(end, approach.name, 0.25, -60.0), track, CallState.CLEAR, end)


def decoded(text: str) -> npt.NDArray[np.uint8]:
    return np.frombuffer(base64.b64decode(text), dtype=np.uint8).reshape(-1, SPEC.bands)


def test_a_tone_lights_its_band_and_a_hop_has_five_columns() -> None:
    shown = decoded(mel_columns(SPEC, tone(1_000.0, 0.5, 4_000 + 240)))
    assert shown.shape == (5, 64)
    band = int(np.argmax(SPEC.mel_weights[32]))  # 1000 Hz is bin 32 of 31.25 Hz each
    assert set(shown.argmax(axis=1)) == {band}
    quieter = decoded(mel_columns(SPEC, tone(1_000.0, 0.05, 4_240)))
    assert shown[2, band] - quieter[2, band] == pytest.approx(20.0 / 110.0 * 255.0, abs=1.5)


def test_silence_and_full_scale_stay_in_range() -> None:
    assert decoded(mel_columns(SPEC, np.zeros(4_240, dtype=np.float32))).max() == 0
    assert 200 < decoded(mel_columns(SPEC, tone(1_000.0, 1.0, 4_240))).max() <= 255


def test_a_calibrated_microphone_says_how_loud_full_scale_is() -> None:
    assert about(replace(setup(), dbfs_of_94_db=-26.0))["full_scale_spl_db"] == 120.0
    assert about(setup())["full_scale_spl_db"] is None


def test_levels_floor_and_clipping_are_those_of_the_hop() -> None:
    view = View(setup())
    glance = MomentEncoder(view.setup)
    pcm = np.concatenate((tone(500.0, 1.0, 28_000), tone(500.0, 0.1, 4_000)))
    hear(view, pcm)
    (moment,) = glance.take(view.since(0))
    (heard,) = moment["heard"]
    assert (heard["hop_dbfs"], heard["peak_dbfs"], heard["floor_dbfs"]) == (-23.0, -20.0, -60.0)
    assert heard["clipped"] is False
    hear(view, pcm[::-1].copy())
    (moment,) = glance.take(view.since(1))
    assert moment["heard"][0]["clipped"] is True
    assert moment["end_s"] == 2.25


def test_moments_whose_samples_are_gone_have_scores_only() -> None:
    view = View(setup())
    feed(view, 20)
    made = MomentEncoder(view.setup).take(view.since(0))
    assert ["columns" in moment["heard"][0] for moment in made] == [False] * 13 + [True] * 7


def test_peaks_of_silence_are_the_floor() -> None:
    assert peak_dbfs(np.zeros(8, dtype=np.float32)) == -120.0
    assert peak_dbfs(np.zeros(0, dtype=np.float32)) == -120.0


def test_a_clap_is_given_to_the_loudest_of_the_microphones() -> None:
    near, far = (-10.0, -30.0, -60.0), (-20.0, -40.0, -60.0)
    assert clap({"north": near, "south": far}) == {"approach": "north"}
    assert clap({"north": far, "south": near}) == {"approach": "south"}
    assert clap({"north": near, "south": (-12.0, -32.0, -60.0)}) == {"approach": None}
    assert clap({"main": near}) == {"approach": "main"}


@given(st.floats(-90.0, 0.0), st.floats(-100.0, -20.0), st.floats(3.0, 8.0))
def test_a_steady_sound_is_no_clap_however_loud(peak: float, floor: float, crest: float) -> None:
    assert clap({"main": (peak, peak - crest, floor)}) is None


def test_a_soft_tick_is_no_clap() -> None:
    assert clap({"main": (-45.0, -75.0, -90.0)}) is None
    assert clap({"main": (-35.0, -60.0, -50.0)}) is None


def test_an_event_is_shown_without_what_is_meant_for_controllers() -> None:
    (event,) = events(1)
    shown = event_values(event)
    assert "sig" not in shown
    assert (shown["state"], shown["approach"]) == ("approaching", "main")


def test_what_does_not_change_is_told_once() -> None:
    told_about = about(setup("north", "south"))
    assert [each["channel"] for each in told_about["approaches"]] == [0, 1]
    assert (told_about["enter"], told_about["exit"], told_about["hop_s"]) == (0.6, 0.4, 0.25)


def test_a_moment_of_an_array_has_one_bearing_and_every_moment_the_tone() -> None:
    view = View(replace(setup("north", "main"), has_array=True))
    feed(view, 1)
    feed(view, 1, first=2, bearing=Bearing(Samples(0), 359.97, 4.24))
    before, after = MomentEncoder(view.setup).take(view.since(0))
    assert "bearing" not in before
    assert after["bearing"] == {"deg": 0.0, "sd_deg": 4.2}
    assert [each["tone"] for each in after["heard"]] == ["unknown", "unknown"]
    told_about = about(view.setup)
    assert told_about["has_array"]
    assert told_about["approaches"][0]["width_deg"] == 60.0


def test_a_moment_has_the_time_to_go_of_a_call_whose_siren_comes_nearer_and_of_no_other() -> None:
    view = View(setup("north"))
    arrival = Arrival(6.04, 3.21, 8.96)
    feed_call(view, arrival, Motion.APPROACHING)
    feed_call(view, None, Motion.APPROACHING)
    feed_call(view, arrival, Motion.UNKNOWN)
    feed_call(view, arrival, Motion.APPROACHING, CallState.CLEAR)
    told, *others = [moment["heard"][0] for moment in MomentEncoder(view.setup).take(view.since(0))]
    assert [told[key] for key in KEYS] == [6.0, 3.2, 9.0]
    assert not any(key in other for other in others for key in KEYS)
