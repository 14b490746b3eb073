"""How early sirens are called: what is planned, and what leads of known scores amount to."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.bench import tables

from sirend.detect.bundle import OperatingPoint
from sirend.evidence.drive import Drive
from sirend.simulate.levels import in_band, rms
from sirend.simulate.sirens import TONES
from sirend.training import lead, lead_table
from sirend.training.corpus import Clip, Corpus, Kind

if TYPE_CHECKING:
    from sirend.training.decision import Series

POINT = OperatingPoint(enter=0.8, exit=0.4, confirm_s=0.75, release_s=3.0)


def scores(from_s: float, *, seconds: float = 30.0) -> Series:
    end_s = np.arange(2.0, seconds + 0.01, 0.25)
    return end_s, np.where(end_s >= from_s, 0.99, 0.01)


def heard(ours_s: float, peer_s: float, *, first_s: float | None = 10.0) -> lead.HeardLead:
    drive = Drive(None, 29.0, 10.0, first_s, (0.0,), (290.0,))
    return lead.HeardLead(scores(ours_s), scores(peer_s), drive, 30.0)


def test_three_rounds_drive_every_siren_at_every_speed_and_sight() -> None:
    tasks = [task for task in lead.plan_leads(3, 1) if task.is_drive and task.sight_m != lead.CARD_M]
    sirens = len(TONES) - 1  # an air horn is no siren
    assert len(tasks) == 9 * sirens
    assert set(Counter((task.speed_kmh, task.sight_m) for task in tasks).values()) == {sirens}
    one = [task for task in lead.plan_leads(1, 1) if task.is_drive]
    assert len(one) == 4 * sirens
    assert {task.speed_kmh for task in one if task.name == "de hilo"} == set(lead.SPEEDS_KMH)
    assert {task.sight_m for task in one if task.name == "de hilo"} == {*lead.SIGHTS_M, lead.CARD_M}


def test_recordings_drive_too_and_what_else_there_is_takes_the_confusers_place() -> None:
    tasks = lead.plan_leads(1, 1, streets=[5, 6], recorded=[(7, "de hilo")], other=list(range(20)))
    mine = [task for task in tasks if task.siren == lead.RECORDED]
    assert len(mine) == 4
    assert {task.name for task in mine} == {"recorded de hilo"}
    assert all(task.clips[0] in (5, 6) and task.clips[1] == 7 for task in mine)
    assert json.loads(json.dumps([asdict(task) for task in tasks]))[-1]["siren"] == "other"  # the name of what is kept
    assert sorted(clip for task in tasks if not task.is_drive for clip in task.clips) == list(range(20))


def test_a_drive_ends_at_its_stop_line_and_is_hidden_until_it_is_in_sight() -> None:
    pcm, drive = lead.lead_sound(lead.LeadJob("de", "hilo", 50.0, 100.0, 3), None, None)
    assert drive is not None
    assert len(pcm) / 16_000 == pytest.approx(170.0 / (50.0 / 3.6), abs=1e-3)
    assert drive.stop_line_s == pytest.approx(160.0 / (50.0 / 3.6), abs=1e-3)
    assert drive.distance_m[0] == pytest.approx(160.0, abs=0.5)
    assert drive.first_audible_s is not None
    before, after = (rms(in_band(pcm[round(at_s * 16_000) :][:16_000])) for at_s in (3.0, 6.0))  # 118 and 77 m
    assert 20.0 * np.log10(after / before) > 10.0


def test_what_else_there_is_has_the_level_of_the_street() -> None:
    steady, none = lead.lead_sound(lead.LeadJob("", "steady", 0.0, 0.0, 2), None, None)
    assert none is None
    street_dbfs = -26.0 + 68.0 - 94.0
    assert street_dbfs < 20.0 * np.log10(rms(in_band(steady))) < street_dbfs + 22.0


def test_leads_are_counted_to_the_stop_line_and_what_is_missed_as_none() -> None:
    tasks = [lead.LeadJob("de", "hilo", 50.0, 200.0, 1), lead.LeadJob("us", "wail", 50.0, 300.0, 1)]
    quiet = lead.HeardLead(scores(99.0), scores(99.0), None, 30.0)
    card = lead_table.lead_figures(
        [*tasks, lead.LeadJob("", "bell", 0.0, 0.0, 1)], [heard(14.0, 99.0), heard(24.0, 14.0), quiet], POINT
    )
    # Scores of .99 from 14 s on: three windows make a siren, .75 s later it is confirmed.
    assert card["all"]["sirend"] == {"drives": 1, "p10_s": 14.2, "p50_s": 14.2, "good": 1.0, "missed": 0}
    assert card["all"]["ideal"]["p50_s"] == 19.0
    assert card["all"]["yamnet"] == {"drives": 1, "p10_s": 0.0, "p50_s": 0.0, "good": 0.0, "missed": 1}
    assert card["by_speed_and_sight"].keys() == {"50 km/h, 200 m"}
    assert card["card"]["us wail"]["sirend"]["p50_s"] == card["late"]["us wail"] == 4.2
    assert card["false"]["sirend"]["count"] == 0
    page = lead_table.lead_page(card)
    assert "| all | 1 | 19.0, 19.0 s | 100 % | 0 | 14.2, 14.2 s | 100 % | 0 | 0.0, 0.0 s | 0 % | 1 |" in page
    assert "us wail (4.2 s)" in page


def test_the_peer_gets_the_threshold_at_which_it_errs_as_often_as_we_do() -> None:
    tasks = [lead.LeadJob("de", "hilo", 50.0, 200.0, 1), lead.LeadJob("de", "hilo", 50.0, 300.0, 1)]
    other = [lead.LeadJob("", "bell", 0.0, 0.0, seed) for seed in range(2)]
    unsure = np.arange(2.0, 30.0, 0.25), np.full(112, 0.6)
    strange = [lead.HeardLead(scores(99.0), unsure, None, 30.0), lead.HeardLead(scores(20.0), scores(20.0), None, 30.0)]
    card = lead_table.lead_figures([*tasks, *other], [heard(14.0, 14.0), heard(14.0, 14.0), *strange], POINT)
    assert card["false"]["sirend"]["count"] == card["false"]["yamnet"]["count"] == 1
    assert card["peer_threshold"] > 0.5


def recorded(path: str, group: str, *, tone: str = "", country: str = "", of: str = "town") -> Clip:
    return Clip(path, of, Kind.EMERGENCY, "siren", f"{of}/{group}", "CC0", 2.0, tone, country)


def corpus(*clips: Clip) -> Corpus:
    noise = np.random.default_rng(1).integers(-9000, 9000, 32_000, dtype=np.int16)
    return Corpus(clips, tuple(noise for _ in clips))


def test_recorded_sirens_are_chosen_by_kind_and_recording_in_turn() -> None:
    many = [recorded(f"{number}.wav", f"g{number // 40}") for number in range(80)]
    few = [recorded("a.wav", "a", tone="hilo", country="de"), recorded("b.wav", "b", of="city")]
    chosen = lead.choose_recordings(corpus(*many, *few), range(82), 1, 3)
    assert len(chosen) == lead.RECORDINGS
    assert {"de hilo", "town siren", "city siren"} == {label for _, label in chosen}
    assert {clip // 40 for clip, _ in chosen[:4] if clip < 80} == {0, 1}  # of both recordings before a second one
    assert chosen == lead.choose_recordings(corpus(*many, *few), range(82), 1, 3)


def test_a_recorded_siren_sounds_all_the_way_without_a_hole() -> None:
    tone = (9000 * np.sin(2 * np.pi * 900.0 * np.arange(32_000) / 16_000)).astype(np.int16)
    clips = Corpus((recorded("a.wav", "a"),), (tone,))
    pcm, drive = lead.lead_sound(lead.LeadJob("", lead.RECORDED, 50.0, 100.0, 3, (0,), "town siren"), clips, None)
    assert drive is not None
    near = pcm[round((drive.stop_line_s - 6.0) * 16_000) :][: 4 * 16_000].reshape(-1, 1600)
    levels_db = 20.0 * np.log10([rms(part) for part in near])
    assert np.diff(levels_db).min() > -6.0


def test_what_recordings_say_stands_beside_the_made_up_world() -> None:
    made_up = [lead.LeadJob("de", "hilo", 50.0, 200.0, 1), lead.LeadJob("de", "hilo", 50.0, 300.0, 1)]
    real = [
        lead.LeadJob("de", "hilo", 50.0, 200.0, 1, (3,)),
        lead.LeadJob("", lead.RECORDED, 50.0, 200.0, 2, (3, 4), "uk wail"),
        lead.LeadJob("", lead.RECORDED, 50.0, 300.0, 3, (3, 4), "uk wail"),
        lead.LeadJob("", "other", 0.0, 0.0, 1, (5,)),
    ]
    quiet = lead.HeardLead(scores(99.0), scores(99.0), None, 30.0)
    card = lead_table.lead_figures(made_up, [heard(14.0, 14.0)] * 2, POINT)
    card["recorded"] = lead_table.lead_figures(
        real, [heard(14.0, 14.0), heard(19.0, 99.0), heard(25.0, 99.0), quiet], POINT
    )
    assert card["recorded"]["by_origin"]["recorded sirens"]["sirend"]["p50_s"] == 9.2
    assert card["recorded"]["late"] == {"recorded uk wail": 3.2}
    page = lead_table.lead_page(card)
    made, _, kept_back = page.partition("## Recordings kept back")
    assert "recorded uk wail" not in made
    assert "| recorded uk wail | 1 | 19.0, 19.0 s | 100 % | 0 | 9.2, 9.2 s | 0 % | 0 |" in kept_back
    assert "| sirens of the table | 1 |" in kept_back
    table = tables.lead(card)
    assert "| recorded sirens, recorded streets (1) | 19.0, 19.0 s; 100 %; 0 | 9.2, 9.2 s; 0 %; 0 |" in table
    assert "| - recorded uk wail (1) |" in table
    assert "recorded" not in tables.lead({key: each for key, each in card.items() if key != "recorded"})
