"""What a detector and its peer answer to passages, on disk: each passage is rendered once, on all cores."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.training import work
from sirend.training.peer import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from sirend.audio.stream import Pcm
    from sirend.training.corpus import Corpus
    from sirend.training.passages import Passage

    Detector: TypeAlias = Callable[[Pcm], Mapping[str, np.ndarray]]

_SHARD = 40


def passage_answers(
    corpus: Corpus, planned: Sequence[Passage], load: Callable[[], Detector], peer: Path | None, identity: str,
    folder: Path,
) -> Iterator[dict[str, np.ndarray]]:  # fmt: skip
    """Yield for each passage, in their order, what the detector answers, by names of its own.

    ``load`` makes the detector anew in each process, and ``identity`` names all that decides its answers. Beside them
    are ``peer``, float32[frames], empty without a peer, and ``seconds``, the passage's length.
    """

    def prepare() -> Callable[[int], dict[str, Any]]:
        detector, other = load(), None if peer is None else Peer(peer)

        def one(shard: int) -> dict[str, Any]:
            out: dict[str, Any] = {}
            for number, passage in enumerate(planned[shard * _SHARD : (shard + 1) * _SHARD]):
                pcm = passage.render(corpus)
                heard = np.zeros(0, np.float32) if other is None else other.scores([pcm])[1].astype(np.float32)
                answers = {**detector(pcm), "peer": heard, "seconds": np.array(len(pcm) / SAMPLE_RATE_HZ)}
                out |= {f"{number} {name}": answer for name, answer in answers.items()}
            return out

        return one

    described = json.dumps([[asdict(each) for each in planned], str(peer), corpus.digest(lambda _: True), identity])
    for part in work.spread(prepare, -(-len(planned) // _SHARD), described, folder, title="listening to passages"):
        answers: dict[int, dict[str, np.ndarray]] = {}
        for key in part:
            number, _, name = key.partition(" ")
            answers.setdefault(int(number), {})[name] = part[key]
        yield from (answers[number] for number in sorted(answers))
