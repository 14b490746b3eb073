from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sirend.detect import bundle as bundles
from sirend.detect.bundle import OperatingPoint
from sirend.simulate.background import synthetic_street
from sirend.training import corpus as corpora
from sirend.training import decision, eventwise, psds, soundscape, stress

RECORDINGS = Path(os.environ.get("SIREND_RECORDINGS", Path(__file__).parents[3] / "shared" / "data"))


def test_an_hour_has_sirens_that_leave_room_for_each_other() -> None:
    planned = soundscape.plan_stretches(1.0, 1)
    assert planned == soundscape.plan_stretches(1.0, 1)
    assert planned != soundscape.plan_stretches(1.0, 2)
    assert sum(stretch.seconds for stretch in planned) == 3600.0
    for stretch in planned:
        begins = [siren.at_s for siren in stretch.sirens]
        assert all(np.diff(begins) >= soundscape.SIREN_S + 8.0)
        assert begins[-1] + soundscape.SIREN_S <= stretch.seconds - 8.0
    assert len({siren.name for stretch in planned for siren in stretch.sirens}) > 10


def test_recorded_sirens_and_streets_are_those_given() -> None:
    (stretch,) = soundscape.plan_stretches(0.05, 1, streets=[4, 7], recorded=[9])
    assert set(stretch.streets) <= {4, 7}
    assert [siren.clip for siren in stretch.sirens] == [None, 9, None]


def test_a_loud_siren_is_audible_where_it_was_put() -> None:
    (stretch,) = soundscape.plan_stretches(0.05, 1)
    loud = replace(stretch.sirens[0], snr_db=20.0, start_m=150.0)
    inaudible = replace(stretch.sirens[1], snr_db=-40.0)
    pcm, audible = soundscape.render_stretch(replace(stretch, sirens=(loud, inaudible)))
    assert len(pcm) == stretch.seconds * 16_000
    assert float(np.abs(pcm).max()) <= 1.0
    assert audible[1] is None
    assert audible[0] is not None
    assert loud.at_s - 1.0 < audible[0][0] < audible[0][1] < loud.at_s + soundscape.SIREN_S + 1.0
    np.testing.assert_array_equal(pcm, soundscape.render_stretch(replace(stretch, sirens=(loud, inaudible)))[0])


def test_a_street_that_falls_silent_makes_no_siren_audible_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(samples: int, rng: np.random.Generator) -> np.ndarray:
        pcm = synthetic_street(samples, rng)
        pcm[: 3 * 16_000] = 0.0
        return pcm

    monkeypatch.setattr(soundscape, "synthetic_street", broken)
    (stretch,) = soundscape.plan_stretches(0.05, 1)
    loud = replace(stretch.sirens[0], at_s=10.0, snr_db=20.0, start_m=150.0)
    _, (span,) = soundscape.render_stretch(replace(stretch, sirens=(loud,)))
    assert span is not None
    assert 9.0 < span[0] < span[1] < 10.0 + soundscape.SIREN_S + 1.0


def test_calls_in_time_late_and_stray_are_told_apart() -> None:
    (stretch,) = soundscape.plan_stretches(0.05, 1)
    end_s = np.arange(2.0, 300.0, 0.25)
    spans = ((10.0, 30.0), (60.0, 80.0), None)
    score = np.where([any(span and span[0] <= end <= span[1] for span in spans) for end in end_s], 0.9, 0.1)
    heard = eventwise.HeardStretch(end_s, score, np.array([11.5, 70.0, 200.0]), spans, np.zeros(0), np.zeros(0))
    card = eventwise.eventwise_figures([stretch], [heard])
    assert (card["sirens"], card["calls"], card["in_time"], card["false"]["count"]) == (2, 3, 1, 1)
    assert (card["precision"], card["recall"], card["f1"]) == (0.333, 0.5, 0.4)
    assert (card["called_at_any_time"]["called"], card["called_at_any_time"]["p50_s"]) == (2, 5.75)
    assert card["psds"] == pytest.approx(1.0, abs=0.01)
    assert "| F1 | 0.4 |" in eventwise.eventwise_section({"sirend": card})


def test_a_peer_is_judged_by_its_own_scores() -> None:
    end_s = np.arange(1.0, 60.0, 0.48)
    score = np.where((end_s > 20.0) & (end_s < 30.0), 0.97, 0.02)
    heard = eventwise.HeardStretch(np.zeros(0), np.zeros(0), np.zeros(0), (), end_s, score)
    peer = heard.of_peer(decision.rules(OperatingPoint(0.8, 0.4, 0.75, 3.0), 0.5))
    assert len(peer.call_s) == 1
    np.testing.assert_array_equal(peer.score, score)


def test_scores_that_say_nothing_detect_nothing() -> None:
    end_s = np.arange(2.0, 300.0, 0.25)
    assert psds.score([(end_s, np.full(len(end_s), 0.5))], [[(10.0, 12.0)]], [300.0]) == pytest.approx(0.0, abs=0.01)
    assert math.isnan(psds.score([(end_s, np.zeros(len(end_s)))], [[]], [300.0]))


@pytest.mark.recordings
def test_six_minutes_of_held_out_streets(tmp_path: Path) -> None:
    clips = [clip for clip in corpora.read_clips(RECORDINGS / "clips.csv") if corpora.kept_back(clip)]
    used = [clip for clip in clips if clip.set in ("kaggle_sirens", "esc50")]
    recordings = corpora.load_clips(used, RECORDINGS)
    streets = stress.streets(recordings, recordings.where(lambda clip: clip.kind is corpora.Kind.OTHER))
    sirens = recordings.where(lambda clip: clip.kind is corpora.Kind.EMERGENCY)
    stretches = soundscape.plan_stretches(0.1, 1, streets, sirens)
    assert stretches[0].streets
    assert any(siren.clip is not None for siren in stretches[0].sirens)
    bundle = bundles.load(bundles.find(None))
    heard = eventwise.hear_stretches(stretches, bundle, recordings, tmp_path)
    card = eventwise.eventwise_figures(stretches, heard)
    assert card["called_at_any_time"]["called"] >= 1
    assert card["false"]["count"] <= 3
    again = eventwise.hear_stretches(stretches, bundle, recordings, tmp_path)
    np.testing.assert_array_equal(again[0].score, heard[0].score)
