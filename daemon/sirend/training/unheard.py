"""``python -m sirend.training.unheard``: what a recipe makes of sources that it has not heard, beside YAMNet.

As many heads as there are folds learn from the recipe's episodes, each from those in which nothing is that its fold
leaves out; each is asked about just that. Calls are the daemon's (tracker and call machine), at thresholds at which
both call as often in the streets left out. With ``--whole`` it is one head of all that the recipe's licences allow,
asked about all other recordings; with ``--bundle`` it is a bundle that was made of them, in the daemon's own pipeline.
Episodes drawn for ``sirend train`` are used, and a stopped run goes on.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from sirend.detect import bundle as bundles
from sirend.detect import recollection
from sirend.detect.classifier import SURE, SUSPECTED_S, Classifier
from sirend.detect.features import log_mel, mel_frames
from sirend.training import corpus as corpora
from sirend.training import passages, patches, published, recipe, streaming, temporal, unheard_table
from sirend.training.backbone import VEHICLES
from sirend.training.episodes import LABEL_S
from sirend.training.hearing import score_stream
from sirend.training.passage_answers import passage_answers
from sirend.training.passages import RenderedPassage
from sirend.training.peer import ends_s
from sirend.training.specs import EMBEDDING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sirend.audio.stream import Pcm
    from sirend.detect.bundle import Bundle
    from sirend.training import listening
    from sirend.training.corpus import Clip, Corpus
    from sirend.training.decision import Series
    from sirend.training.listening import Speaking
    from sirend.training.passage_answers import Detector
    from sirend.training.passages import Passage
    from sirend.training.recipe import Recipe
    from sirend.training.specs import TemporalSpec

log = logging.getLogger(__name__)

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

    def load() -> Detector:
        backbone = speaking.load(plan.features)

        def detector(pcm: Pcm) -> dict[str, np.ndarray]:
            mel = log_mel(plan.features, mel_frames(plan.features, pcm))
            heard = patches.cut(mel, patches.ends(plan.features, len(mel), 1))
            said = np.concatenate([backbone(patch[np.newaxis]) for patch in heard])
            return {"mel": mel.astype(np.float16), "said": said.astype(np.float16)}

        return detector

    heard = Heard([], [], [], [])
    identity = f"{plan.features.digest} {speaking.digest}"
    for answers in passage_answers(corpus, planned, load, peer, identity, folder):
        heard.said.append(answers["said"])
        heard.mel.append(answers["mel"])
        heard.peer.append(answers["peer"])
        heard.seconds.append(float(answers["seconds"]))
    return heard


def peer_series(score: np.ndarray) -> Series:
    """Return the peer's scores, float32[frames], with their ends."""
    return ends_s(len(score)), score.astype(np.float64)


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


def strange(plan: Recipe, every: Corpus, planned: Sequence[Passage]) -> list[int]:
    """Return the numbers of the passages that have nothing of what the recipe's licences allow."""
    known = {clip.group for clip in every.clips if plan.allows(clip)}
    found = [
        number
        for number, passage in enumerate(planned)
        if not any(every.clips[index].group in known for index in (*passage.clips, *passage.street))
    ]
    log.info("%d of %d passages have nothing that it may learn from", len(found), len(planned))
    return found


def _whole(
    plan: Recipe, drawn: listening.Heard, planned: Sequence[Passage], heard: Heard, work: Path, every: Corpus
) -> Asked:
    """Ask the head that ``sirend train`` makes about the passages that are strange to it."""
    return _asked(plan, drawn, drawn.without(""), strange(plan, every, planned), heard, work / "head")


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
    """Ask heads trained for it, or a bundle, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m sirend.training.unheard", description=__doc__)
    parser.add_argument("--recipe", type=Path, required=True, metavar="FILE", help="recipe of a network over seconds")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with clips.csv and the audio")
    parser.add_argument("--teacher", type=Path, metavar="DIR", help="the teacher's published weights, to train with")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="where unfinished work is kept")
    parser.add_argument("--peer", type=Path, metavar="FILE", help="YAMNet's published TFLite file")
    parser.add_argument(
        "--whole",
        action="store_true",
        help="ask one head of all that the recipe's licences allow about all the rest",
    )
    parser.add_argument(
        "--bundle", type=Path, metavar="DIR", help="train nothing, and ask this bundle about all the rest"
    )
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    plan = recipe.load_recipe(args.recipe)
    if (args.whole or args.bundle) and plan.licences is None:
        raise SystemExit(
            f"{args.recipe}: it may learn from all recordings, so there are none to ask about (--whole, --bundle)"
        )
    table = corpora.table_of(args.data)
    clips = corpora.read_clips(table)
    if args.bundle is None:
        rendered, series = _of_heads(args, plan, clips, table.parent)
        report = {name: unheard_table.lines(rendered, each, plan.operating_point) for name, each in series.items()}
    else:
        every = corpora.load_clips(clips, table.parent)
        report = report_of(bundles.load(args.bundle), plan, every, args.peer, args.work)
    (args.work / "unheard.json").write_text(json.dumps(report, indent=1) + "\n")
    print(unheard_table.unheard_page(report))  # noqa: T201  the command's result


Found: TypeAlias = "tuple[list[RenderedPassage], dict[str, list[Series]]]"
"""Passages, and the scores in them by detector."""


def report_of(bundle: Bundle, plan: Recipe, every: Corpus, peer: Path | None, work: Path) -> dict[str, Any]:
    """Return what a bundle calls of what is strange to it, at its own points too, and a peer that calls as often."""
    rendered, series = score_strange(bundle, plan, every, peer, work)
    points = {profile: bundle.point(profile) for profile in ("balanced", "strict")}
    own = next(iter(series))
    shipped = unheard_table.at_points(rendered, series[own], points)
    counts = sorted({*unheard_table.FALSE_CALLS, *(row["false_calls"]["street"][0] for row in shipped.values())})
    report = {name: unheard_table.lines(rendered, each, bundle.operating, counts) for name, each in series.items()}
    report[own]["as_shipped"] = shipped
    return report


def score_strange(bundle: Bundle, plan: Recipe, every: Corpus, peer: Path | None, work: Path) -> Found:
    """Send the passages that are strange to ``bundle``, made by ``plan``, through the daemon's own pipeline."""
    everything = passages.plan_passages(every, passages.Folds())
    planned = [everything[number] for number in strange(plan, every, everything)]

    def load() -> Detector:
        classifier = Classifier(bundle)

        def detector(pcm: Pcm) -> dict[str, np.ndarray]:
            end_s, score, _ = score_stream(bundle, classifier, [pcm])
            return {"end_s": end_s, "score": score}

        return detector

    answers = list(passage_answers(every, planned, load, peer, bundle.identity, work / "scores"))
    series = {bundle.name.partition("@")[0]: [(each["end_s"], each["score"]) for each in answers]}
    if peer is not None:
        series["YAMNet"] = [peer_series(each["peer"]) for each in answers]
    return _rendered(every, planned, [float(each["seconds"]) for each in answers]), series


def _of_heads(args: argparse.Namespace, plan: Recipe, clips: Sequence[Clip], folder: Path) -> Found:
    if plan.teacher is None or args.teacher is None:
        raise SystemExit(f"{args.recipe}: heads need the weights of its teacher (--teacher DIR); or give --bundle")
    recordings = corpora.load_clips(filter(plan.allows, clips), folder)
    every = corpora.load_clips(clips, folder) if args.whole else recordings
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
        series["YAMNet"] = [peer_series(heard.peer[number]) for number in logits]
    return _rendered(every, [planned[each] for each in logits], [heard.seconds[each] for each in logits]), series


def _rendered(corpus: Corpus, planned: Sequence[Passage], seconds: Sequence[float]) -> list[RenderedPassage]:
    """Return the passages with their lengths in s."""
    return [
        RenderedPassage(passage, length_s, passage.audible_s(corpus))
        for passage, length_s in zip(planned, seconds, strict=True)
    ]


if __name__ == "__main__":
    main()
