"""How early a siren is called: seconds before the stop line, by siren, speed and sight, beside the ideal and a peer.

Drives have the levels of a street: the siren's at 3 m, the street's, 20 dB less behind buildings until the vehicle is
in sight. The ideal calls at the moment from which the siren is 5 dB under the street for a second. What else there is
to hear, without a siren, says how often each detector calls falsely, and gives the peer its threshold.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.detect.classifier import Classifier
from sirend.evidence import drive as drives
from sirend.simulate import scene as scenes
from sirend.simulate.background import synthetic_street
from sirend.simulate.levels import db, in_band, mix, rms
from sirend.simulate.sirens import TONES
from sirend.training import confusers, decision, measures, work
from sirend.training.hearing import hear
from sirend.training.peer import Peer
from sirend.training.trials import looped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from sirend.audio.stream import Pcm
    from sirend.call.machine import OperatingPoint
    from sirend.detect.bundle import Bundle
    from sirend.training.corpus import Corpus

SPEEDS_KMH = (30.0, 50.0, 70.0)
SIGHTS_M = (100.0, 200.0, 400.0)
CARD_KMH, CARD_M = 50.0, 300.0
"""Drive on which each siren is judged by itself."""
LATE_S = 8.0
"""A siren that leads by less there is named."""
GOOD_S = 10.0
"""Yellow, red and the pedestrians' clearance take about so long."""
BEFORE_M, AFTER_M = 60.0, 10.0
"""A drive begins so far before it is in sight, and ends so far behind the stop line."""
OTHER_S = 20.0
OTHER_SNR_DB = (0.0, 20.0)
OTHERS = 4
"""Confusers of each kind in a round, in synthetic streets."""
RECORDED = "recorded"


@dataclass(frozen=True, slots=True)
class Task:
    """One sound: a drive, or something else to hear."""

    profile: str
    siren: str
    """Name of the siren; of the confuser where ``speed_kmh`` is 0."""
    speed_kmh: float
    sight_m: float
    seed: int
    clips: tuple[int, ...] = ()
    """Recordings: the street of a drive and, where it is ``RECORDED``, its siren; or all that is to be heard."""

    @property
    def is_drive(self) -> bool:
        """Whether a vehicle comes."""
        return self.speed_kmh > 0.0

    @property
    def name(self) -> str:
        """Country and siren."""
        return f"{self.profile} {self.siren}".strip()


@dataclass(frozen=True, slots=True)
class Heard:
    """What two detectors scored in a sound."""

    ours: decision.Series
    peers: decision.Series
    """Empty without a peer."""
    drive: drives.Drive | None
    seconds: float


def plan(
    rounds: int, seed: int, streets: Sequence[int] = (), recorded: Sequence[int] = (), other: Sequence[int] = ()
) -> list[Task]:
    """Return the sounds of ``rounds``.

    In one, each siren of the table and as many ``recorded`` drive at each speed once and come in sight at each distance
    once; three make every pair of both. Each drives at ``CARD_KMH`` with ``CARD_M`` of sight as well. ``other`` are
    recordings to be heard without a siren; without, there are synthetic streets with confusers.
    """
    rng = np.random.default_rng((seed, 18))
    named: list[tuple[str, str, tuple[int, ...]]] = [
        (profile, siren, ()) for profile, siren in sorted(TONES) if siren != "airhorn"
    ]
    named += [("", RECORDED, (int(clip),)) for clip in recorded]
    out = []
    for number in range(rounds):
        for index, (profile, siren, clip) in enumerate(named):
            pairs = [(speed, SIGHTS_M[(row + index + number) % 3]) for row, speed in enumerate(SPEEDS_KMH)]
            for speed_kmh, sight_m in (*pairs, (CARD_KMH, CARD_M)):
                street = (int(rng.choice(streets)),) if len(streets) else ()
                out.append(Task(profile, siren, speed_kmh, sight_m, int(rng.integers(1 << 31)), (*street, *clip)))
    if len(other):
        parts = np.array_split(other, -(-len(other) // 12))
        out += [Task("", "other", 0.0, 0.0, seed, tuple(map(int, part))) for part in parts]
    else:
        for _ in range(OTHERS * rounds):
            out += [Task("", kind, 0.0, 0.0, int(rng.integers(1 << 31))) for kind in sorted(confusers.kinds())]
    return out


def sound(task: Task, corpus: Corpus | None, folder: Path | None) -> tuple[Pcm, drives.Drive | None]:
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
    recorded = corpus.audio(task.clips[-1]) if is_recorded and corpus is not None else None
    rendered = scenes.render(drawn, recorded)
    return rendered.pcm, drives.Drive.of(rendered.truth)


def _other(task: Task) -> Pcm:
    """Return a confuser in a synthetic street of the usual level, float32[n]."""
    rng = np.random.default_rng((task.seed, *task.siren.encode()))
    street = synthetic_street(round(OTHER_S * SAMPLE_RATE_HZ), rng)
    level_db = scenes.MICROPHONE_DBFS + scenes.Scene().street_db - scenes.REFERENCE_DB
    street *= np.float32(10.0 ** ((level_db - db(rms(in_band(street)))) / 20.0))
    strange = looped(confusers.draw(rng, len(street), task.siren), len(street))
    if rms(in_band(strange)) < 1e-5:  # noqa: PLR2004  some are all pause
        return street
    mixed, _ = mix(strange, street, float(rng.uniform(*OTHER_SNR_DB)))
    return np.asarray(mixed / max(1.0, float(np.max(np.abs(mixed)))), dtype=np.float32)


def run(
    tasks: list[Task], bundle: Bundle, folder: Path, corpus: Corpus | None, recordings: Path | None, peer: Path | None
) -> list[Heard]:
    """Return what is heard in each task, on all cores; what ``folder`` holds already is not heard again."""

    def prepare() -> Callable[[int], dict[str, Any]]:
        classifier, other = Classifier(bundle), None if peer is None else Peer(peer)

        def listen(number: int) -> dict[str, Any]:
            pcm, known = sound(tasks[number], corpus, recordings)
            end_s, score, _ = hear(bundle, classifier, [pcm])
            peer_end_s, peer_score = (np.zeros(0), np.zeros(0)) if other is None else other.scores([pcm])
            return {
                "end_s": end_s, "score": score, "peer_end_s": peer_end_s, "peer_score": peer_score,
                "drive": np.array(json.dumps(None if known is None else asdict(known))),
                "seconds": np.array(len(pcm) / SAMPLE_RATE_HZ),
            }  # fmt: skip

        return listen

    identity = json.dumps([bundle.identity, str(peer), [asdict(task) for task in tasks]])
    out = []
    for each in work.spread(prepare, len(tasks), identity, folder, title="driving"):
        known = json.loads(str(each["drive"]))
        drive = None if known is None else drives.Drive(**known)
        series = (each["end_s"], each["score"]), (each["peer_end_s"], each["peer_score"])
        out.append(Heard(*series, drive, float(each["seconds"])))
    return out


def measure(
    tasks: Sequence[Task], heard: Sequence[Heard], point: OperatingPoint, *, is_windowed: bool = False
) -> dict[str, Any]:
    """Return the figures of all detectors, JSON values; the peer's at the threshold with as many false calls as ours.

    A drive that is not called before the stop line leads by 0 s. ``is_windowed``: see ``decision.spans``.
    """
    by = decision.rules(point, point.enter)

    def ours(each: Heard) -> list[drives.Span]:
        return decision.spans(each.ours, by, is_windowed=is_windowed)

    other = [each for each in heard if each.drive is None]
    hours = sum(each.seconds for each in other) / 3600.0
    false = sum(len(ours(each)) for each in other)
    leads = {"ideal": _leads(heard, _ideal), "sirend": _leads(heard, ours)}
    card: dict[str, Any] = {
        "good_s": GOOD_S,
        "false": {"sirend": measures.rate(false, hours)},
        "minutes_of_drives": round(sum(each.seconds for each in heard if each.drive is not None) / 60.0, 1),
    }
    if any(len(each.peers[0]) for each in heard):
        threshold = decision.matched([each.peers for each in other], point, false)
        peer = decision.rules(point, threshold)
        leads["yamnet"] = _leads(heard, lambda each: decision.spans(each.peers, peer))
        card["peer_threshold"] = round(threshold, 4)
        card["false"]["yamnet"] = measures.rate(sum(len(decision.calls(each.peers, peer)) for each in other), hours)
    driven = [task for task in tasks if task.is_drive]
    grid = np.array([(task.speed_kmh, task.sight_m) != (CARD_KMH, CARD_M) for task in driven])
    names = np.array([task.name for task in driven])
    speed_kmh, sight_m = (np.array([getattr(task, key) for task in driven]) for key in ("speed_kmh", "sight_m"))
    groups: dict[str, dict[str, np.ndarray]] = {
        "all": {"all": grid},
        "by_sight": {f"{sight:g} m": grid & (sight_m == sight) for sight in SIGHTS_M},
        "by_speed": {f"{speed:g} km/h": grid & (speed_kmh == speed) for speed in SPEEDS_KMH},
        "by_speed_and_sight": {
            f"{speed:g} km/h, {sight:g} m": (speed_kmh == speed) & (sight_m == sight)
            for speed in SPEEDS_KMH
            for sight in SIGHTS_M
        },
        "by_siren": {str(name): grid & (names == name) for name in np.unique(names)},
        "card": {str(name): ~grid & (names == name) for name in np.unique(names)},
    }
    for group, members in groups.items():
        card[group] = {
            title: {one: _line(each[chosen]) for one, each in leads.items()}
            for title, chosen in members.items()
            if chosen.any()
        }
    card["card_drive"] = f"{CARD_KMH:g} km/h, {CARD_M:g} m"
    card["late"] = {
        name: line["sirend"]["p50_s"] for name, line in card["card"].items() if line["sirend"]["p50_s"] < LATE_S
    }
    card["all"] = card["all"]["all"]
    return card


def _ideal(each: Heard) -> list[drives.Span]:
    first_s = None if each.drive is None else each.drive.first_audible_s
    return [] if first_s is None else [drives.Span(first_s, None)]


def _leads(heard: Sequence[Heard], spans: Callable[[Heard], list[drives.Span]]) -> np.ndarray:
    """Return the lead of each drive, s, float64[drives]; nan for one that is not called before its stop line."""
    found = [drives.lead(each.drive, spans(each)) for each in heard if each.drive is not None]
    return np.array([np.nan if one is None or one.lead_s <= 0.0 or one.cleared_s else one.lead_s for one in found])


def _line(leads: np.ndarray) -> dict[str, Any]:
    counted = np.nan_to_num(leads)
    p10, p50 = np.percentile(counted, [10.0, 50.0])
    return {
        "drives": len(leads),
        "p10_s": round(float(p10), 1),
        "p50_s": round(float(p50), 1),
        "good": round(float(np.mean(counted >= GOOD_S)), 3),
        "missed": int(np.isnan(leads).sum()),
    }


def markdown(card: Mapping[str, Any]) -> str:
    """Return the figures as a page of Markdown."""
    names = list(card["all"])
    head = " | ".join(f"{name}: p10, p50 | {card['good_s']:g} s or more | missed" for name in names)
    false = "; ".join(
        f"{name} {each['count']} in {each['hours']} h (at most {each['per_hour_upper_95']} an hour, 95 %)"
        for name, each in card["false"].items()
    )
    rows = [("all", card["all"])]
    for group in ("by_sight", "by_speed", "by_speed_and_sight", "by_siren"):
        rows += card[group].items()
    rows += [(f"{name}, {card['card_drive']}", line) for name, line in card["card"].items()]
    late = ", ".join(f"{name} ({lead_s:g} s)" for name, lead_s in card["late"].items()) or "none"
    about = (
        "Siren 115 dB at 3 m, street 68 dB, 20 dB less behind buildings until in sight; "
        f"{card['minutes_of_drives']} minutes of drives. A missed drive counts as 0 s. The ideal calls from the moment "
        "that the siren is 5 dB under the street."
    )
    return "\n".join(
        [
            "# Seconds before the stop line",
            "",
            about,
            "",
            f"False calls: {false}.",
            "",
            f"Lead by less than {LATE_S:g} s at {card['card_drive']} of sight: {late}.",
            "",
            f"| | drives | {head} |",
            "|---|---|" + "---|---|---|" * len(names),
            *[
                f"| {title} | {line['ideal']['drives']} | "
                + " | ".join(
                    f"{each['p10_s']}, {each['p50_s']} s | {100.0 * each['good']:.0f} % | {each['missed']}"
                    for each in line.values()
                )
                + " |"
                for title, line in rows
            ],
            "",
        ]
    )
