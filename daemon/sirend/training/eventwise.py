"""Event-based figures of a soundscape: which sirens are called in time, and which calls have no siren."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sirend.detect.classifier import Classifier
from sirend.training import decision, measures, psds, soundscape, work
from sirend.training.hearing import score_stream
from sirend.training.peer import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from sirend.call.rules import Rules
    from sirend.detect.bundle import Bundle
    from sirend.training.corpus import Corpus
    from sirend.training.soundscape import Stretch

TOLERANCE_S = 3.0
"""A call within 3 s of the moment that its siren becomes audible is in time: the goal for the slowest twentieth."""
LATE_S = 2.0
"""A call so long after the siren faded still belongs to it."""


@dataclass(frozen=True, slots=True)
class HeardStretch:
    """What was heard in one stretch."""

    end_s: np.ndarray
    score: np.ndarray
    call_s: np.ndarray
    audible: tuple[tuple[float, float] | None, ...]
    """Of each siren in the stretch: from when to when, s; None where it never is."""
    peer_end_s: np.ndarray
    peer_score: np.ndarray

    def of_peer(self, rules: Rules) -> HeardStretch:
        """Return what the peer heard in our place, its calls by ``rules``."""
        series = (self.peer_end_s, self.peer_score)
        return replace(self, end_s=series[0], score=series[1], call_s=decision.calls(series, rules))


def hear_stretches(
    stretches: list[Stretch], bundle: Bundle, corpus: Corpus | None, folder: Path, peer: Path | None = None
) -> list[HeardStretch]:
    """Return what is heard in each stretch, on all cores; what ``folder`` holds already is not heard again."""

    def prepare() -> Callable[[int], dict[str, np.ndarray]]:
        classifier, other = Classifier(bundle), None if peer is None else Peer(peer)

        def one(number: int) -> dict[str, np.ndarray]:
            pcm, audible = soundscape.render_stretch(stretches[number], corpus)
            end_s, score, call_s = score_stream(bundle, classifier, [pcm])
            peer_end_s, peer_score = (np.zeros(0), np.zeros(0)) if other is None else other.scores([pcm])
            times = np.array([each or (math.nan, math.nan) for each in audible])
            return {
                "end_s": end_s, "score": score, "call_s": call_s, "audible": times,
                "peer_end_s": peer_end_s, "peer_score": peer_score,
            }  # fmt: skip

        return one

    identity = json.dumps([bundle.identity, str(peer), [asdict(stretch) for stretch in stretches]])
    out = []
    for each in work.spread(prepare, len(stretches), identity, folder, title="soundscape"):
        times = tuple(None if math.isnan(begin) else (float(begin), float(over)) for begin, over in each["audible"])
        out.append(HeardStretch(**{**each, "audible": times}))
    return out


def eventwise_figures(stretches: Sequence[Stretch], strolled: Sequence[HeardStretch]) -> dict[str, Any]:
    """Return the figures of one detector, JSON values; a siren that is never audible counts nowhere."""
    in_time = calls = sirens = stray = 0
    by_snr: dict[float, list[float | None]] = {}
    by_name: dict[str, list[float | None]] = {}
    for stretch, each in zip(stretches, strolled, strict=True):
        known = [(siren, span) for siren, span in zip(stretch.sirens, each.audible, strict=True) if span is not None]
        onsets = [begin for _, (begin, _) in known]
        in_time += measures.paired(onsets, list(each.call_s), TOLERANCE_S, TOLERANCE_S)
        calls, sirens = calls + len(each.call_s), sirens + len(known)
        stray += sum(not any(begin <= at <= over + LATE_S for _, (begin, over) in known) for at in each.call_s)
        for siren, (begin, over) in known:
            due = each.call_s[(each.call_s >= begin) & (each.call_s <= over + LATE_S)]
            wait = float(due[0]) - begin if len(due) else None
            by_snr.setdefault(siren.snr_db, []).append(wait)
            by_name.setdefault(siren.name, []).append(wait)
    hours = sum(stretch.seconds for stretch in stretches) / 3600.0
    spans = [[span for span in each.audible if span is not None] for each in strolled]
    precision, recall = in_time / max(1, calls), in_time / max(1, sirens)
    return {
        "tolerance_s": TOLERANCE_S,
        "sirens": sirens,
        "calls": calls,
        "in_time": in_time,
        "precision": round(precision, 3),
        "recall": round(recall, 3),
        "f1": round(2.0 * in_time / max(1, calls + sirens), 3),
        "called_at_any_time": _line([wait for waits in by_snr.values() for wait in waits]),
        "false": measures.rate(stray, hours),
        "psds": _rounded(
            psds.score([(each.end_s, each.score) for each in strolled], spans, [each.seconds for each in stretches])
        ),
        "by_snr": {f"{snr_db:+.0f}": _line(waits) for snr_db, waits in sorted(by_snr.items())},
        "by_name": {name: _line(waits) for name, waits in sorted(by_name.items())},
    }


def _line(waits: Sequence[float | None]) -> dict[str, Any]:
    known = [wait for wait in waits if wait is not None]
    return {
        **measures.share(len(known), len(waits)),
        "p50_s": round(float(np.percentile(known, 50)), 2) if known else None,
        "p95_s": round(float(np.percentile(known, 95)), 2) if known else None,
    }


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 3)


def eventwise_section(cards: Mapping[str, dict[str, Any]]) -> str:
    """Return the figures of all detectors, by name, as a section of the report's page."""
    first = next(iter(cards.values()))
    lines = [
        "## Soundscape of streets, sirens and confusers kept back from training",
        "",
        (
            f"{first['false']['hours']} h, {first['sirens']} audible sirens. A call is in time within "
            f"{first['tolerance_s']:g} s of the moment its siren is 10 dB under the street in 300-4000 Hz; "
            "precision, recall and F1 count calls in time, the lines below calls while the siren is audible. PSDS "
            f"with a tolerance of {psds.TOLERANCE:g} up to {psds.MOST_PER_HOUR:g} false detections an hour, from the "
            "bare scores."
        ),
        "",
        "| | " + " | ".join(cards) + " |",
        "|---|" + "---|" * len(cards),
    ]
    lines += [
        f"| {title} | " + " | ".join(measures.figure_text(card[key]) for card in cards.values()) + " |"
        for title, key in (("precision", "precision"), ("recall", "recall"), ("F1", "f1"), ("PSDS", "psds"))
    ]
    lines.append(
        "| false calls (95 % upper bound) | "
        + " | ".join(measures.rate_text(card["false"]) for card in cards.values())
        + " |"
    )
    rows = [("all sirens", [card["called_at_any_time"] for card in cards.values()])]
    rows += [(f"peak SNR {snr} dB", [card["by_snr"][snr] for card in cards.values()]) for snr in first["by_snr"]]
    rows += [(name, [card["by_name"][name] for card in cards.values()]) for name in first["by_name"]]
    for title, cells in rows:
        lines.append(
            f"| {title} | "
            + " | ".join(measures.share_text(cell) + measures.latency_text(cell) for cell in cells)
            + " |"
        )
    return "\n".join([*lines, ""])
