from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sirend.training.corpus import Clip, Corpus, Kind
from sirend.training.passage_answers import passage_answers
from sirend.training.passages import Passage

if TYPE_CHECKING:
    from pathlib import Path

    from sirend.audio.stream import Pcm

MANY = 95
"""More than two processes take at one time."""


def test_answers_come_in_the_order_of_the_passages_and_are_asked_for_once(tmp_path: Path) -> None:
    rows = tuple(Clip(f"{n}.wav", "set", Kind.OTHER, "x", f"set/{n}", "CC0", 2.0) for n in range(MANY))
    corpus = Corpus(rows, tuple(np.full(32_000, number, np.int16) for number in range(MANY)))
    planned = [Passage("street", str(number), 0, (number,)) for number in range(MANY)]

    def loudest(pcm: Pcm) -> dict[str, np.ndarray]:
        return {"loudest": np.array(pcm.max() * 32_768.0)}

    for load in (lambda: loudest, lambda: pytest.fail("all of it is on disk")):
        answers = list(passage_answers(corpus, planned, load, None, "detector", tmp_path))
        assert [float(each["loudest"]) for each in answers] == pytest.approx(range(MANY))
        assert {(float(each["seconds"]), len(each["peer"])) for each in answers} == {(2.0, 0)}
