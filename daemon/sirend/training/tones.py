"""What kind of siren events say that it is, against what it was: over simulated drive-bys and labelled recordings.

Every statement of a call counts, its beginning and each of its repetitions, as a controller gets them. A recording
whose tone nobody wrote down says how often sirens are named at all.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sirend.call.state import CallState
from sirend.detect.classifier import Classifier
from sirend.detect.tone import Tone
from sirend.simulate.scene import Scene, render_scene
from sirend.simulate.sirens import HORN, TONES
from sirend.training import work
from sirend.training.corpus import Kind
from sirend.training.hearing import events_of_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from sirend.detect.bundle import Bundle
    from sirend.training.corpus import Corpus

SPEED_KMH, START_M, SIGHT_M, AFTER_M = 50.0, 180.0, 130.0, 60.0
"""The drive: most of it in sight, past the microphone and away."""
NOT_SAID = "not said"
"""Tone of a recording of which nobody wrote one down."""
_NAMED = {
    "yelp": Tone.YELP, "rumbler": Tone.YELP, "phaser": Tone.PHASER, HORN: Tone.HORN, "mechanical": Tone.WAIL,
    "wail": Tone.WAIL, "wail-msc": Tone.WAIL,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ToneJob:
    """One sound: a drive, or a recording."""

    profile: str
    siren: str
    seed: int
    clip: int | None = None
    """Its place in the corpus."""


def tone_of_siren(profile: str, siren: str) -> Tone:
    """Return what a siren of the table is: what is named nowhere else is a two-tone, but for Japan's two wails."""
    return Tone.WAIL if profile == "jp" and siren in ("police", "fire") else _NAMED.get(siren, Tone.HILO)


def plan_tones(rounds: int, seed: int, corpus: Corpus | None = None) -> list[ToneJob]:
    """Return a drive of each siren of the table for each of ``rounds``, and every recorded siren of the corpus."""
    rng = np.random.default_rng((seed, 20))
    tasks = [
        ToneJob(profile, siren, int(rng.integers(1 << 31))) for _ in range(rounds) for profile, siren in sorted(TONES)
    ]
    clips = [] if corpus is None else corpus.where(lambda clip: clip.kind is Kind.EMERGENCY)
    return tasks + [ToneJob("", "", 0, clip) for clip in clips]


def hear_tones(
    tasks: Sequence[ToneJob], bundle: Bundle, folder: Path, corpus: Corpus | None = None
) -> list[Counter[str]]:
    """Return how often each tone was told in each task, on all cores; what ``folder`` holds is not run again."""

    def prepare() -> Callable[[int], dict[str, Any]]:
        classifier = Classifier(bundle)

        def listen(number: int) -> dict[str, Any]:
            task = tasks[number]
            pcm = render_scene(_scene(task)).pcm if task.clip is None or corpus is None else corpus.audio(task.clip)
            told = (
                event.tone or Tone.UNKNOWN
                for event in events_of_stream(bundle, classifier, [pcm])
                if event.state is CallState.APPROACHING
            )
            return {"told": np.array(json.dumps(Counter(told)))}

        return listen

    clips = [] if corpus is None else [clip.path for clip in corpus.clips]
    identity = json.dumps([bundle.identity, clips, [asdict(task) for task in tasks]])
    spread = work.spread(prepare, len(tasks), identity, folder, title="tones")
    return [Counter(json.loads(str(each["told"]))) for each in spread]


def _scene(task: ToneJob) -> Scene:
    return Scene(task.siren, task.profile, START_M, AFTER_M, SPEED_KMH, in_sight_m=SIGHT_M, seed=task.seed)


def tone_figures(
    tasks: Sequence[ToneJob], told: Sequence[Counter[str]], corpus: Corpus | None = None
) -> dict[str, Any]:
    """Return the confusion matrices of drives and, where there are any, of recordings, JSON values."""
    drives: dict[str, Counter[str]] = {}
    recordings: dict[str, Counter[str]] = {}
    for task, each in zip(tasks, told, strict=True):
        if task.clip is None:
            drives.setdefault(tone_of_siren(task.profile, task.siren), Counter()).update(each)
        elif corpus is not None:
            recordings.setdefault(corpus.clips[task.clip].tone or NOT_SAID, Counter()).update(each)
    return {"drives": _card(drives)} | ({"recordings": _card(recordings)} if recordings else {})


def _card(matrix: Mapping[str, Counter[str]]) -> dict[str, Any]:
    said = [(true, tone, count) for true, counts in matrix.items() for tone, count in counts.items()]
    claims = [(true, tone, count) for true, tone, count in said if tone != Tone.UNKNOWN]
    checked = sum(count for true, _, count in claims if true != NOT_SAID)
    right = sum(count for true, tone, count in claims if true == tone)
    named, everything = sum(count for *_, count in claims), sum(count for *_, count in said)
    return {
        "matrix": {true: dict(sorted(counts.items())) for true, counts in sorted(matrix.items())},
        "statements": everything,
        "claims": named,
        "claims_checked": checked,
        "named": round(named / everything, 4) if everything else None,
        "wrong": round(1.0 - right / checked, 4) if checked else None,
    }


def tone_section(card: Mapping[str, Any]) -> str:
    """Return the section ``Tone`` of a report."""
    lines = ["## Tone", "", "Statements of calls; a row is what the siren was, a column what events said.", ""]
    titles = {"drives": "simulated drive-bys", "recordings": "recordings"}
    for key, title in titles.items():
        if key not in card:
            continue
        each = card[key]
        tones = [tone for tone in Tone if any(tone in counts for counts in each["matrix"].values())]
        lines += [f"| {title} | {' | '.join(tones)} |", "|---" * (len(tones) + 1) + "|"]
        for true, counts in each["matrix"].items():
            lines.append(f"| {true} | {' | '.join(str(counts.get(tone, 0)) for tone in tones)} |")
        wrong = "nothing to compare" if each["wrong"] is None else f"{100.0 * each['wrong']:.1f} % of them wrong"
        named = "no statement" if each["named"] is None else f"{100.0 * each['named']:.1f} % named"
        lines += [
            "",
            f"{each['statements']} statements: {named}, {wrong} ({each['claims_checked']} claims checked).",
            "",
        ]
    return "\n".join(lines)
