"""``python -m sirend.training.unheard``: what a recipe makes of sources that it has not heard, beside YAMNet.

As many heads as there are folds learn from the recipe's episodes, each from those in which nothing is that its fold
leaves out; each is asked about just that. Calls are the daemon's (tracker and call machine), at thresholds at which
both call as often in the streets left out. Episodes drawn for ``sirend train`` are used, and a stopped run goes on.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.detect.features import mel_frames
from sirend.detect.network import Network
from sirend.training import corpus as corpora
from sirend.training import decision, listening, passages, recipe, work
from sirend.training.episodes import LABEL_S
from sirend.training.peer import FRAME, HOP, Peer
from sirend.training.specs import EMBEDDING, PATCH_FRAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sirend.call.machine import OperatingPoint, Rules
    from sirend.training.corpus import Corpus
    from sirend.training.decision import Series
    from sirend.training.passages import Passage
    from sirend.training.recipe import Recipe

log = logging.getLogger(__name__)

FALSE_CALLS = (1, 3, 6)
"""Numbers of calls in the streets left out at which detectors are compared."""
_SHARD = 40
_RATIOS = (("siren", passages.SNRS_DB), ("tone", passages.TONE_SNRS_DB))


@dataclass(frozen=True)
class Heard:
    """What backbone and peer say of all passages, in their order."""

    said: list[np.ndarray]
    """float16[patches, OUTPUTS] each, a quarter of a second apart."""
    peer: list[np.ndarray]
    """float32[frames] each; empty without a peer."""
    seconds: list[float]


def hear(
    corpus: Corpus, planned: Sequence[Passage], plan: Recipe, speaking: Path, peer: Path | None, folder: Path
) -> Heard:
    """Ask the backbone ``speaking``, a TFLite file, and the peer about all passages, on all cores, each once."""

    def prepare() -> Callable[[int], dict[str, Any]]:
        backbone = Network(
            speaking, speaking.read_bytes(), rows=1, inputs=[(PATCH_FRAMES, plan.features.bands)],
            outputs=listening.OUTPUTS,
        )  # fmt: skip
        other = None if peer is None else Peer(peer)

        def one(shard: int) -> dict[str, Any]:
            out: dict[str, Any] = {}
            for number, passage in enumerate(planned[shard * _SHARD : (shard + 1) * _SHARD]):
                pcm = passage.render(corpus)
                heard = listening.patches(plan.features, mel_frames(plan.features, pcm), 1)
                out[f"said{number}"] = np.concatenate([backbone(patch[np.newaxis]) for patch in heard]).astype("f2")
                out[f"peer{number}"] = np.zeros(0) if other is None else other.scores([pcm])[1].astype("f4")
                out[f"seconds{number}"] = len(pcm) / SAMPLE_RATE_HZ
            return out

        return one

    described = json.dumps([[asdict(each) for each in planned], plan.features.digest, str(peer), len(corpus)])
    shards = -(-len(planned) // _SHARD)
    heard = Heard([], [], [])
    for part in work.spread(prepare, shards, described, folder, title="listening to passages"):
        for number in range(len(part) // 3):
            heard.said.append(part[f"said{number}"])
            heard.peer.append(part[f"peer{number}"])
            heard.seconds.append(float(part[f"seconds{number}"]))
    return heard


def listened(fused: np.ndarray, plan: Recipe) -> Series:
    """Return ends and scores as the daemon has them, of calibrated log-odds float64[patches] each quarter second.

    Patches between the head's own are heard only while a siren is suspected.
    """
    suspect = None if plan.temporal is None else plan.temporal.suspect
    said, until = np.array(fused), -1
    for number in range(len(said)):
        is_of_head = (number + listening.FIRST) % 2 == 0
        if number and not is_of_head and suspect is not None and number > until:
            said[number] = said[number - 1]
        elif suspect is not None and said[number] > suspect:
            until = number + round(1.0 / LABEL_S) - 1
    return (np.arange(len(said)) + listening.FIRST) * LABEL_S, 1.0 / (1.0 + np.exp(-np.clip(said, -80, 80)))


def peer_series(score: np.ndarray) -> Series:
    """Return ends and scores of the peer's frames float32[frames]."""
    return (np.arange(len(score)) * HOP + FRAME) / SAMPLE_RATE_HZ, score.astype(np.float64)


def lines(
    planned: Sequence[Passage], seconds: Sequence[float], series: Sequence[Series], point: OperatingPoint
) -> dict[str, Any]:
    """Return a row of figures for each number of false calls in the streets."""
    streets = [one for one, passage in zip(series, planned, strict=True) if passage.kind == "street"]
    hours = sum(each for each, passage in zip(seconds, planned, strict=True) if passage.kind == "street") / 3600
    out: dict[str, Any] = {}
    for most in FALSE_CALLS:
        enter = decision.matched(streets, point, most)
        out[str(most)] = {"enter": round(enter, 4), **row(planned, seconds, series, decision.rules(point, enter))}
    return {"street_hours": round(hours, 2), "at_false_calls": out}


def row(planned: Sequence[Passage], seconds: Sequence[float], series: Sequence[Series], by: Rules) -> dict[str, Any]:
    """Return what is called at one threshold, by kind."""
    called: dict[str, list[bool]] = {}
    latency: dict[str, list[float]] = {}
    false: dict[str, int] = {}
    length: dict[str, float] = {}
    surest: list[tuple[float, str]] = []
    for passage, one, length_s in zip(planned, series, seconds, strict=True):
        call_s = decision.calls(one, by)
        if passage.kind in ("siren", "recorded", "tone", "drive"):
            key = passage.kind + ("" if np.isnan(passage.snr_db) else f" {passage.snr_db:+.0f}")
            in_time = call_s[call_s > passage.begin_s] if passage.kind != "drive" else call_s
            called.setdefault(key, []).append(len(in_time) > 0)
            if len(in_time):
                latency.setdefault(key, []).append(float(in_time[0]) - passage.begin_s)
            if passage.kind == "tone":
                called.setdefault(f"tone {passage.label}", []).append(len(in_time) > 0)
            continue
        keys = [passage.kind] if passage.kind != "other" else [f"other {passage.label.partition('/')[0]}"]
        if passage.kind == "confuser":
            keys.append(f"confuser {passage.label}")
        for key in keys:
            false[key] = false.get(key, 0) + len(call_s)
            length[key] = length.get(key, 0.0) + length_s
            called.setdefault(key, []).append(len(call_s) > 0)
        if len(call_s):
            surest.append((float(one[1].max()), f"{passage.kind}: {passage.label}"))
    return {
        "called": {key: [sum(each), len(each)] for key, each in called.items()},
        "false_an_hour": {key: [each, round(length[key] / 3600, 3)] for key, each in false.items()},
        "latency_s": {
            key: [round(float(q), 2) for q in np.quantile(each, [0.5, 0.95])] for key, each in latency.items()
        },
        "surest": [f"{score:.3f} {label}" for score, label in sorted(surest, reverse=True)[:40]],
    }


def table(report: Mapping[str, Any]) -> str:
    """Return the report as a Markdown table."""
    sirens, tones = ([f"{kind} {snr:+.0f}" for snr in of] for kind, of in _RATIOS)
    ratios = " ".join(f"{snr:+.0f}" for snr in passages.SNRS_DB)
    head = [
        "", "false calls", "enter", f"recall at {ratios} dB", "as recorded", "latency p50, p95 at 0 dB",
        "tones at 0, 10, 20 dB", "drives", "civil", "confusers", "us8k false", "esc50 false",
    ]  # fmt: skip
    rows = [head, ["---"] * len(head)]
    for name, lines_ in report.items():
        for most, line in lines_["at_false_calls"].items():
            share = {key: called / of for key, (called, of) in line["called"].items()}
            late, false = line["latency_s"].get("siren +0", ["", ""]), line["false_an_hour"]
            cells = [name, most, f"{line['enter']:.3f}"]
            cells += [" ".join(f"{share[key]:.2f}" for key in sirens), f"{share['recorded']:.2f}"]
            cells += [f"{late[0]}, {late[1]} s", " ".join(f"{share[key]:.2f}" for key in tones)]
            cells += ["{} of {}".format(*line["called"][key]) for key in ("drive", "civil", "confuser")]
            cells += ["{} in {} h".format(*false.get(f"other {key}", [0, 0])) for key in ("us8k", "esc50")]
            rows.append(cells)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def main() -> None:
    """Train the folds, ask them, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m sirend.training.unheard", description=__doc__)
    parser.add_argument("--recipe", type=Path, required=True, metavar="FILE", help="recipe of a network over seconds")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with clips.csv and the audio")
    parser.add_argument("--teacher", type=Path, required=True, metavar="DIR", help="the teacher's published weights")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="where unfinished work is kept")
    parser.add_argument("--peer", type=Path, metavar="FILE", help="YAMNet's published TFLite file")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    from sirend.training import streaming, temporal  # noqa: PLC0415  TensorFlow takes seconds to import
    from sirend.training.backbone import VEHICLES  # noqa: PLC0415

    plan = recipe.load(args.recipe)
    if plan.temporal is None:
        raise SystemExit(f"{args.recipe}: a recipe with episodes and temporal is needed")
    recordings = corpora.load(filter(plan.allows, corpora.read_clips(args.data / "clips.csv")), args.data)
    folds = passages.Folds()
    planned = passages.plan(recordings, folds)
    speaking = streaming.speaking(plan, args.teacher, args.work)
    heard = hear(recordings, planned, plan, speaking, args.peer, args.work / "passages")
    drawn = streaming.drawn(plan, recordings, speaking, args.work)
    fused: list[np.ndarray] = [np.zeros(0)] * len(planned)
    for fold in range(len(folds.sets)):
        known = [at for at, groups in enumerate(drawn.groups) if not any(folds.of(group) == fold for group in groups)]
        log.info("fold %d: %d of %d episodes", fold, len(known), len(drawn.groups))
        model = temporal.fit(drawn.said[known], drawn.label[known], plan.temporal, args.work / f"fold{fold}")
        judged = temporal.quarters(model)
        for number, passage in enumerate(planned):
            if passage.fold == fold:
                head = judged(heard.said[number].astype(np.float32))
                vehicles = heard.said[number][:, EMBEDDING : EMBEDDING + VEHICLES].max(axis=1).astype(np.float64)
                fused[number] = (1 - plan.temporal.evidence) * head + plan.temporal.evidence * vehicles
    scale, offset = plan.calibration or (1.0, 0.0)
    report = {
        plan.name: lines(
            planned, heard.seconds, [listened(scale * f + offset, plan) for f in fused], plan.operating_point
        )
    }
    if args.peer:
        report["YAMNet"] = lines(
            planned, heard.seconds, [peer_series(score) for score in heard.peer], plan.operating_point
        )
    (args.work / "unheard.json").write_text(json.dumps(report, indent=1) + "\n")
    print(table(report))  # noqa: T201  the command's result


if __name__ == "__main__":
    main()
