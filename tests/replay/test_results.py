from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from sirend.audio.stream import Samples, Score
from sirend.call.event import Event, to_json
from sirend.call.state import CallState, Reason
from sirend.detect.motion import Motion
from sirend.errors import DeviceError
from sirend.replay.results import STDOUT, Results

if TYPE_CHECKING:
    from pathlib import Path

EVENT = Event(
    site="main-5th",
    approach="main",
    state=CallState.APPROACHING,
    event_id="1",
    boot_id="replay",
    seq=1,
    at=datetime(1970, 1, 1, tzinfo=UTC),
    onset_at=datetime(1970, 1, 1, tzinfo=UTC),
    sample=Samples(0),
    confidence=0.9,
    motion=Motion.UNKNOWN,
    level_dbfs=-30.0,
    reason=Reason.SIREN,
    valid_until=datetime(1970, 1, 1, tzinfo=UTC),
    mode="replay",
    model="siren-9.9.9@0123456789ab",
)


def test_scores_are_rows_of_the_contracted_csv(tmp_path: Path) -> None:
    with Results(tmp_path / "e", tmp_path / "s.csv") as results:
        results.begin()
        results.observe('a, "b".wav', Score(Samples(36_000), "main", 0.123456789, -31.456))
        results.observe("c.wav", Score(Samples(40_000), "north", 1.0, -120.0))
    assert (tmp_path / "s.csv").read_text() == (
        "source,approach,window_end_s,score,level_dbfs\n"
        '"a, ""b"".wav",main,2.250,0.123457,-31.46\n'
        "c.wav,north,2.500,1.000000,-120.00\n"
    )


def test_events_are_lines_of_json(tmp_path: Path) -> None:
    with Results(tmp_path / "e", None) as results:
        results.begin()
        results.publish(EVENT)
        results.publish(EVENT)
    assert (tmp_path / "e").read_text() == 2 * (to_json(EVENT) + "\n")


def test_a_recording_can_be_left_out_afterwards(tmp_path: Path) -> None:
    with Results(tmp_path / "e", tmp_path / "s.csv") as results:
        for name in ("good.wav", "bad.wav", "better.wav"):
            results.begin()
            results.publish(EVENT)
            results.observe(name, Score(Samples(32_000), "main", 0.5, -30.0))
            if name == "bad.wav":
                results.discard()
    assert len((tmp_path / "e").read_text().splitlines()) == 2
    assert [line.split(",")[0] for line in (tmp_path / "s.csv").read_text().splitlines()] == [
        "source",
        "good.wav",
        "better.wav",
    ]


def test_an_error_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Results(tmp_path / "e", tmp_path / "s.csv"):
        _ = 1 // 0
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_opened_leaves_no_other(tmp_path: Path) -> None:
    with pytest.raises(DeviceError), Results(tmp_path / "e", tmp_path / "none" / "s.csv"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_goes_away_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        with Results(None, None) as alone, Results(None, tmp_path / "s.csv") as together:
            for results in (alone, together):
                results.begin()
                results.publish(EVENT)
            assert not alone.are_wanted
            assert together.are_wanted


def test_scores_can_go_to_the_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Results(tmp_path / "e", STDOUT) as results:
        results.begin()
        results.observe("a.wav", Score(Samples(36_000), "main", 0.5, -31.0))
        results.discard()
    assert (
        capsys.readouterr().out == "source,approach,window_end_s,score,level_dbfs\na.wav,main,2.250,0.500000,-31.00\n"
    )
    assert not (tmp_path / "-").exists()
