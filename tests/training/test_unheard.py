from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sirend.detect import bundle as bundles
from sirend.detect.classifier import Classifier
from sirend.training import listening, passages, recipe, unheard
from sirend.training.corpus import Clip, Corpus, Kind
from sirend.training.hearing import score_stream
from sirend.training.passages import Passage

if TYPE_CHECKING:
    from collections.abc import Sequence

RECIPE = Path(__file__).parents[2] / "models" / "recipe.yaml"
EMPTY = listening.Heard(np.zeros((2, 1, 1)), None, (96,), np.zeros((2, 1)), ((), ()))


def test_a_whole_head_is_asked_about_nothing_that_it_may_learn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tuple(
        Clip(f"{n}.wav", "set", Kind.OTHER, "x", f"set/{group}", licence, 3.0)
        for n, (group, licence) in enumerate([("free", "CC0"), ("other", "none stated"), ("mixed", "none stated")])
    )
    planned = [
        Passage("street", "free", 0, (0,)),
        Passage("street", "other", 0, (1,)),
        Passage("siren", "in a free street", 0, (1,), (0,), 5.0),
        Passage("siren", "in another street", 0, (2,), (1,), 5.0),
        Passage("drive", "0", 0),
    ]
    asked: list[int] = []

    def note(_plan: object, _drawn: object, known: np.ndarray, wanted: Sequence[int], *_: object) -> unheard.Asked:
        assert list(known) == [0, 1]
        asked.extend(wanted)
        return {}

    monkeypatch.setattr(unheard, "_asked", note)
    every = Corpus(rows, tuple(np.zeros(48_000, np.int16) for _ in rows))
    plan = replace(recipe.load_recipe(RECIPE), licences=("CC0",))
    unheard._whole(plan, EMPTY, planned, unheard.Heard([], [], [], []), Path(), every)  # noqa: SLF001
    assert asked == [1, 3, 4]


def test_a_bundle_is_asked_in_the_daemons_own_pipeline_about_what_is_strange_to_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = tuple(
        Clip(f"{n}.wav", "set", Kind.OTHER, "x", f"set/{n}", licence, 3.0)
        for n, licence in enumerate(["CC0", "none stated"])
    )
    noise = np.random.default_rng(2).normal(0.0, 3_000.0, (2, 48_000)).astype(np.int16)
    every = Corpus(rows, tuple(noise))
    planned = [Passage("street", "free", 0, (0,)), Passage("street", "other", 0, (1,))]
    monkeypatch.setattr(passages, "plan_passages", lambda *_: planned)
    plan = replace(recipe.load_recipe(RECIPE), licences=("CC0",))
    bundle = bundles.load(bundles.find(None))
    asked, series = unheard.score_strange(bundle, plan, every, None, tmp_path)
    assert asked == [passages.RenderedPassage(planned[1], 3.0, 0.0)]
    ((name, ((end_s, score),)),) = series.items()
    assert bundle.name.startswith(f"{name}@")
    wanted_s, wanted, _ = score_stream(bundle, Classifier(bundle), [every.audio(1)])
    assert list(end_s) == list(wanted_s) == [2.0, 2.25, 2.5, 2.75, 3.0]
    assert list(score) == list(wanted)
    report = unheard.report_of(bundle, plan, every, None, tmp_path)[name]
    assert set(report["at_false_calls"]) == {"0", "1", "3", "6"}, "one for each of its own points too"
    assert {point: row["enter"] for point, row in report["as_shipped"].items()} == {
        point: bundle.point(point).enter for point in ("balanced", "strict")
    }


def test_heads_are_not_trained_without_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clips.csv").write_text("path,set,class,label,group,licence,seconds\n")
    words = ["--recipe", str(RECIPE), "--data", str(tmp_path), "--work", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["unheard", *words])
    with pytest.raises(SystemExit, match=r"heads need the weights of its teacher \(--teacher DIR\); or give --bundle"):
        unheard.main()


def test_a_recipe_that_may_learn_from_all_has_nothing_to_be_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = "".join(
        line for line in RECIPE.read_text().splitlines(keepends=True) if not line.startswith(("licences", "- "))
    )
    (tmp_path / "recipe.yaml").write_text(free)
    words = ["--whole", "--recipe", str(tmp_path / "recipe.yaml"), "--data", ".", "--teacher", ".", "--work", "."]
    monkeypatch.setattr("sys.argv", ["unheard", *words])
    with pytest.raises(SystemExit, match="it may learn from all recordings"):
        unheard.main()
