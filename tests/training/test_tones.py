"""Which siren events say that it is: what is planned, and what known statements amount to."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from sirend.cli.arguments import parser
from sirend.detect.tone import Tone
from sirend.simulate.sirens import TONES
from sirend.training import evaluate, tones
from sirend.training.corpus import Clip, Corpus, Kind
from sirend.training.tones import ToneJob

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def corpus(*sirens: str) -> Corpus:
    clips = [Clip("street.wav", "s", Kind.OTHER, "street", "s/0", "CC0", 4.0)]
    clips += [
        Clip(f"{n}.wav", "s", Kind.EMERGENCY, "siren", f"s/{n}", "CC0", 4.0, tone) for n, tone in enumerate(sirens)
    ]
    return Corpus(tuple(clips), tuple(np.zeros(64_000, np.int16) for _ in clips))


def test_every_siren_drives_in_each_round_and_every_recorded_one_is_heard() -> None:
    tasks = tones.plan_tones(2, 1, corpus("hilo", ""))
    assert Counter((task.profile, task.siren) for task in tasks if task.clip is None) == Counter(2 * list(TONES))
    assert [task.clip for task in tasks if task.clip is not None] == [1, 2]
    assert tones.plan_tones(1, 1) == tones.plan_tones(1, 1) != tones.plan_tones(1, 2)


def test_every_siren_of_the_table_has_a_kind() -> None:
    assert tones.tone_of_siren("us", "rumbler") is Tone.YELP
    assert tones.tone_of_siren("de", "martin-horn") is tones.tone_of_siren("jp", "ambulance") is Tone.HILO
    assert tones.tone_of_siren("jp", "police") is Tone.WAIL
    assert tones.tone_of_siren("us", "phaser") is Tone.PHASER


def test_what_is_told_becomes_a_matrix_with_the_share_named_and_wrong() -> None:
    known = corpus("hilo", "")
    tasks = [ToneJob("de", "hilo", 1), ToneJob("us", "wail", 2), ToneJob("", "", 0, 1), ToneJob("", "", 0, 2)]
    told = [
        Counter({"hilo": 8, "unknown": 2}),
        Counter({"wail": 1, "mixed": 1}),
        Counter({"hilo": 3}),
        Counter({"yelp": 4}),
    ]
    card = tones.tone_figures(tasks, told, known)
    assert card["drives"]["matrix"] == {"hilo": {"hilo": 8, "unknown": 2}, "wail": {"mixed": 1, "wail": 1}}
    assert (card["drives"]["named"], card["drives"]["wrong"]) == (0.8333, 0.1)
    # A claim about a recording of which nobody said what it is cannot be wrong.
    assert (card["recordings"]["claims"], card["recordings"]["claims_checked"]) == (7, 3)
    assert (card["recordings"]["named"], card["recordings"]["wrong"]) == (1.0, 0.0)
    page = tones.tone_section(card)
    assert "| simulated drive-bys | wail | hilo | mixed | unknown |" in page
    assert "| hilo | 0 | 8 | 0 | 2 |" in page
    assert "12 statements: 83.3 % named, 10.0 % of them wrong (10 claims checked)." in page
    assert "| not said | 4 | 0 |" in page
    assert "recordings" not in tones.tone_section(tones.tone_figures(tasks[:2], told[:2]))


def test_a_claim_that_nobody_can_check_is_not_called_right() -> None:
    card = tones.tone_figures([ToneJob("", "", 0, 1)], [Counter({"yelp": 4})], corpus(""))
    assert card["recordings"]["wrong"] is None
    assert "100.0 % named, nothing to compare (0 claims checked)" in tones.tone_section(card)
    assert "no statement" in tones.tone_section(tones.tone_figures([ToneJob("de", "hilo", 1)], [Counter()]))


def test_the_command_names_tones_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tones, "TONES", {key: TONES[key] for key in (("de", "hilo"), ("us", "phaser"))})
    words = ["evaluate", "--tone", "--report", str(tmp_path / "report")]
    args = parser(words).parse_args(words)
    assert evaluate.main(args) == 0
    page = (tmp_path / "report" / "report.md").read_text()
    assert "## Tone" in page
    assert "| hilo |" in page
    assert "| phaser |" in page
    assert page in capsys.readouterr().out
    kept = sorted((tmp_path / "report" / "tones").rglob("*.npz"))
    written = [path.stat().st_mtime_ns for path in kept]
    assert len(kept) == 2
    assert evaluate.main(args) == 0
    assert [path.stat().st_mtime_ns for path in kept] == written
