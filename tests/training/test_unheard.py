from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sirend.training import listening, recipe, unheard
from sirend.training.corpus import Clip, Corpus, Kind
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
