from __future__ import annotations

import struct
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sirend.audio.stream import SAMPLE_RATE_HZ, Block, Samples, Score
from sirend.call.event import Event
from sirend.call.rules import Rules
from sirend.call.sector import Sector
from sirend.call.state import CallState, Reason
from sirend.detect.bearing import Bearing
from sirend.detect.motion import Motion
from sirend.detect.tracker import Track
from sirend.errors import UsageError
from sirend.evidence import chart as picture
from sirend.evidence.chart_data import ChartData

if TYPE_CHECKING:
    from collections.abc import Iterator

RULES = Rules(
    enter=0.6,
    exit=0.4,
    confirm=Samples(12_000),
    release=Samples(48_000),
    min_duration=Samples(80_000),
    max_presence=Samples(960_000),
    rearm_gap=Samples(80_000),
    max_calls_per_hour=20,
)


def event(at_s: float, state: CallState, approach: str = "main", *, refresh: bool = False) -> Event:
    moment = datetime(1970, 1, 1, tzinfo=UTC)
    return Event(
        site="main-5th",
        approach=approach,
        state=state,
        event_id="1",
        boot_id="replay",
        seq=1,
        at=moment,
        onset_at=moment,
        sample=Samples(round(at_s * SAMPLE_RATE_HZ)),
        confidence=0.9,
        motion=Motion.UNKNOWN,
        level_dbfs=-30.0,
        reason=Reason.SIREN if state is CallState.APPROACHING else Reason.QUIET,
        valid_until=moment,
        mode="replay",
        model="siren-9.9.9@0123456789ab",
        refresh=refresh,
    )


def tone(hz: float, seconds: int) -> Iterator[Block]:
    at_s = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    pcm = np.sin(2.0 * np.pi * hz * at_s).astype(np.float32)[:, np.newaxis]
    for second in range(seconds):
        yield Block(Samples(second * SAMPLE_RATE_HZ), pcm)


def strip_of(seconds: int, name: str = "a.wav", *approaches: str) -> ChartData:
    strip = ChartData(name, float(seconds), RULES)
    assert sum(1 for _ in strip.listen(tone(1_000.0, seconds))) == seconds
    for end_s in np.arange(2.0, seconds + 0.1, 0.25):
        end = Samples(round(end_s * SAMPLE_RATE_HZ))
        for approach in approaches or ("main",):
            motion = Motion.APPROACHING if end_s > seconds / 2 else Motion.UNKNOWN
            strip.observe(Score(end, approach, 0.8, -20.0), Track(end, approach, 0.7, end, -20.0, motion))
    return strip


@pytest.mark.parametrize("name", ["a.wav", "$x^{$.wav", "中\udcff.wav"])
def test_the_picture_is_a_png_of_the_expected_size(name: str) -> None:
    strip = strip_of(150, name)
    strip.events = [event(20.0, CallState.APPROACHING), event(140.0, CallState.CLEAR)]
    one, two = picture.png([strip], "siren-9.9.9"), picture.png([strip, strip_of(3)], "siren-9.9.9")
    assert one[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", one[16:24]) == (1_430, 922)
    assert struct.unpack(">II", two[16:24]) == (1_430, 1_756)


def test_every_approach_has_a_lane_for_its_decisions() -> None:
    strip = strip_of(10, "a.wav", "north", "south")
    strip.events = [event(5.0, CallState.APPROACHING, "south")]
    assert struct.unpack(">II", picture.png([strip], "siren-9.9.9")[16:24]) == (1_430, 952)


def test_a_missing_matplotlib_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(
        UsageError, match=r"--plot needs matplotlib: sudo make install EXTRAS=plot, or make venv EXTRAS=plot"
    ):
        picture.require_picture(Path("a.png"))


def test_only_a_png_is_drawn() -> None:
    with pytest.raises(UsageError, match=r"--plot a.jpg: the picture is a PNG; name it a.png"):
        picture.require_picture(Path("a.jpg"))
    picture.require_picture(Path("/dev/null"))


@pytest.mark.parametrize(
    ("start_s", "end_s", "first", "last"),
    [
        (0, 150, "0:00", "2:30"),
        (0, 3_600, "0:00", "60:00"),
        (0, 86_400, "0:00", "24:00"),
        (7_200, 10_000, "2:00", "2:45"),
    ],
)
def test_a_long_recording_has_few_ticks_at_whole_times(start_s: float, end_s: float, first: str, last: str) -> None:
    ticks = picture.ticks_between(start_s, end_s)
    assert 4 <= len(ticks) <= picture.MOST_TICKS + 1
    assert [picture.time_text(ticks[0], end_s), picture.time_text(ticks[-1], end_s)] == [first, last]


def test_what_is_audible_from_the_beginning_is_labelled_within_the_picture() -> None:
    assert picture.side_of(0.0, 60.0) == "left"
    assert picture.side_of(14.5, 60.0) == "right"


def test_a_night_of_calls_is_drawn_with_few_labels_and_an_hour_by_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    strip = ChartData("night.wav", 9_000.0, RULES)
    column = np.ones(257, dtype=np.float32)
    strip.columns = [column] * round(9_000.0 * SAMPLE_RATE_HZ / strip.column_samples)
    strip.end_s = 9_000.0
    for at_s in range(100, 9_000, 20):
        strip.events += [event(at_s, CallState.APPROACHING), event(at_s + 10, CallState.CLEAR)]
        end = Samples(at_s * SAMPLE_RATE_HZ)
        strip.observe(Score(end, "main", 0.8, -20.0), Track(end, "main", 0.7, end, -20.0, Motion.UNKNOWN))
    labels: list[str] = []
    monkeypatch.setattr(picture, "_label", lambda _axis, _at_s, _side, text: labels.append(text))
    assert picture.png([strip], "m")[:4] == b"\x89PNG"
    assert 20 < len(labels) < 70, "as many as there is room for, of 890"
    hours = strip.hours()
    assert [(hour.start_s, hour.end_s) for hour in hours] == [(0.0, 3_600.0), (3_600.0, 7_200.0), (7_200.0, 9_000.0)]
    assert [len(hour.traces["main"].end_s) for hour in hours] == [175, 180, 90]
    assert sum(len(hour.columns) for hour in hours) == len(strip.columns)
    labels.clear()
    assert picture.png([hours[2]], "m")[:4] == b"\x89PNG"
    assert labels[0] == "approaching, 2:00"
    assert strip_of(10).hours() == []


def test_an_array_has_a_panel_for_the_bearing_which_goes_with_its_hour() -> None:
    strip = strip_of(10)
    strip.sectors = (Sector("north", 0.0, 45.0), Sector("east", 90.0, 30.0))
    for number in range(12):
        end = Samples(64_000 + 4_000 * number)
        track = Track(end, "north", 0.9, end, -20.0, bearing=Bearing(end, 20.0 * number, 3.0))
        strip.observe(Score(end, "north", 0.9, -20.0), track)
        strip.observe(Score(end, "east", 0.9, -20.0), track)
    assert len(strip.bearing.end_s) == 12
    assert list(strip.part(5.0, 6.0).bearing.deg) == [80.0, 100.0, 120.0, 140.0]
    assert struct.unpack(">II", picture.png([strip], "siren-9.9.9")[16:24]) == (1_430, 1_134)
