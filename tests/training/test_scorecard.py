"""A report says which sounds were called, and what another threshold would have called."""

from __future__ import annotations

import numpy as np

from sirend.detect.bundle import OperatingPoint
from sirend.training import scorecard, scorecard_page
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
