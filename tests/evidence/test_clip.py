from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from tests.observe.test_snapshot import RULES, events

from sirend.audio.stream import Samples, to_samples
from sirend.call.state import CallState
from sirend.detect.motion import Motion
from sirend.evidence.clip import CallClip, ClipRecorder, Hop
from sirend.observe.moment import event_values
from sirend.observe.snapshot import HeardThere

HOP = 4_000
START, END = (replace(event, sample=Samples(40 * HOP + 20 * HOP * i)) for i, event in enumerate(events(2)))


def hop(number: int, pcm: npt.NDArray[np.float32] | None = None) -> Hop:
    heard = HeardThere("main", 0.5, 0.6, -30.0, Motion.UNKNOWN, CallState.CLEAR, None)
    sound = np.full(HOP, number / 1_000.0, dtype=np.float32) if pcm is None else pcm
    return Hop(Samples(number * HOP), sound, heard)


def tape(before_s: float = 2.0, longest_s: float = 60.0) -> ClipRecorder:
    return ClipRecorder(
        to_samples(before_s), to_samples(longest_s), lambda event, past: CallClip(event, RULES, "m@0", past)
    )


def record(made: ClipRecorder, first: int, last: int) -> list[CallClip]:
    return [take for number in range(first, last + 1) if (take := made.add_hop(hop(number))) is not None]


def test_a_take_holds_what_was_before_the_call_up_to_its_end() -> None:
    made = tape()
    assert record(made, 9, 40) == []
    assert made.add_event(START) is None
    assert record(made, 41, 60) == []
    take = made.add_event(END)
    assert take is not None
    assert [part.end // HOP for part in take.hops] == list(range(33, 61))
    assert (take.first, len(take.pcm())) == (32 * HOP, 28 * HOP)
    assert take.end is END
    assert take.pcm()[::HOP] == pytest.approx(np.arange(33, 61) / 1_000.0)


def test_a_take_ends_when_it_is_long_enough_and_comes_once() -> None:
    made = tape(longest_s=3.0)
    record(made, 9, 40)
    made.add_event(START)
    (take,) = record(made, 41, 70)
    assert (take.hops[-1].end, take.end) == (52 * HOP, None)
    assert made.add_event(END) is None


def loud(number: int, level_dbfs: float) -> Hop:
    made = hop(number)
    return replace(made, heard=replace(made.heard, level_dbfs=level_dbfs))


@pytest.mark.parametrize(("loudest", "lead_s"), [(56, 4.0), (39, -0.25)])
def test_the_lead_counts_to_the_loudest_moment_since_the_siren_is_heard(loudest: int, lead_s: float) -> None:
    """A lorry that had passed just before counted as the vehicle, and the call as late."""
    start = replace(START, onset_at=START.at - timedelta(seconds=0.5))
    hops = [loud(number, {34: -5.0, loudest: -12.0}.get(number, -30.0)) for number in range(31, 61)]
    take = CallClip(start, RULES, "m@0", hops, END)
    assert take.lead_s == lead_s
    assert json.loads(take.notes(event_values))["lead_s"] == lead_s


def test_a_call_that_outlasts_its_clip_has_no_lead() -> None:
    """The loudest moment of the eight seconds that were kept was told as the one at which the vehicle passed."""
    made = tape(longest_s=3.0)
    record(made, 9, 40)
    made.add_event(START)
    (take,) = record(made, 41, 70)
    assert take.lead_s is None
    assert json.loads(take.notes(event_values))["lead_s"] is None


def test_a_hole_is_silent_and_times_stay_true() -> None:
    made = tape()
    record(made, 30, 40)
    made.add_event(START)
    record(made, 44, 60)
    take = made.add_event(END)
    assert take is not None
    sound = take.pcm()
    assert len(sound) == 28 * HOP
    assert not sound[8 * HOP : 11 * HOP].any()
    assert sound[11 * HOP] == np.float32(0.044)


def test_after_a_long_hole_the_past_is_another_matter() -> None:
    made = tape(before_s=60.0)
    record(made, 1, 10)
    record(made, 40, 41)
    made.add_event(START)
    take = made.add_event(END)
    assert take is not None
    assert [part.end // HOP for part in take.hops] == [40, 41]


@given(before=st.integers(0, 30), count=st.integers(1, 200))
def test_the_past_is_bounded(before: int, count: int) -> None:
    made = ClipRecorder(Samples(before * HOP), Samples(HOP), lambda event, past: CallClip(event, RULES, "m@0", past))
    record(made, 1, count)
    made.add_event(START)
    take = made.add_event(END)
    assert take is not None
    assert len(take.hops) == min(count, max(1, before))


def whole(pcm: npt.NDArray[np.float32]) -> CallClip:
    hops = [hop(number + 33, part) for number, part in enumerate(pcm.reshape(-1, HOP))]
    return CallClip(START, RULES, "m@0", hops, END)


def test_sound_and_notes_are_what_was_heard() -> None:
    pcm = (0.5 * np.sin(2.0 * np.pi * 1_000.0 * np.arange(28 * HOP) / 16_000)).astype(np.float32)
    take = whole(pcm)
    read, rate = soundfile.read(io.BytesIO(take.flac()), dtype="float32")
    assert rate == 16_000
    assert read == pytest.approx(pcm, abs=1 / 32_000)
    notes = json.loads(take.notes(event_values))
    assert [event["state"] for event in notes["events"]] == ["approaching", "clear"]
    assert [notes["windows"][0]["end_s"], notes["windows"][-1]["end_s"], len(notes["windows"])] == [0.25, 7.0, 28]
    assert take.name.startswith("19700101T000000Z-main-")


def test_a_picture_is_drawn_with_the_call_in_its_place() -> None:
    take = whole(np.zeros(28 * HOP, dtype=np.float32))
    (call,) = take.chart_data(is_private=False).calls()
    assert (call.start_s, call.end_s) == (2.0, 7.0)
    assert take.picture(is_private=True).startswith(b"\x89PNG")


def test_without_sound_no_modulation_of_speech_is_left() -> None:
    """Speech is told apart by modulations of 4 Hz and more; of one at 4 Hz less than a tenth is left, a tone stays."""
    at_s = np.arange(80 * HOP) / 16_000
    carrier = np.sin(2.0 * np.pi * 1_000.0 * at_s)
    syllables = (0.3 * (1.0 + 0.9 * np.sin(2.0 * np.pi * 4.0 * at_s)) * carrier).astype(np.float32)
    with np.load(io.BytesIO(whole(syllables).features()), allow_pickle=False) as kept:
        power, column_s, bin_hz = kept["power"], float(kept["column_s"]), float(kept["bin_hz"])
    assert (column_s, bin_hz) == (0.256, 31.25)
    assert power.shape == (78, 160)
    loud = power[:, 32]
    assert set(power.argmax(axis=1)) == {32}
    assert (loud.max() - loud.min()) / (loud.max() + loud.min()) < 0.1


def test_without_sound_the_pitch_is_no_finer_than_the_spectra() -> None:
    pcm = (0.5 * np.sin(2.0 * np.pi * 1_000.0 * np.arange(28 * HOP) / 16_000)).astype(np.float32)
    fine, coarse = (whole(pcm).chart_data(is_private=is_private).pitch for is_private in (False, True))
    assert np.diff(fine.at_s) == pytest.approx(1 / 32)
    assert np.diff(coarse.at_s) == pytest.approx(0.25)
    assert {round(hz) for hz in (*fine.hz, *coarse.hz)} == {1_000}
