"""Simulated drive-bys and confusers in real streets: who is called, how far away, and what is taken for a siren.

Each scene is a seed and names, small to keep and rendered anew each time. Its streets are the recordings that training
keeps back whole, so that a shipped model has not heard them either.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.detect.classifier import Classifier
from sirend.simulate.levels import mix_at_snr
from sirend.simulate.scene import Scene, render_scene
from sirend.simulate.sirens import CALLING
from sirend.training import confusers, decision, measures, work
from sirend.training.hearing import score_stream
from sirend.training.peer import Peer
from sirend.training.trials import looped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from sirend.audio.stream import Pcm
    from sirend.call.rules import Rules
    from sirend.detect.bundle import Bundle
    from sirend.training.corpus import Corpus

NEAR_SNRS_DB = (-10.0, 0.0, 10.0, 20.0)
"""Peak SNR of drive-bys that begin 150 m away: heard only near the junction."""
FAR_SNRS_DB = (30.0, 40.0)
"""Of those that begin 600 m away: 120 dB at 3 m passing at 8 m through a street of 70 to 80 dB."""
DISTANCES_M = (600, 400, 300, 200, 150, 100, 50)
AUDIBLE_M = ((0, 50), (50, 100), (100, 200), (200, 300), (300, 400), (400, 601))
"""Where the vehicle is when its siren comes out of the street; 601 for those that are audible from their start."""
CONFUSER_S = 20.0
CONFUSER_SNR_DB = (0.0, 20.0)
LATE_S = 2.0
"""A call so long after the siren faded still belongs to it."""


@dataclass(frozen=True, slots=True)
class Stress:
    """One scene."""

    kind: str
    """``drive-by`` or the name of a confuser."""
    profile: str
    siren: str
    snr_db: float
    start_m: float
    seed: int
    street: int
    """Recording in the background, its place in the corpus."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it."""

    called: bool
    """Whether a call fell to the siren, or to the confuser."""
    latency_s: float | None
    """From audible to called."""
    distance_m: float | None
    """Of the vehicle when called, on its way to the junction; None after the pass."""
    seconds: float
    """Length of the scene."""
    stray: int
    """Calls while no siren was audible."""
    audible_m: float | None = None
    """Distance of the vehicle when its siren became audible."""


@dataclass(frozen=True, slots=True)
class HeardScene:
    """What was heard of one scene."""

    call_s: np.ndarray
    """float64[calls], when a call began."""
    peer_end_s: np.ndarray
    """float64[frames] of the peer; empty without one."""
    peer_score: np.ndarray
    seconds: float
    truth: dict[str, Any] | None

    def outcome(self) -> Outcome:
        """Return what became of the scene."""
        return outcome_of(self.call_s, self.seconds, self.truth)

    def peer_outcome(self, rules: Rules) -> Outcome:
        """Return what would have become of it with the peer's scores behind the same tracker and call machine."""
        return outcome_of(decision.calls((self.peer_end_s, self.peer_score), rules), self.seconds, self.truth)


def plan_scenes(streets: Sequence[int], rounds: int, seed: int) -> list[Stress]:
    """Return ``rounds`` drive-bys of each siren at each SNR, and as many times ten confusers of each kind."""
    rng = np.random.default_rng((seed, 5))
    out = []
    sirens = sorted(CALLING)
    near, far = [(snr, 150.0) for snr in NEAR_SNRS_DB], [(snr, 600.0) for snr in FAR_SNRS_DB]
    for number in range(rounds):
        for snr_db, start_m in near + far:
            for profile, siren in sirens:
                street = streets[int(rng.integers(len(streets)))]
                out.append(Stress("drive-by", profile, siren, snr_db, start_m, seed + number, street))
    for number in range(10 * rounds):
        for kind in confusers.confuser_kinds():
            street = streets[int(rng.integers(len(streets)))]
            out.append(Stress(kind, "", "", float(rng.uniform(*CONFUSER_SNR_DB)), 0.0, seed + number, street))
    return out


def streets(corpus: Corpus, usable: Iterable[int]) -> list[int]:
    """Return the clips among ``usable`` that sound most of the time and are long enough to loop."""
    return [
        index
        for index in usable
        if corpus.clips[index].seconds >= 3.0 and float(np.mean(np.abs(corpus.audio(index)) > 1e-3)) > 0.3  # noqa: PLR2004
    ]


def scene_sound(scene: Stress, corpus: Corpus, folder: Path) -> tuple[Pcm, dict[str, Any] | None]:
    """Return the scene's sound, float32[n], and the truth of a drive-by."""
    if scene.kind == "drive-by":
        drawn = Scene(
            siren=scene.siren, profile=scene.profile, start_m=scene.start_m, snr_db=scene.snr_db, seed=scene.seed,
            background=folder / corpus.clips[scene.street].path,
        )  # fmt: skip
        rendered = render_scene(drawn)
        return rendered.pcm, rendered.truth
    rng = np.random.default_rng((scene.seed, *scene.kind.encode()))
    street = looped(corpus.audio(scene.street), int(CONFUSER_S * SAMPLE_RATE_HZ))
    mixed, _ = mix_at_snr(confusers.draw_confuser(rng, len(street), scene.kind), street, scene.snr_db)
    return np.asarray(mixed / max(1.0, float(np.max(np.abs(mixed)))), dtype=np.float32), None


def outcome_of(call_s: np.ndarray, seconds: float, truth: dict[str, Any] | None) -> Outcome:
    """Return what ``call_s``, float64[calls], means for the scene."""
    if truth is None:
        return Outcome(len(call_s) > 0, None, None, seconds, 0)
    first_s, last_s = truth["audible_from_s"], truth["audible_to_s"]
    if first_s is None:
        return Outcome(called=False, latency_s=None, distance_m=None, seconds=seconds, stray=len(call_s))
    audible_m = float(np.interp(first_s, truth["time_s"], truth["distance_m"]))
    due = call_s[(call_s >= first_s) & (call_s <= last_s + LATE_S)]
    if not len(due):
        return Outcome(False, None, None, seconds, len(call_s), audible_m)
    at_s = float(due[0])
    passed = at_s >= truth["closest_s"]
    distance_m = None if passed else float(np.interp(at_s, truth["time_s"], truth["distance_m"]))
    return Outcome(True, round(at_s - first_s, 2), distance_m, seconds, int(np.sum(call_s < first_s)), audible_m)


def hear_scenes(
    planned: list[Stress], bundle: Bundle, corpus: Corpus, recordings: Path, folder: Path, peer: Path | None = None
) -> list[HeardScene]:
    """Return what was heard of each scene, on all cores; what ``folder`` holds already is not heard again."""

    def prepare() -> Callable[[int], dict[str, Any]]:
        classifier, other = Classifier(bundle), None if peer is None else Peer(peer)

        def listen(number: int) -> dict[str, Any]:
            pcm, truth = scene_sound(planned[number], corpus, recordings)
            _, _, call_s = score_stream(bundle, classifier, [pcm])
            end_s, score = (np.zeros(0), np.zeros(0)) if other is None else other.scores([pcm])
            seconds = np.array(len(pcm) / SAMPLE_RATE_HZ)
            return {
                "call_s": call_s, "peer_end_s": end_s, "peer_score": score, "seconds": seconds,
                "truth": np.array(json.dumps(truth)),
            }  # fmt: skip

        return listen

    identity = json.dumps([bundle.identity, str(peer), [asdict(scene) for scene in planned]])
    return [
        HeardScene(
            each["call_s"], each["peer_end_s"], each["peer_score"], float(each["seconds"]),
            json.loads(str(each["truth"])),
        )
        for each in work.spread(prepare, len(planned), identity, folder, title="driving by")
    ]  # fmt: skip


def stress_figures(planned: list[Stress], outcomes: list[Outcome]) -> dict[str, Any]:
    """Return the figures, JSON values."""
    pairs = list(zip(planned, outcomes, strict=True))
    passes = [(scene, outcome) for scene, outcome in pairs if scene.kind == "drive-by"]
    strange = [(scene, outcome) for scene, outcome in pairs if scene.kind != "drive-by"]
    far = [outcome for scene, outcome in passes if scene.snr_db in FAR_SNRS_DB]
    hours = sum(outcome.seconds for _, outcome in strange) / 3600
    false = sum(outcome.called for _, outcome in strange)
    loud = [(scene, outcome) for scene, outcome in passes if scene.snr_db >= 0.0]
    return {
        "drive_bys": len(passes),
        "stray_calls": sum(outcome.stray for _, outcome in passes),
        "hours_of_drive_bys": round(sum(outcome.seconds for _, outcome in passes) / 3600, 3),
        "by_peak_snr": {
            f"{snr_db:+.0f}": _line([outcome for scene, outcome in passes if scene.snr_db == snr_db])
            for snr_db in (*NEAR_SNRS_DB, *FAR_SNRS_DB)
        },
        "by_siren_at_0_db_and_more": {
            f"{profile} {siren}": _line([o for s, o in loud if (s.profile, s.siren) == (profile, siren)])
            for profile, siren in sorted({(scene.profile, scene.siren) for scene, _ in loud})
        },
        "by_audible_distance_m": {
            f"{least:g}-{most:g}": _line(
                [o for _, o in passes if o.audible_m is not None and least <= o.audible_m < most]
            )
            for least, most in AUDIBLE_M
        },
        "called_by_distance_m": {
            str(least): round(
                sum(o.distance_m is not None and o.distance_m >= least for o in far) / max(1, len(far)), 3
            )
            for least in DISTANCES_M
        },
        "confusers": {
            kind: measures.share(
                sum(o.called for s, o in strange if s.kind == kind), sum(s.kind == kind for s, _ in strange)
            )
            for kind in sorted({scene.kind for scene, _ in strange})
        },
        "false_calls_to_confusers_per_hour": round(false / hours, 2) if hours else None,
        "false_calls_to_confusers_per_hour_upper_95": round(measures.poisson_upper(false) / hours, 2)
        if hours
        else None,
    }


def _line(outcomes: list[Outcome]) -> dict[str, Any]:
    waits = [outcome.latency_s for outcome in outcomes if outcome.latency_s is not None]
    called = sum(outcome.called for outcome in outcomes)
    return {
        **measures.share(called, len(outcomes)),
        "p50_s": round(float(np.percentile(waits, 50)), 2) if waits else None,
        "p95_s": round(float(np.percentile(waits, 95)), 2) if waits else None,
    }


def stress_section(cards: Mapping[str, dict[str, Any]]) -> str:
    """Return the figures of all detectors, by name, as a section of the report's page."""
    names, first = list(cards), next(iter(cards.values()))
    head = " | ".join(f"{name}: called | p50, s | p95, s" for name in names)
    lines = [
        "## Simulated drive-bys and confusers in streets kept back from training",
        "",
        (
            f"{first['drive_bys']} drive-bys at 60 km/h, {first['hours_of_drive_bys']} h; calls while no siren was "
            "audible: "
            + ", ".join(f"{name} {card['stray_calls']}" for name, card in cards.items())
            + ". Latency counts from the moment the siren is 10 dB under the street in 300-4000 Hz; in brackets the "
            "95 % interval (Wilson)."
        ),
        "",
        f"| | {head} |",
        "|---|" + "---|---|---|" * len(names),
    ]
    for group, title in (
        ("by_peak_snr", "peak SNR {} dB"),
        ("by_siren_at_0_db_and_more", "{}, 0 dB and more"),
        ("by_audible_distance_m", "audible from {} m"),
    ):
        for key in first[group]:
            cells = " | ".join(_cells(card[group][key]) for card in cards.values())
            lines.append(f"| {title.format(key)} | {cells} |")
    distances = " | ".join(first["called_by_distance_m"])
    lines += [
        "",
        "Share called before the vehicle was nearer than (peak SNR 30 and 40 dB, from 600 m):",
        "",
        f"| m | {distances} |",
        "|---|" + "---|" * len(first["called_by_distance_m"]),
        *[
            f"| {name} | " + " | ".join(map(measures.figure_text, card["called_by_distance_m"].values())) + " |"
            for name, card in cards.items()
        ],
        "",
        "| confuser called | " + " | ".join(names) + " |",
        "|---|" + "---|" * len(names),
    ]
    lines += [
        f"| {kind} | " + " | ".join(measures.share_text(card["confusers"][kind]) for card in cards.values()) + " |"
        for kind in first["confusers"]
    ]
    rate, bound = "false_calls_to_confusers_per_hour", "false_calls_to_confusers_per_hour_upper_95"
    lines += [
        "| an hour (95 % upper bound) | "
        + " | ".join("-" if card[rate] is None else f"{card[rate]} ({card[bound]})" for card in cards.values())
        + " |",
        "",
    ]
    return "\n".join(lines)


def _cells(line: dict[str, Any]) -> str:
    waits = (measures.figure_text(line[key]) for key in ("p50_s", "p95_s"))
    return " | ".join((measures.share_text(line), *waits))
