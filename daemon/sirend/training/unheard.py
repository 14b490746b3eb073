"""``python -m sirend.training.unheard``: what a recipe makes of sources that it has not heard, beside YAMNet.

As many heads as there are folds learn from the recipe's episodes, each from those in which nothing is that its fold
leaves out; each is asked about just that. Calls are the daemon's (tracker and call machine), at thresholds at which
both call as often in the streets left out. With ``--whole`` it is one head of all that the recipe's licences allow,
asked about all other recordings. Episodes drawn for ``sirend train`` are used, and a stopped run goes on.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.detect import recollection
from sirend.detect.classifier import SURE, SUSPECTED_S
from sirend.detect.features import log_mel, mel_frames
from sirend.training import corpus as corpora
from sirend.training import passages, patches, published, recipe, streaming, temporal, unheard_table, work
from sirend.training.backbone import VEHICLES
from sirend.training.episodes import LABEL_S
from sirend.training.peer import Peer, ends_s
from sirend.training.specs import EMBEDDING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sirend.training import listening
    from sirend.training.corpus import Corpus
    from sirend.training.decision import Series
    from sirend.training.listening import Speaking
    from sirend.training.passages import Passage
    from sirend.training.recipe import Recipe
    from sirend.training.specs import TemporalSpec

log = logging.getLogger(__name__)

_SHARD = 40
Asked: TypeAlias = dict[int, tuple[np.ndarray, np.ndarray]]
"""Logits of the head and of the largest vehicle class, float64[patches] each, a quarter of a second apart, of passages
by their number."""


@dataclass(frozen=True)
class Heard:
    """What backbone and peer say of all passages, in their order."""

    said: list[np.ndarray]
    """float16[patches, OUTPUTS] each, a quarter of a second apart."""
    mel: list[np.ndarray]
    """float16[frames, bands] each: the log-mel frames of which the patches are made."""
    peer: list[np.ndarray]
    """float32[frames] each; empty without a peer."""
    seconds: list[float]


def hear_passages(
    corpus: Corpus, planned: Sequence[Passage], plan: Recipe, speaking: Speaking, peer: Path | None, folder: Path
) -> Heard:
    """Ask the backbone and the peer about all passages, on all cores, each once."""

    def prepare() -> Callable[[int], dict[str, Any]]:
        backbone = speaking.load(plan.features)
        other = None if peer is None else Peer(peer)

        def one(shard: int) -> dict[str, Any]:
            out: dict[str, Any] = {}
            for number, passage in enumerate(planned[shard * _SHARD : (shard + 1) * _SHARD]):
                pcm = passage.render(corpus)
                mel = log_mel(plan.features, mel_frames(plan.features, pcm))
                heard = patches.cut(mel, patches.ends(plan.features, len(mel), 1))
                out[f"mel{number}"] = mel.astype(np.float16)
                out[f"said{number}"] = np.concatenate([backbone(patch[np.newaxis]) for patch in heard]).astype("f2")
                out[f"peer{number}"] = np.zeros(0) if other is None else other.scores([pcm])[1].astype("f4")
                out[f"seconds{number}"] = len(pcm) / SAMPLE_RATE_HZ
            return out

        return one

    described = json.dumps(
        [
            [asdict(each) for each in planned],
            plan.features.digest,
            str(peer),
            corpus.digest(lambda _: True),
            speaking.digest,
        ]
    )
    shards = -(-len(planned) // _SHARD)
    heard = Heard([], [], [], [])
    for part in work.spread(prepare, shards, described, folder, title="listening to passages"):
        for number in range(len(part) // 4):
            heard.said.append(part[f"said{number}"])
            heard.mel.append(part[f"mel{number}"])
            heard.peer.append(part[f"peer{number}"])
            heard.seconds.append(float(part[f"seconds{number}"]))
    return heard


def listened(head: np.ndarray, vehicles: np.ndarray, spec: TemporalSpec, calibration: tuple[float, float]) -> Series:
    """Return ends and scores as the daemon has them, of the logits float64[patches] of each quarter second.

    Patches between the head's own are heard only while a siren is suspected.
    """
    scale, offset = calibration
    reach = max(1, round(spec.evidence_memory_s / LABEL_S))
    said, heard, until = np.empty(len(head)), np.full(len(head), np.nan), -1
    for number in range(len(said)):
        is_of_head = (number + patches.FIRST) % patches.EACH == 0
        if number and not is_of_head and spec.suspect is not None and number > until:
            said[number] = said[number - 1]
            continue
        heard[number] = vehicles[number]
        remembered = recollection.mean_log_odds(heard[max(0, number + 1 - reach) : number + 1])
        said[number] = scale * recollection.fuse_classes(head[number], remembered, spec.evidence) + offset
        if spec.suspect is not None and said[number] > spec.suspect:
            until = number + round(SUSPECTED_S / LABEL_S) - 1
    return (np.arange(len(said)) + patches.FIRST) * LABEL_S, 1.0 / (1.0 + np.exp(-np.clip(said, -SURE, SURE)))


def _folds(plan: Recipe, drawn: listening.Heard, planned: Sequence[Passage], heard: Heard, work: Path) -> Asked:
    """Ask of each passage the head of its fold, which learned from episodes in which nothing is that it leaves out."""
    folds = passages.Folds()
    logits: Asked = {}
    for fold in range(len(folds.sets)):
        known = np.flatnonzero([not any(folds.of(group) == fold for group in groups) for groups in drawn.groups])
        log.info("fold %d: %d of %d episodes", fold, len(known), len(drawn.groups))
        own = [number for number, passage in enumerate(planned) if passage.fold == fold]
        logits |= _asked(plan, drawn, known, own, heard, work / f"fold{fold}")
    return logits


def _whole(
    plan: Recipe, drawn: listening.Heard, planned: Sequence[Passage], heard: Heard, work: Path, every: Corpus
) -> Asked:
    """Ask the head that ``sirend train`` makes about the passages that have nothing of what the recipe allows."""
    known = {clip.group for clip in every.clips if plan.allows(clip)}
    strange = [
        number
        for number, passage in enumerate(planned)
        if not any(every.clips[index].group in known for index in (*passage.clips, *passage.street))
    ]
    log.info("%d of %d passages have nothing that it may learn from", len(strange), len(planned))
    return _asked(plan, drawn, drawn.without(""), strange, heard, work / "head")


def _asked(
    plan: Recipe, drawn: listening.Heard, known: np.ndarray, wanted: Sequence[int], heard: Heard, folder: Path
) -> Asked:
    """Train on the episodes ``known``, and ask about the passages ``wanted``."""
    judged = temporal.quarters(temporal.fit_temporal(drawn, known, plan.temporal, folder))
    logits: Asked = {}
    for number in wanted:
        said, mel = heard.said[number], heard.mel[number]
        cut = patches.cut(mel, patches.ends(plan.features, len(mel), 1))
        vehicles = said[:, EMBEDDING : EMBEDDING + VEHICLES].max(axis=1).astype(np.float64)
        logits[number] = judged(said.astype(np.float32), cut.astype(np.float32)), vehicles
    return logits


def main() -> None:
    """Train the folds, ask them, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m sirend.training.unheard", description=__doc__)
    parser.add_argument("--recipe", type=Path, required=True, metavar="FILE", help="recipe of a network over seconds")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with clips.csv and the audio")
    parser.add_argument("--teacher", type=Path, required=True, metavar="DIR", help="the teacher's published weights")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="where unfinished work is kept")
    parser.add_argument("--peer", type=Path, metavar="FILE", help="YAMNet's published TFLite file")
    parser.add_argument(
        "--whole",
        action="store_true",
        help="ask one head of all that the recipe's licences allow about all the rest",
    )
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    plan = recipe.load_recipe(args.recipe)
    if plan.teacher is None:
        raise SystemExit(f"{args.recipe}: it names no teacher, whose weights the backbone is made of")
    if args.whole and plan.licences is None:
        raise SystemExit(f"{args.recipe}: it may learn from all recordings, so --whole has none to ask about")
    table = corpora.table_of(args.data)
    clips = corpora.read_clips(table)
    recordings = corpora.load_clips(filter(plan.allows, clips), table.parent)
    every = corpora.load_clips(clips, table.parent) if args.whole else recordings
    planned = passages.plan_passages(every, passages.Folds())
    speaking = published.published_backbone(plan, plan.teacher, recordings, args.teacher, args.work).speaking
    heard = hear_passages(every, planned, plan, speaking, args.peer, args.work / "passages")
    drawn = streaming.drawn(plan, recordings, speaking, args.work)
    if args.whole:
        logits = _whole(plan, drawn, planned, heard, args.work, every)
    else:
        logits = _folds(plan, drawn, planned, heard, args.work)
    calibration = plan.calibration or (1.0, 0.0)
    series = {plan.name: [listened(*each, plan.temporal, calibration) for each in logits.values()]}
    if args.peer:
        series["YAMNet"] = [(ends_s(len(heard.peer[one])), heard.peer[one].astype(np.float64)) for one in logits]
    seconds = [heard.seconds[number] for number in logits]
    report = {
        name: unheard_table.lines([planned[number] for number in logits], seconds, each, plan.operating_point)
        for name, each in series.items()
    }
    (args.work / "unheard.json").write_text(json.dumps(report, indent=1) + "\n")
    print(unheard_table.unheard_page(report))  # noqa: T201  the command's result


if __name__ == "__main__":
    main()
