from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sirend.detect.bundle import OperatingPoint
from sirend.training import decision, unheard_table
from sirend.training.passages import LEAD_S, Passage, RenderedPassage

if TYPE_CHECKING:
    from sirend.training.decision import Series

POINT = OperatingPoint(0.8, 0.4, 0.25, 3.0)
SECONDS = 12.0


def _heard(*from_until_score: tuple[float, float, float]) -> Series:
    """Return scores of .01 each quarter second, higher where it is said."""
    end_s = np.arange(1.0, SECONDS + 0.1, 0.25)
    score = np.full(len(end_s), 0.01)
    for begin_s, until_s, value in from_until_score:
        score[(end_s >= begin_s) & (end_s < until_s)] = value
    return end_s, score


def _passage(kind: str, label: str = "a/b street", snr_db: float = float("nan"), *, mixed: bool = False) -> Passage:
    return Passage(kind, label, 0, (0,), (1,) if mixed else (), snr_db)


PLANNED = [
    _passage("street"), _passage("street"), _passage("street"), _passage("other", "us8k/1 dog"),
    _passage("civil"), _passage("siren", snr_db=0.0, mixed=True), _passage("siren", snr_db=0.0, mixed=True),
    _passage("tone", "us wail", 10.0, mixed=True), _passage("drive"), _passage("confuser", "horn", 3.0, mixed=True),
]  # fmt: skip
SERIES = [
    _heard((3, 5, 0.9)), _heard((3, 5, 0.7)), _heard(), _heard((3, 5, 0.95), (9, 11, 0.95)),
    _heard(), _heard((6, 12, 0.97)), _heard((2, 3.5, 0.97)),
    _heard((5, 12, 0.97)), _heard((2, 9, 0.97)), _heard((7, 9, 0.97)),
]  # fmt: skip


RENDERED = [RenderedPassage(passage, SECONDS, passage.begin_s + 0.5) for passage in PLANNED]


def test_a_row_says_what_is_called_how_late_and_what_falsely() -> None:
    row = unheard_table.row(RENDERED, SERIES, decision.rules(POINT, 0.8))
    assert row["called"]["siren +0"] == [1, 2], "a call in the street before its siren is none of it"
    assert row["called"]["tone +10"] == row["called"]["tone us wail"] == [1, 1]
    assert row["called"]["drive"] == [1, 1]
    assert row["called"]["civil"] == [0, 1]
    assert row["called"]["street"] == [1, 3]
    assert row["false_calls"]["other us8k"] == [2, round(SECONDS / 3600, 3)]
    assert row["false_calls"]["confuser"][0] == row["false_calls"]["confuser horn"][0] == 1
    assert row["latency_s"]["siren +0"][0] == pytest.approx(6.25 - LEAD_S)
    assert row["audible_latency_s"]["siren +0"][0] == pytest.approx(5.75 - LEAD_S)
    assert row["latency_s"]["drive"][0] == pytest.approx(2.25)
    assert row["surest"][0].startswith("0.970 confuser: horn")


def test_detectors_are_compared_where_they_call_as_often_in_streets() -> None:
    figures = unheard_table.lines(RENDERED, SERIES, POINT)
    assert figures["street_hours"] == round(3 * SECONDS / 3600, 2)
    at = figures["at_false_calls"]
    assert set(at) == {"1", "3", "6"}
    assert at["1"]["called"]["street"] == [1, 3]
    assert at["1"]["enter"] > 0.7, "the second street must not be called"
    assert at["3"]["called"]["street"][0] == 2
    assert at["3"]["enter"] <= 0.7


def test_a_bundles_own_thresholds_are_rows_of_their_own() -> None:
    points = {"balanced": POINT, "strict": OperatingPoint(0.96, 0.5, 0.25, 3.0)}
    rows = unheard_table.at_points(RENDERED, SERIES, points)
    assert {name: (row["enter"], row["called"]["street"], row["called"]["civil"]) for name, row in rows.items()} == {
        "balanced": (0.8, [1, 3], [0, 1]),
        "strict": (0.96, [0, 3], [0, 1]),
    }
    assert rows["balanced"]["false_calls"]["other us8k"][0] == 2
    assert rows["strict"]["false_calls"]["other us8k"][0] == 0


def test_the_table_has_a_line_for_each_detector_and_number_and_dashes_for_what_was_not_there() -> None:
    figures = unheard_table.lines(RENDERED, SERIES, POINT)
    text = unheard_table.unheard_page({"siren-9.9.9": figures, "YAMNet": figures}).splitlines()
    assert len(text) == 2 + 2 * 3
    assert "| - - - 0.50 - - |" in text[2]
    assert "| - 1.00 - |" in text[2]
    header = [each.strip() for each in text[0].split("|")]
    first = [each.strip() for each in text[2].split("|")]
    assert first[header.index("latency p50, p95 at 0 dB")] == "2.25, 2.25 s"
    assert first[header.index("from audible")] == "1.75, 1.75 s"
    assert "| 1 of 1 | 0 of 1 | 1 of 1 | 2 in 0.003 h | 0 in 0 h |" in text[2]
    assert text[2].endswith("| - - - 0.50 - - (+-0.00) |")
    assert len({line.count("|") for line in text}) == 1
