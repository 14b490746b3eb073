"""Drives on which it is heard how early a siren is called: by siren, speed and sight, and a peer hears them too.

Drives have the levels of a street: the siren's at 3 m, the street's, 20 dB less behind buildings until the vehicle is
in sight. There are two worlds: sirens of the table of tones in made-up streets, and, where there are recordings, the
same and recorded sirens in recorded streets. In each there is something else to hear as well. `lead_table` makes
figures of what was heard.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.detect.classifier import Classifier
from sirend.evidence import drive as drives
from sirend.simulate import scene as scenes
from sirend.simulate.background import synthetic_street
from sirend.simulate.balance import MICROPHONE_DBFS, REFERENCE_DB
from sirend.simulate.levels import db, in_band, mix_at_snr, rms
from sirend.simulate.sirens import CALLING
from sirend.training import confusers, work
from sirend.training.hearing import score_stream
from sirend.training.peer import Peer
from sirend.training.trials import looped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sirend.audio.stream import Pcm
    from sirend.detect.bundle import Bundle
    from sirend.training import decision
    from sirend.training.corpus import Clip, Corpus

SPEEDS_KMH = (30.0, 50.0, 70.0)
SIGHTS_M = (100.0, 200.0, 400.0)
CARD_KMH, CARD_M = 50.0, 300.0
"""Drive on which each siren is judged by itself."""
BEFORE_M, AFTER_M = 60.0, 10.0
"""A drive begins so far before it is in sight, and ends so far behind the stop line."""
OTHER_S = 20.0
OTHER_SNR_DB = (0.0, 20.0)
OTHERS = 4
"""Confusers of each kind in a round, in synthetic streets."""
RECORDED = "recorded"
"""A siren that was not made up; and the figures of the world of recordings, beside those of the made-up one."""
RECORDINGS = 8
"""Recorded sirens in a round."""
_MARGIN_S = 10.0
"""A recorded siren sounds for so much longer than the drive: its first sound was emitted before."""
_VERSION = 2
"""Of how a task sounds: what was kept of an older one is heard again."""


@dataclass(frozen=True, slots=True)
class LeadJob:
    """One sound: a drive, or something else to hear."""

    profile: str
    siren: str
    """Name of the siren; of the confuser where ``speed_kmh`` is 0."""
    speed_kmh: float
    sight_m: float
    seed: int
    clips: tuple[int, ...] = ()
    """Recordings: the street of a drive and, where it is ``RECORDED``, its siren; or all that is to be heard."""
    label: str = ""
    """What a recorded siren is."""

    @property
    def is_drive(self) -> bool:
        """Whether a vehicle comes."""
        return self.speed_kmh > 0.0

    @property
    def name(self) -> str:
        """Country and siren; what is known of a recorded one."""
        return f"{self.profile} {self.siren} {self.label}".strip()


@dataclass(frozen=True, slots=True)
class HeardLead:
    """What two detectors scored in a sound."""

    ours: decision.Series
    peers: decision.Series
    """Empty without a peer."""
    drive: drives.Drive | None
    seconds: float


def plan_leads(
    rounds: int,
    seed: int,
    streets: Sequence[int] = (),
    recorded: Sequence[tuple[int, str]] = (),
    other: Sequence[int] = (),
) -> list[LeadJob]:
    """Return the sounds of ``rounds`` in one world.

    In one, each siren of the table and each ``recorded``, a clip and what it is, drive at each speed once and come in
    sight at each distance once; three make every pair of both. Each drives at ``CARD_KMH`` with ``CARD_M`` of sight as
    well. ``streets`` are recordings to drive through and ``other`` some to be heard without a siren; without, there are
    synthetic streets with confusers.
    """
    rng = np.random.default_rng((seed, 18))
    named: list[tuple[str, str, tuple[int, ...], str]] = [
        (profile, siren, (), "") for profile, siren in sorted(CALLING)
    ]
    named += [("", RECORDED, (int(clip),), label) for clip, label in recorded]
    out = []
    for number in range(rounds):
        for index, (profile, siren, clip, label) in enumerate(named):
            pairs = [(speed, SIGHTS_M[(row + index + number) % 3]) for row, speed in enumerate(SPEEDS_KMH)]
            for speed_kmh, sight_m in (*pairs, (CARD_KMH, CARD_M)):
                street = (int(rng.choice(streets)),) if len(streets) else ()
                clips, drawn = (*street, *clip), int(rng.integers(1 << 31))
                out.append(LeadJob(profile, siren, speed_kmh, sight_m, drawn, clips, label))
    if len(other):
        parts = np.array_split(other, -(-len(other) // 12))
        out += [LeadJob("", "other", 0.0, 0.0, seed, tuple(map(int, part))) for part in parts]
    else:
        for _ in range(OTHERS * rounds):
            out += [
                LeadJob("", kind, 0.0, 0.0, int(rng.integers(1 << 31))) for kind in sorted(confusers.confuser_kinds())
            ]
    return out


def choose_recordings(corpus: Corpus, clips: Sequence[int], rounds: int, seed: int) -> list[tuple[int, str]]:
    """Return at most ``RECORDINGS`` of ``clips`` for each of ``rounds``, each with what it is.

    Kinds take turns, and the recordings of a kind: neither a large data set nor a long recording crowds others out.
    """
    rng = np.random.default_rng((seed, 19))
    turns = []
    by_kind: dict[str, Counter[str]] = {}
    for clip in (int(each) for each in rng.permutation(np.array(clips, dtype=np.int64))):
        label, group = siren_of_clip(corpus.clips[clip]), corpus.clips[clip].group
        heard = by_kind.setdefault(label, Counter())
        turns.append((heard[group], heard.total(), clip, label))
        heard[group] += 1
    return [(clip, label) for _, _, clip, label in sorted(turns)][: RECORDINGS * rounds]


def siren_of_clip(clip: Clip) -> str:
    """Return what a recorded siren is: country and tone where the table says so, else its data set and label."""
    return f"{clip.country} {clip.tone}".strip() or f"{clip.set} {clip.label}".strip()


def lead_sound(task: LeadJob, corpus: Corpus | None, folder: Path | None) -> tuple[Pcm, drives.Drive | None]:
    """Return the sound of a task, float32[n], and what is known of a drive."""
    if not task.is_drive:
        if corpus is not None and task.clips:
            return np.concatenate([corpus.audio(clip) for clip in task.clips]), None
        return _other(task), None
    is_recorded = task.siren == RECORDED
    street = task.clips[0] if len(task.clips) > is_recorded else None
    drawn = scenes.Scene(
        siren="wail" if is_recorded else task.siren,
        profile="us" if is_recorded else task.profile,
        start_m=task.sight_m + BEFORE_M,
        after_m=AFTER_M,
        speed_kmh=task.speed_kmh,
        in_sight_m=task.sight_m,
        seed=task.seed,
        background=None if street is None or corpus is None or folder is None else folder / corpus.clips[street].path,
    )
    recorded = None
    if is_recorded and corpus is not None:
        recorded = looped(corpus.audio(task.clips[-1]), round((drawn.duration_s + _MARGIN_S) * SAMPLE_RATE_HZ))
    rendered = scenes.render_scene(drawn, recorded)
    return rendered.pcm, drives.Drive.of(rendered.truth)


def _other(task: LeadJob) -> Pcm:
    """Return a confuser in a synthetic street of the usual level, float32[n]."""
    rng = np.random.default_rng((task.seed, *task.siren.encode()))
    street = synthetic_street(round(OTHER_S * SAMPLE_RATE_HZ), rng)
    level_db = MICROPHONE_DBFS + scenes.Scene().street_db - REFERENCE_DB
    street *= np.float32(10.0 ** ((level_db - db(rms(in_band(street)))) / 20.0))
    strange = looped(confusers.draw_confuser(rng, len(street), task.siren), len(street))
    if rms(in_band(strange)) < 1e-5:  # noqa: PLR2004  some are all pause
        return street
    mixed, _ = mix_at_snr(strange, street, float(rng.uniform(*OTHER_SNR_DB)))
    return np.asarray(mixed / max(1.0, float(np.max(np.abs(mixed)))), dtype=np.float32)


def hear_leads(
    tasks: list[LeadJob],
    bundle: Bundle,
    folder: Path,
    corpus: Corpus | None,
    recordings: Path | None,
    peer: Path | None,
) -> list[HeardLead]:
    """Return what is heard in each task, on all cores; what ``folder`` holds already is not heard again."""

    def prepare() -> Callable[[int], dict[str, Any]]:
        classifier, other = Classifier(bundle), None if peer is None else Peer(peer)

        def listen(number: int) -> dict[str, Any]:
            pcm, known = lead_sound(tasks[number], corpus, recordings)
            end_s, score, _ = score_stream(bundle, classifier, [pcm])
            peer_end_s, peer_score = (np.zeros(0), np.zeros(0)) if other is None else other.scores([pcm])
            return {
                "end_s": end_s, "score": score, "peer_end_s": peer_end_s, "peer_score": peer_score,
                "drive": np.array(json.dumps(None if known is None else asdict(known))),
                "seconds": np.array(len(pcm) / SAMPLE_RATE_HZ),
            }  # fmt: skip

        return listen

    clips = [] if corpus is None else [clip.path for clip in corpus.clips]
    identity = json.dumps([_VERSION, bundle.identity, str(peer), clips, [asdict(task) for task in tasks]])
    out = []
    for each in work.spread(prepare, len(tasks), identity, folder, title="driving"):
        known = json.loads(str(each["drive"]))
        drive = None if known is None else drives.Drive(**known)
        series = (each["end_s"], each["score"]), (each["peer_end_s"], each["peer_score"])
        out.append(HeardLead(*series, drive, float(each["seconds"])))
    return out
