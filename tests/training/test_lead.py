"""How early sirens are called: what is planned, and what leads of known scores amount to."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sirend.detect.bundle import OperatingPoint
from sirend.evidence.drive import Drive
from sirend.simulate.levels import in_band, rms
from sirend.simulate.sirens import TONES
from sirend.training import lead

if TYPE_CHECKING:
    from sirend.training.decision import Series

POINT = OperatingPoint(enter=0.8, exit=0.4, confirm_s=0.75, release_s=3.0)


def scores(from_s: float, *, seconds: float = 30.0) -> Series:
    end_s = np.arange(2.0, seconds + 0.01, 0.25)
    return end_s, np.where(end_s >= from_s, 0.99, 0.01)


def heard(ours_s: float, peer_s: float, *, first_s: float | None = 10.0) -> lead.Heard:
    drive = Drive(None, 29.0, 10.0, first_s, (0.0,), (290.0,))
    return lead.Heard(scores(ours_s), scores(peer_s), drive, 30.0)


def test_three_rounds_drive_every_siren_at_every_speed_and_sight() -> None:
    tasks = [task for task in lead.plan(3, 1) if task.is_drive and task.sight_m != lead.CARD_M]
    sirens = len(TONES) - 1  # an air horn is no siren
    assert len(tasks) == 9 * sirens
    assert set(Counter((task.speed_kmh, task.sight_m) for task in tasks).values()) == {sirens}
    one = [task for task in lead.plan(1, 1) if task.is_drive]
    assert len(one) == 4 * sirens
    assert {task.speed_kmh for task in one if task.name == "de hilo"} == set(lead.SPEEDS_KMH)
    assert {task.sight_m for task in one if task.name == "de hilo"} == {*lead.SIGHTS_M, lead.CARD_M}


def test_recordings_drive_too_and_what_else_there_is_takes_the_confusers_place() -> None:
    tasks = lead.plan(1, 1, streets=[5, 6], recorded=[7], other=list(range(20)))
    mine = [task for task in tasks if task.siren == lead.RECORDED]
    assert len(mine) == 4
    assert all(task.clips[0] in (5, 6) and task.clips[1] == 7 for task in mine)
    assert json.loads(json.dumps([asdict(task) for task in tasks]))[-1]["siren"] == "other"  # the name of what is kept
    assert sorted(clip for task in tasks if not task.is_drive for clip in task.clips) == list(range(20))


def test_a_drive_ends_at_its_stop_line_and_is_hidden_until_it_is_in_sight() -> None:
    pcm, drive = lead.sound(lead.Task("de", "hilo", 50.0, 100.0, 3), None, None)
    assert drive is not None
    assert len(pcm) / 16_000 == pytest.approx(170.0 / (50.0 / 3.6), abs=1e-3)
    assert drive.stop_line_s == pytest.approx(160.0 / (50.0 / 3.6), abs=1e-3)
    assert drive.distance_m[0] == pytest.approx(160.0, abs=0.5)
    assert drive.first_audible_s is not None
    before, after = (rms(in_band(pcm[round(at_s * 16_000) :][:16_000])) for at_s in (3.0, 6.0))  # 118 and 77 m
    assert 20.0 * np.log10(after / before) > 10.0


def test_what_else_there_is_has_the_level_of_the_street() -> None:
    steady, none = lead.sound(lead.Task("", "steady", 0.0, 0.0, 2), None, None)
    assert none is None
    street_dbfs = -26.0 + 68.0 - 94.0
    assert street_dbfs < 20.0 * np.log10(rms(in_band(steady))) < street_dbfs + 22.0


def test_leads_are_counted_to_the_stop_line_and_what_is_missed_as_none() -> None:
    tasks = [lead.Task("de", "hilo", 50.0, 200.0, 1), lead.Task("us", "wail", 50.0, 300.0, 1)]
    quiet = lead.Heard(scores(99.0), scores(99.0), None, 30.0)
    card = lead.measure(
        [*tasks, lead.Task("", "bell", 0.0, 0.0, 1)], [heard(14.0, 99.0), heard(24.0, 14.0), quiet], POINT
    )
    # Scores of .99 from 14 s on: three windows make a siren, .75 s later it is confirmed.
    assert card["all"]["sirend"] == {"drives": 1, "p10_s": 14.2, "p50_s": 14.2, "good": 1.0, "missed": 0}
    assert card["all"]["ideal"]["p50_s"] == 19.0
    assert card["all"]["yamnet"] == {"drives": 1, "p10_s": 0.0, "p50_s": 0.0, "good": 0.0, "missed": 1}
    assert card["by_speed_and_sight"].keys() == {"50 km/h, 200 m"}
    assert card["card"]["us wail"]["sirend"]["p50_s"] == card["late"]["us wail"] == 4.2
    assert card["false"]["sirend"]["count"] == 0
    page = lead.markdown(card)
    assert "| all | 1 | 19.0, 19.0 s | 100 % | 0 | 14.2, 14.2 s | 100 % | 0 | 0.0, 0.0 s | 0 % | 1 |" in page
    assert "us wail (4.2 s)" in page


def test_the_peer_gets_the_threshold_at_which_it_errs_as_often_as_we_do() -> None:
    tasks = [lead.Task("de", "hilo", 50.0, 200.0, 1), lead.Task("de", "hilo", 50.0, 300.0, 1)]
    other = [lead.Task("", "bell", 0.0, 0.0, seed) for seed in range(2)]
    unsure = np.arange(2.0, 30.0, 0.25), np.full(112, 0.6)
    strange = [lead.Heard(scores(99.0), unsure, None, 30.0), lead.Heard(scores(20.0), scores(20.0), None, 30.0)]
    card = lead.measure([*tasks, *other], [heard(14.0, 14.0), heard(14.0, 14.0), *strange], POINT)
    assert card["false"]["sirend"]["count"] == card["false"]["yamnet"]["count"] == 1
    assert card["peer_threshold"] > 0.5
