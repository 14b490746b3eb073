"""A report says which sounds were called, and what another threshold would have called."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from sirend.detect.bundle import OperatingPoint
from sirend.training import eventwise, measures, scorecard, scorecard_page, stress
from sirend.training.corpus import Clip, Corpus, Kind
from sirend.training.hearing import Heard
from sirend.training.trials import Trial

POINT = OperatingPoint(0.8, 0.4, 0.75, 3.0)
LABELS = ("siren", "horn", "dog")


def clip(label: str) -> Clip:
    kind = Kind.EMERGENCY if label == "siren" else Kind.OTHER
    return Clip(f"{label}.wav", "town", kind, label, label, "CC0", 5.0)


def heard(seconds: float, loud_s: tuple[float, float], score: float, call_s: list[float]) -> Heard:
    """Return windows that score ``score`` from when to when, and next to nothing else."""
    end_s = np.arange(2.0, seconds + 0.01, 0.25)
    scores = np.where((end_s > loud_s[0]) & (end_s <= loud_s[1]), score, 0.01)
    return Heard(end_s, scores, np.array(call_s), np.zeros(0), np.zeros(0))


def test_false_calls_have_the_label_of_what_sounded_and_thresholds_their_calls() -> None:
    recordings = Corpus(tuple(clip(label) for label in LABELS), (np.zeros(80_000, dtype=np.int16),) * 3)
    planned = [Trial("siren", (0,)), Trial("other", (1, 2, 1))]
    sounds = [heard(5.0, (2.0, 5.0), 0.965, [4.0]), heard(15.0, (7.0, 11.0), 0.88, [5.9, 6.1, 15.9])]
    card = scorecard.trial_figures(recordings, planned, sounds, POINT)
    assert card["false_calls_by_label"] == {"town horn": 2, "town dog": 1}
    curve = card["operating_curve"]
    assert list(curve) == ["0.5", "0.7", "0.8", "0.85", "0.9", "0.95"]
    assert curve["0.8"] == {"siren_clips": 1, "false": 1}
    assert curve["0.9"] == {"siren_clips": 1, "false": 0}
    assert curve["0.95"] == {"siren_clips": 1, "false": 0}
    page = scorecard_page.report_page({"model": "siren-9.0.0", "sets": ["town"], "made": "today"}, card)
    assert "False calls by what sounded: town horn 2, town dog 1\n" in page
    assert "| 0.8 | 1 | 1 |\n" in page


@pytest.mark.parametrize("label", ["siren", "dog"])
def test_what_one_clip_of_ones_own_street_cannot_say_is_a_dash(label: str) -> None:
    """A first set of `sirend record` has sirens or other sounds only: its page said nan and None."""
    recordings = Corpus((clip(label),), (np.zeros(80_000, dtype=np.int16),))
    planned = [Trial("siren" if label == "siren" else "other", (0,))]
    card = scorecard.trial_figures(recordings, planned, [heard(5.0, (2.0, 5.0), 0.965, [4.0])], POINT)
    page = scorecard_page.report_page({"model": "siren-9.0.0", "sets": ["town"], "made": "today"}, card)
    assert "| AUC over clips | - |\n" in page
    assert not {"nan", "None"} & set(re.findall(r"\w+", page))
    json.dumps(card, allow_nan=False)


def test_a_scene_without_a_call_has_no_latency() -> None:
    shared = measures.share(0, 3)
    rated = measures.rate(0, 0.0)
    card = {
        "drive_bys": 3, "hours": 0.1, "hours_of_drive_bys": 0.1, "stray_calls": 0, "sirens": 3, "tolerance_s": 3.0,
        "by_peak_snr": {"+5": {**shared, "p50_s": None, "p95_s": None}},
        "by_siren_at_0_db_and_more": {}, "by_audible_distance_m": {}, "called_by_distance_m": {"300": None},
        "confusers": {}, "false_calls_to_confusers_per_hour": None,
        "false_calls_to_confusers_per_hour_upper_95": None,
        "precision": None, "recall": 0.0, "f1": 0.0, "psds": None, "false": rated,
        "called_at_any_time": {**shared, "p50_s": None, "p95_s": None}, "by_snr": {}, "by_name": {},
    }  # fmt: skip
    assert "None" not in stress.stress_section({"sirend": card})
    assert "None" not in eventwise.eventwise_section({"sirend": card})
