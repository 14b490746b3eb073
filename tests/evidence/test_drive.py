"""How early a simulated drive was called."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.evidence.test_chart import event

from sirend.call.state import CallState, Reason
from sirend.evidence.chart_data import CallSpan
from sirend.evidence.drive import Drive, Span, lead, lead_text, read_drive
from sirend.simulate.scene import Scene, write_scene

if TYPE_CHECKING:
    from pathlib import Path

WITHIN = "it was within 5 dB of the street"
SIGHT = "it came in sight"
DRIVE = Drive(None, stop_line_s=30.0, speed_m_s=10.0, first_audible_s=12.0, time_s=(0.0,), distance_m=(300.0,))


def call(from_s: float, to_s: float | None, reason: Reason = Reason.QUIET, approach: str = "main") -> CallSpan:
    start = event(from_s, CallState.APPROACHING, approach)
    end = None if to_s is None else replace(event(to_s, CallState.CLEAR, approach), reason=reason)
    return CallSpan(from_s, 60.0 if to_s is None else to_s, start, end)


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        ([], "not called"),
        ([call(14.1, 40.0)], "called 15.9 s and 159 m before the stop line, 2.1 s after it was first audible"),
        ([call(14.1, None)], "called 15.9 s and 159 m before the stop line, 2.1 s after it was first audible"),
        ([call(10.0, 40.0)], f"called 20.0 s and 200 m before the stop line, 2.0 s before {WITHIN}"),
        ([call(33.0, 40.0)], "called 3.0 s and 30 m after the stop line, 21.0 s after it was first audible"),
        # The call that stands when the vehicle arrives counts, not an earlier one that was given up.
        (
            [call(5.0, 11.0), call(20.0, 50.0)],
            "called 10.0 s and 100 m before the stop line, 8.0 s after it was first audible",
        ),
        (
            [call(5.0, 11.0)],
            f"called 25.0 s and 250 m before the stop line, 7.0 s before {WITHIN}; but cleared 19.0 s before it came",
        ),
        # One that had all its time has done its work.
        (
            [call(5.0, 25.0, Reason.MAX_PRESENCE), call(28.0, 50.0)],
            f"called 25.0 s and 250 m before the stop line, 7.0 s before {WITHIN}",
        ),
    ],
)
def test_the_call_that_stands_at_the_stop_line_counts(calls: list[CallSpan], said: str) -> None:
    assert lead_text(lead(DRIVE, map(Span.of, calls))) == said


def test_a_siren_that_is_never_audible_has_no_delay() -> None:
    quiet = replace(DRIVE, first_audible_s=None)
    said = "called 10.0 s and 100 m before the stop line, although it never came within 5 dB of the street"
    assert lead_text(lead(quiet, [Span.of(call(20.0, 40.0))])) == said


def test_only_the_leg_by_which_it_comes_counts() -> None:
    calls = [Span.of(call(10.0, None, approach="west")), Span.of(call(20.0, None, approach="east"))]
    found = lead(replace(DRIVE, approach="east"), calls)
    assert found is not None
    assert (found.call_s, found.lead_s, found.wait_s) == (20.0, 10.0, 8.0)
    assert lead(replace(DRIVE, approach="east"), calls[:1]) is None


def test_the_truth_beside_a_recording_is_read(tmp_path: Path) -> None:
    write_scene(Scene(start_m=50.0, speed_kmh=60.0, stop_line_m=10.0), tmp_path / "pass.wav")
    truth = json.loads((tmp_path / "pass.json").read_text())
    drive = read_drive(tmp_path / "pass.wav")
    assert drive is not None
    assert (drive.stop_line_s, drive.first_audible_s) == (truth["stop_line_s"], truth["first_audible_s"])
    assert drive.speed_m_s == pytest.approx(60.0 / 3.6)
    assert drive.distance_m[0] == truth["distance_m"][0]


@pytest.mark.parametrize(
    ("called_s", "said"),
    [
        (21.5, "8.5 s and 85 m before the stop line, 9.5 s after it was first audible, 1.5 s after " + SIGHT),
        (19.0, "11.0 s and 110 m before the stop line, 7.0 s after it was first audible, 1.0 s before " + SIGHT),
    ],
)
def test_a_siren_behind_buildings_is_told_against_when_it_came_in_sight(called_s: float, said: str) -> None:
    """Between two cars it is audible for a moment long before, and its call seems late."""
    assert lead_text(lead(replace(DRIVE, in_sight_s=20.0), [Span.of(call(called_s, None))])) == f"called {said}"


@pytest.mark.parametrize(
    ("scene", "in_sight_s"),
    [
        (Scene(start_m=90.0, speed_kmh=36.0, in_sight_m=40.0, stop_line_m=10.0), 5.0),
        (Scene(start_m=40.0, speed_kmh=36.0, in_sight_m=90.0), None),
        (Scene(start_m=40.0, speed_kmh=36.0), None),
    ],
)
def test_when_it_comes_in_sight_is_read_from_the_truth(tmp_path: Path, scene: Scene, in_sight_s: float | None) -> None:
    write_scene(scene, tmp_path / "pass.wav")
    drive = read_drive(tmp_path / "pass.wav")
    assert drive is not None
    assert drive.in_sight_s == in_sight_s


def test_a_truth_of_a_vehicle_that_stands_is_none(tmp_path: Path) -> None:
    write_scene(Scene(start_m=50.0, in_sight_m=20.0), tmp_path / "pass.wav")
    beside = tmp_path / "pass.json"
    beside.write_text(json.dumps({**json.loads(beside.read_text()), "speed_kmh": 0.0}))
    assert read_drive(tmp_path / "pass.wav") is None


@pytest.mark.parametrize(
    "content", [None, "{", "[]", '{"schema": "other"}', '{"schema": "sirend/truth/1"}', "[" * 9999]
)
def test_what_is_no_truth_is_left_alone(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "street.json").write_text(content)
    assert read_drive(tmp_path / "street.wav") is None
