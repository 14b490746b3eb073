"""``sirend evaluate``: what a model hears and what it takes for a siren, beside YAMNet in the same run.

Everything goes through ``pipeline.detect``: the scores, thresholds, tracker and calls are those of the daemon.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from sirend import bundle as bundles
from sirend.classifier import Classifier
from sirend.errors import UsageError
from sirend.training import corpus as corpora
from sirend.training import scorecard, stress, trials
from sirend.training.hearing import Heard, hear
from sirend.training.peer import Peer

if TYPE_CHECKING:
    import argparse

    from sirend.bundle import Bundle
    from sirend.training.corpus import Clip, Corpus
    from sirend.training.trials import Trial


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``sirend evaluate``."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with clips.csv and the audio")
    parser.add_argument("--model", type=Path, metavar="DIR", help="model bundle (default: the newest that ships)")
    parser.add_argument("--set", dest="sets", action="append", metavar="SET", help="data set to test on (default: all)")
    parser.add_argument("--peer", type=Path, metavar="FILE", help="yamnet.tflite, measured in the same run")
    parser.add_argument("--mixtures", type=int, default=60, metavar="N", help="sirens mixed into streets, a SNR")
    parser.add_argument("--drive-bys", type=int, default=1, metavar="N", help="simulated drive-bys a siren and SNR")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, required=True, metavar="DIR", help="where report.md and report.json go")


def main(args: argparse.Namespace) -> int:
    """Evaluate; return the exit code. A stopped run goes on where it was."""
    bundle = bundles.load(bundles.find(args.model))
    clips = corpora.read_clips(args.data / "clips.csv")
    known = {clip.set for clip in clips}
    sets = frozenset(args.sets or known)
    if not sets <= known:
        raise UsageError(f"--set {', '.join(sorted(sets - known))}: clips.csv has {', '.join(sorted(known))}")
    recordings = corpora.load((clip for clip in clips if clip.set in sets), args.data)
    planned = trials.plan(recordings, sets, mixtures=args.mixtures, seed=args.seed)
    heard = listen(recordings, planned, bundle, args.peer, args.report / "heard")
    card = scorecard.measure(recordings, planned, heard, bundle.operating.enter)
    usable = [index for index in recordings.where(_is_street) if corpora.kept_back(recordings.clips[index])]
    streets = stress.streets(recordings, usable)
    if args.drive_bys and streets:
        scenes = stress.plan(streets, args.drive_bys, args.seed)
        card["stress"] = stress.table(scenes, stress.run(scenes, bundle, recordings, args.data, args.report / "stress"))
    described = {
        "model": bundle.name,
        "sets": sorted(sets),
        "operating_point": asdict(bundle.operating),
        "peer": args.peer.name if args.peer else None,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    args.report.mkdir(parents=True, exist_ok=True)
    (args.report / "report.json").write_text(json.dumps({**described, **card}, indent=2) + "\n")
    (args.report / "report.md").write_text(scorecard.markdown(described, card))
    print(scorecard.markdown(described, card))  # noqa: T201  the command's result
    return 0


def _is_street(clip: Clip) -> bool:
    return clip.kind is corpora.Kind.OTHER


def listen(recordings: Corpus, planned: list[Trial], bundle: Bundle, peer: Path | None, folder: Path) -> list[Heard]:
    """Return what is heard in each trial, on all cores; what ``folder`` holds already is not computed again."""
    identity = json.dumps([bundle.identity, str(peer), [asdict(trial) for trial in planned]])
    folder = folder / hashlib.sha256(identity.encode()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    missing = [number for number in range(len(planned)) if not (folder / f"{number}.npz").exists()]
    if missing:
        context = multiprocessing.get_context("fork")
        with context.Pool(os.cpu_count(), _Worker.start, (recordings, planned, bundle, peer, folder)) as processes:
            done = processes.imap_unordered(_Worker.write, missing, chunksize=4)
            for _ in tqdm(done, total=len(missing), desc="listening", unit="trial"):
                pass
    out = []
    for number in range(len(planned)):
        with np.load(folder / f"{number}.npz") as saved:
            out.append(Heard(**saved))
    return out


class _Worker:
    """State of one worker process: what it inherited, and its own interpreters."""

    recordings: Corpus
    planned: list[Trial]
    bundle: Bundle
    classifier: Classifier
    peer: Peer | None
    folder: Path

    @classmethod
    def start(cls, recordings: Corpus, planned: list[Trial], bundle: Bundle, peer: Path | None, folder: Path) -> None:
        cls.recordings, cls.planned, cls.bundle, cls.folder = recordings, planned, bundle, folder
        cls.classifier = Classifier(bundle)
        cls.peer = None if peer is None else Peer(peer)

    @classmethod
    def write(cls, number: int) -> None:
        pcm = cls.planned[number].render(cls.recordings)
        end_s, score, call_s = hear(cls.bundle, cls.classifier, pcm)
        peer_end_s, peer_score = (np.zeros(0), np.zeros(0)) if cls.peer is None else cls.peer.scores(pcm)
        unfinished = cls.folder / f"{number}.part"
        with unfinished.open("wb") as stream:
            np.savez(stream, end_s=end_s, score=score, call_s=call_s, peer_end_s=peer_end_s, peer_score=peer_score)
        unfinished.rename(cls.folder / f"{number}.npz")
