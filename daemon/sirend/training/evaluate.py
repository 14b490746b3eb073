"""``sirend evaluate``: what a model hears and what it takes for a siren, beside YAMNet in the same run.

Everything goes through ``pipeline.detect``: the scores, thresholds, tracker and calls are those of the daemon.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sirend.detect import bundle as bundles
from sirend.detect.classifier import Classifier
from sirend.errors import UsageError
from sirend.training import corpus as corpora
from sirend.training import (
    curves,
    decision,
    eventwise,
    lead,
    lead_table,
    scorecard,
    scorecard_page,
    soundscape,
    stress,
    tones,
    trials,
    work,
)
from sirend.training.hearing import Heard, score_stream
from sirend.training.peer import Peer

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from sirend.call.rules import Rules
    from sirend.detect.bundle import Bundle
    from sirend.training.corpus import Clip, Corpus
    from sirend.training.trials import Trial


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``sirend evaluate``."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR|CSV",
        help="folder with clips.csv and the audio, or such a table; --lead and --tone can do without (default: none)",
    )
    parser.add_argument(
        "--lead",
        type=int,
        nargs="?",
        const=1,
        metavar="ROUNDS",
        help="only this: how early sirens are called, in rounds of 4 drives a siren, or 1 (default: all)",
    )
    parser.add_argument(
        "--tone",
        type=int,
        nargs="?",
        const=1,
        metavar="ROUNDS",
        help="only this: what kind events say, in rounds of a drive a siren, or 1 (default: all)",
    )
    parser.add_argument(
        "--tone-table",
        type=Path,
        metavar="FILE",
        help="CSV file of path,tone for recordings whose tone clips.csv does not say (default: none)",
    )
    parser.add_argument("--model", type=Path, metavar="DIR", help="model bundle (default: the newest that ships)")
    parser.add_argument("--set", dest="sets", action="append", metavar="SET", help="data set to test on (default: all)")
    parser.add_argument(
        "--peer", type=Path, metavar="FILE", help="yamnet.tflite, measured in the same run (default: none)"
    )
    parser.add_argument(
        "--mixtures",
        type=int,
        default=60,
        metavar="N",
        help="number of sirens mixed into streets, a SNR (default: %(default)d)",
    )
    parser.add_argument(
        "--drive-bys",
        type=int,
        default=1,
        metavar="N",
        help="number of simulated drive-bys a siren and SNR (default: %(default)d)",
    )
    parser.add_argument(
        "--soundscape-hours",
        type=float,
        default=1.0,
        metavar="H",
        help="soundscape of sirens and confusers, h, 0 for none (default: %(default)g)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        help="number from which all that is drawn and mixed follows (default: %(default)s)",
    )
    parser.add_argument(
        "--report",
        type=Path,
        default=Path("report"),
        metavar="DIR",
        help="where report.md, report.json and curves.png go, and what a stopped run goes on with "
        "(default: %(default)s)",
    )


def main(args: argparse.Namespace) -> int:
    """Evaluate; return the exit code. A stopped run goes on where it was."""
    bundle = bundles.load(bundles.find(args.model))
    if args.lead is not None:
        return _leads(args, bundle)
    if args.tone is not None:
        return _tones(args, bundle)
    if args.data is None:
        raise UsageError("--data DIR is missing: a folder with clips.csv and the audio (or ask for --lead or --tone)")
    table = corpora.table_of(args.data)
    clips = _read_clips(args, table)
    known = {clip.set for clip in clips}
    sets = frozenset(args.sets or known)
    if not sets <= known:
        raise UsageError(f"--set {', '.join(sorted(sets - known))}: {table.name} has {', '.join(sorted(known))}")
    recordings = corpora.load_clips((clip for clip in clips if clip.set in sets), table.parent)
    planned = trials.plan_trials(recordings, sets, mixtures=args.mixtures, seed=args.seed)
    heard = hear_trials(recordings, planned, bundle, args.peer, args.report / "heard")
    card = scorecard.trial_figures(recordings, planned, heard, bundle.operating)
    detectors = {"sirend": scorecard.scores_by_clip(recordings, planned, heard)}
    rules = decision.rules(bundle.operating, bundle.operating.enter)
    if "peer_threshold" in card:
        rules = decision.rules(bundle.operating, card["peer_threshold"])
        peers = scorecard.of_peer(heard, rules)
        detectors["yamnet"] = scorecard.scores_by_clip(recordings, planned, peers, reach_s=scorecard.PEER_REACH_S)
    args.report.mkdir(parents=True, exist_ok=True)
    both = min(card["clips"].values()) > 0
    if both:
        curves.draw_curves(
            args.report / "curves.png", {name: (each.clip, each.siren) for name, each in detectors.items()}
        )
        for name, each in detectors.items():
            card[name]["equal_error_rate"] = round(curves.equal_error_rate(each.clip, each.siren), 4)
    _scenes(args, card, recordings, table.parent, bundle, rules)
    described = {
        "model": bundle.name,
        "sets": sorted(sets),
        "operating_point": asdict(bundle.operating),
        "peer": args.peer.name if args.peer else None,
        "curves": both,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    page = scorecard_page.report_page(described, card)
    if args.drive_bys:
        card["tone"] = _named(args, args.drive_bys, bundle, recordings)
        page += "\n" + tones.tone_section(card["tone"])
    return _write(args.report, {**described, **card}, page)


def _write(folder: Path, card: dict[str, Any], page: str) -> int:
    """Write figures and page, and print the page; return the exit code."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(card, indent=2) + "\n")
    (folder / "report.md").write_text(page)
    print(f"{page}\nIt is in {folder / 'report.md'}, its figures in {folder / 'report.json'}.")  # noqa: T201  the result
    return 0


def _leads(args: argparse.Namespace, bundle: Bundle) -> int:
    """Measure how early sirens are called in made-up streets; with recordings, also in theirs, and their sirens."""
    if args.lead < 1:
        raise UsageError(f"--lead {args.lead}: it must be 1 round or more")

    def measured(tasks: list[lead.LeadJob], recordings: Corpus | None, folder: Path | None) -> dict[str, Any]:
        heard = lead.hear_leads(tasks, bundle, args.report / "leads", recordings, folder, args.peer)
        return lead_table.lead_figures(tasks, heard, bundle.operating)

    card = measured(lead.plan_leads(args.lead, args.seed), None, None)
    if args.data is not None:
        table = corpora.table_of(args.data)
        recordings = corpora.load_clips(filter(corpora.kept_back, corpora.read_clips(table)), table.parent)
        other = recordings.where(_is_street)
        recorded = lead.choose_recordings(recordings, recordings.where(_is_siren), args.lead, args.seed)
        tasks = lead.plan_leads(args.lead, args.seed, stress.streets(recordings, other), recorded, other)
        card[lead.RECORDED] = measured(tasks, recordings, table.parent)
    card = {
        "model": bundle.name,
        "data": args.data is not None,
        "rounds": args.lead,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        **card,
    }
    return _write(args.report, card, lead_table.lead_page(card))


def _tones(args: argparse.Namespace, bundle: Bundle) -> int:
    """Measure what kind of siren events say that it is."""
    if args.tone < 1:
        raise UsageError(f"--tone {args.tone}: it must be 1 round or more")
    recordings = None
    if args.data is not None:
        table = corpora.table_of(args.data)
        recordings = corpora.load_clips(filter(_is_siren, _read_clips(args, table)), table.parent)
    card = {
        "model": bundle.name,
        "rounds": args.tone,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        **_named(args, args.tone, bundle, recordings),
    }
    return _write(args.report, card, tones.tone_section(card))


def _read_clips(args: argparse.Namespace, table: Path) -> tuple[Clip, ...]:
    clips = corpora.read_clips(table)
    return clips if args.tone_table is None else corpora.read_tones(args.tone_table, clips)


def _named(args: argparse.Namespace, rounds: int, bundle: Bundle, recordings: Corpus | None) -> dict[str, Any]:
    planned = tones.plan_tones(rounds, args.seed, recordings)
    told = tones.hear_tones(planned, bundle, args.report / "tones", recordings)
    return tones.tone_figures(planned, told, recordings)


def _scenes(
    args: argparse.Namespace, card: dict[str, Any], recordings: Corpus, folder: Path, bundle: Bundle, rules: Rules
) -> None:
    """Add drive-bys and the soundscape to ``card``, for a peer as well, its calls by ``rules``.

    Without a street that training keeps back there are no drive-bys, and the soundscape has synthetic streets.
    """
    usable = [index for index in recordings.where(_is_street) if corpora.kept_back(recordings.clips[index])]
    streets = stress.streets(recordings, usable)
    if args.drive_bys and streets:
        scenes = stress.plan_scenes(streets, args.drive_bys, args.seed)
        passed = stress.hear_scenes(scenes, bundle, recordings, folder, args.report / "stress", args.peer)
        card["stress"] = {"sirend": stress.stress_figures(scenes, [each.outcome() for each in passed])}
        if args.peer:
            card["stress"]["yamnet"] = stress.stress_figures(scenes, [each.peer_outcome(rules) for each in passed])
    if args.soundscape_hours:
        recorded = [index for index in recordings.where(_is_siren) if corpora.kept_back(recordings.clips[index])]
        stretches = soundscape.plan_stretches(args.soundscape_hours, args.seed, streets, recorded)
        strolled = eventwise.hear_stretches(stretches, bundle, recordings, args.report / "soundscape", args.peer)
        card["soundscape"] = {"sirend": eventwise.eventwise_figures(stretches, strolled)}
        if args.peer:
            card["soundscape"]["yamnet"] = eventwise.eventwise_figures(
                stretches, [each.of_peer(rules) for each in strolled]
            )


def _is_street(clip: Clip) -> bool:
    return clip.kind is corpora.Kind.OTHER


def _is_siren(clip: Clip) -> bool:
    return clip.kind is corpora.Kind.EMERGENCY


def hear_trials(
    recordings: Corpus, planned: list[Trial], bundle: Bundle, peer: Path | None, folder: Path
) -> list[Heard]:
    """Return what is heard in each trial, on all cores; what ``folder`` holds already is not computed again."""

    def prepare() -> Callable[[int], dict[str, np.ndarray]]:
        classifier, other = Classifier(bundle), None if peer is None else Peer(peer)

        def one(number: int) -> dict[str, np.ndarray]:
            trial = planned[number]
            end_s, score, call_s = score_stream(bundle, classifier, trial.pieces(recordings))
            nothing = (np.zeros(0), np.zeros(0))
            peer_end_s, peer_score = nothing if other is None else other.scores(trial.pieces(recordings))
            return {
                "end_s": end_s, "score": score, "call_s": call_s, "peer_end_s": peer_end_s, "peer_score": peer_score,
            }  # fmt: skip

        return one

    clips = [(clip.path, len(pcm)) for clip, pcm in zip(recordings.clips, recordings.pcm, strict=True)]
    identity = json.dumps([bundle.identity, str(peer), clips, [asdict(trial) for trial in planned]])
    return [Heard(**each) for each in work.spread(prepare, len(planned), identity, folder, title="listening")]
