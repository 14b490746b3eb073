from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

from sirend.training import confusers, stress
from sirend.training.corpus import Clip, Corpus, Kind

if TYPE_CHECKING:
    from pathlib import Path

TRUTH: dict[str, Any] = {
    "audible_from_s": 2.0, "audible_to_s": 8.0, "closest_s": 6.0,
    "time_s": [0.0, 6.0, 12.0], "distance_m": [60.0, 0.0, 60.0],
}  # fmt: skip


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    rng = np.random.default_rng(0)
    pcm = (rng.standard_normal(4 * 16_000) * 3000).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", pcm, 16_000)
    loud = Clip("a.wav", "s", Kind.OTHER, "street", "s/a", "CC0", 4.0)
    silent = Clip("b.wav", "s", Kind.OTHER, "street", "s/b", "CC0", 4.0)
    return Corpus((loud, silent), (pcm, np.zeros_like(pcm)))


def test_a_street_is_a_clip_that_sounds(corpus: Corpus) -> None:
    assert stress.streets(corpus, [0, 1]) == [0]


def test_every_siren_passes_at_every_snr_and_every_confuser_is_tried() -> None:
    planned = stress.plan_scenes([0], 1, seed=3)
    assert planned == stress.plan_scenes([0], 1, seed=3)
    passes = [scene for scene in planned if scene.kind == "drive-by"]
    assert len({(scene.profile, scene.siren, scene.snr_db) for scene in passes}) == len(passes)
    assert {scene.snr_db for scene in passes} == {*stress.NEAR_SNRS_DB, *stress.FAR_SNRS_DB}
    assert "airhorn" not in {scene.siren for scene in passes}
    kinds = [scene.kind for scene in planned if scene.kind != "drive-by"]
    assert {kind: kinds.count(kind) for kind in kinds} == dict.fromkeys(confusers.confuser_kinds(), 10)


def test_a_scene_is_rendered_alike_each_time(corpus: Corpus, tmp_path: Path) -> None:
    confuser = stress.Stress("bell", "", "", 10.0, 0.0, 1, 0)
    pcm, truth = stress.scene_sound(confuser, corpus, tmp_path)
    assert (len(pcm), truth) == (20 * 16_000, None)
    np.testing.assert_array_equal(pcm, stress.scene_sound(confuser, corpus, tmp_path)[0])
    pcm, truth = stress.scene_sound(stress.Stress("drive-by", "de", "hilo", 10.0, 30.0, 1, 0), corpus, tmp_path)
    assert truth is not None
    assert truth["background"] == "a.wav"
    assert len(pcm) == round(truth["duration_s"] * 16_000)


def test_a_call_counts_when_the_siren_can_be_heard() -> None:
    assert stress.outcome_of(np.array([3.0]), 12.0, TRUTH) == stress.Outcome(True, 1.0, 30.0, 12.0, 0, 40.0)
    assert stress.outcome_of(np.array([1.0, 7.0]), 12.0, TRUTH) == stress.Outcome(True, 5.0, None, 12.0, 1, 40.0)
    assert stress.outcome_of(np.array([11.0]), 12.0, TRUTH) == stress.Outcome(False, None, None, 12.0, 1, 40.0)
    assert stress.outcome_of(np.zeros(0), 12.0, {**TRUTH, "audible_from_s": None}).called is False
    assert stress.outcome_of(np.array([11.0]), 20.0, None) == stress.Outcome(True, None, None, 20.0, 0)


def test_the_table_counts_what_was_called() -> None:
    near = stress.Stress("drive-by", "de", "hilo", 0.0, 150.0, 1, 0)
    far = stress.Stress("drive-by", "us", "wail", 40.0, 600.0, 1, 0)
    bell = stress.Stress("bell", "", "", 0.0, 0.0, 1, 0)
    outcomes = [
        stress.Outcome(called=False, latency_s=None, distance_m=None, seconds=18.0, stray=2),
        stress.Outcome(called=True, latency_s=1.5, distance_m=250.0, seconds=72.0, stray=0, audible_m=280.0),
        stress.Outcome(called=True, latency_s=None, distance_m=None, seconds=1800.0, stray=0),
        stress.Outcome(called=False, latency_s=None, distance_m=None, seconds=1800.0, stray=0),
    ]
    card = stress.stress_figures([near, far, bell, bell], outcomes)
    near_line = card["by_peak_snr"]["+0"]
    assert (near_line["called"], near_line["of"], near_line["p50_s"]) == (0, 1, None)
    assert near_line["interval_95"] == pytest.approx([0.0, 0.793], abs=1e-3)
    far_line = card["by_peak_snr"]["+40"]
    assert (far_line["called"], far_line["of"], far_line["p50_s"], far_line["p95_s"]) == (1, 1, 1.5, 1.5)
    assert {name: line["of"] for name, line in card["by_audible_distance_m"].items() if line["of"]} == {"200-300": 1}
    assert list(card["by_siren_at_0_db_and_more"]) == ["de hilo", "us wail"]
    assert (card["called_by_distance_m"]["300"], card["called_by_distance_m"]["200"]) == (0.0, 1.0)
    assert (card["confusers"]["bell"]["called"], card["confusers"]["bell"]["of"]) == (1, 2)
    assert (card["stray_calls"], card["false_calls_to_confusers_per_hour"]) == (2, 1.0)
    page = stress.stress_section({"sirend": card, "yamnet": card})
    assert "| us wail, 0 dB and more | 1 of 1 (0.21-1.00) | 1.5 | 1.5 | 1 of 1 (0.21-1.00) | 1.5 | 1.5 |" in page
    assert "| bell | 1 of 2 (0.10-0.91) | 1 of 2 (0.10-0.91) |" in page
