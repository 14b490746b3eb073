"""From what was heard to the figures that a model card states, and their page of Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sirend.audio import SAMPLE_RATE_HZ
from sirend.training import measures, stress
from sirend.training.corpus import Kind
from sirend.training.trials import LEAD_S, SIREN_S, SNRS_DB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sirend.training.corpus import Corpus
    from sirend.training.hearing import Heard
    from sirend.training.trials import Trial


@dataclass(frozen=True, slots=True)
class Judged:
    """One detector's scores over all trials."""

    clip: np.ndarray
    """float64[clips], largest score while the clip sounded."""
    siren: np.ndarray
    """bool[clips]."""
    label: np.ndarray
    """str[clips]."""
    other_s: np.ndarray
    """float64[windows], times over all streams of other sounds, one after the other."""
    other: np.ndarray
    """float64[windows], scores there."""
    mixture: Mapping[float, np.ndarray]
    """Largest score while the siren sounded, float64[mixtures], by SNR."""


def measure(recordings: Corpus, planned: list[Trial], heard: list[Heard], enter: float) -> dict[str, Any]:
    """Return all figures; ``enter`` is the shipped threshold."""
    ours = _judge(recordings, planned, heard, ours=True)
    streams = [trial for trial in planned if trial.kind == "other"]
    samples = sum(len(recordings.pcm[clip]) for trial in streams for clip in trial.clips)
    hours = samples / SAMPLE_RATE_HZ / 3600
    false_calls = sum(len(each.call_s) for trial, each in zip(planned, heard, strict=True) if trial.kind == "other")
    card: dict[str, Any] = {
        "clips": {"siren": int(ours.siren.sum()), "other": int((~ours.siren).sum())},
        "hours_of_other_sounds": round(hours, 3),
        "false_calls": false_calls,
        "false_calls_per_hour": round(false_calls / hours, 2) if hours else None,
        "false_calls_per_hour_upper_95": round(measures.poisson_upper(false_calls) / hours, 2) if hours else None,
        "calls_in_siren_clips": _called(planned, heard),
        "calls_by_snr": _calls_by_snr(planned, heard),
        "sirend": _figures(ours, hours, enter),
        "false_by_label": _by_label(ours, enter),
    }
    if any(len(each.peer_score) for each in heard):
        card["yamnet"] = _figures(_judge(recordings, planned, heard, ours=False), hours, 0.5)
    return card


def _judge(recordings: Corpus, planned: list[Trial], heard: list[Heard], *, ours: bool) -> Judged:
    clip: list[float] = []
    indices: list[int] = []
    other_s: list[np.ndarray] = []
    other: list[np.ndarray] = []
    mixture: dict[float, list[float]] = {snr_db: [] for snr_db in SNRS_DB}
    reach_s = 1.0 if ours else 0.4875
    passed_s = 0.0
    for trial, each in zip(planned, heard, strict=True):
        end_s, score = (each.end_s, each.score) if ours else (each.peer_end_s, each.peer_score)
        if trial.kind == "mixture":
            sounding = (end_s > LEAD_S) & (end_s <= LEAD_S + SIREN_S + reach_s)
            mixture[trial.snr_db].append(float(score[sounding].max(initial=0.0)))
        elif trial.kind == "siren":
            clip.append(float(score.max(initial=0.0)))
            indices.append(trial.clips[0])
        else:
            other_s.append(passed_s + end_s)
            other.append(score)
            begun_s = 0.0
            for index in trial.clips:
                over_s = begun_s + len(recordings.pcm[index]) / SAMPLE_RATE_HZ
                within = (end_s - reach_s >= begun_s) & (end_s - reach_s < over_s)
                if within.any():
                    clip.append(float(score[within].max()))
                    indices.append(index)
                begun_s = over_s
            passed_s += begun_s + 60.0
    kinds = np.array([recordings.clips[index].kind is Kind.EMERGENCY for index in indices], dtype=bool)
    return Judged(
        clip=np.array(clip),
        siren=kinds,
        label=np.array([recordings.clips[index].label for index in indices]),
        other_s=np.concatenate(other_s) if other_s else np.zeros(0),
        other=np.concatenate(other) if other else np.zeros(0),
        mixture={snr_db: np.array(scores) for snr_db, scores in mixture.items()},
    )


def _figures(judged: Judged, hours: float, enter: float) -> dict[str, Any]:
    """Return the figures of one detector: at its threshold, and at one false burst an hour."""
    matched = measures.threshold_for(judged.other_s, judged.other, int(hours)) if len(judged.other) else enter
    decided = judged.clip >= enter
    thresholds = np.unique(judged.clip)
    best = max((measures.f1(judged.clip >= level, judged.siren) for level in thresholds), default=0.0)
    return {
        "auc": round(measures.area_under_roc(judged.clip, judged.siren), 4),
        "f1": round(measures.f1(decided, judged.siren), 3),
        "f1_best": round(best, 3),
        "recall": round(float(decided[judged.siren].mean()), 3) if judged.siren.any() else None,
        "threshold": round(enter, 3),
        "bursts_per_hour": round(measures.bursts(judged.other_s, judged.other, enter) / hours, 2) if hours else None,
        "matched_threshold": round(matched, 4),
        "matched_recall": round(float((judged.clip[judged.siren] > matched).mean()), 3) if judged.siren.any() else None,
        "matched_recall_by_snr": {
            f"{snr_db:+.0f}": round(float((scores > matched).mean()), 3)
            for snr_db, scores in judged.mixture.items()
            if len(scores)
        },
    }


def _called(planned: list[Trial], heard: list[Heard]) -> dict[str, Any]:
    calls = [len(each.call_s) > 0 for trial, each in zip(planned, heard, strict=True) if trial.kind == "siren"]
    low, high = measures.wilson(sum(calls), len(calls))
    share = round(sum(calls) / len(calls), 3) if calls else None
    return {"share": share, "of": len(calls), "interval_95": [round(low, 3), round(high, 3)]}


def _calls_by_snr(planned: list[Trial], heard: list[Heard]) -> dict[str, dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {}
    for snr_db in SNRS_DB:
        pairs = zip(planned, heard, strict=True)
        starts = [
            each.call_s[each.call_s > LEAD_S]
            for trial, each in pairs
            if (trial.kind, trial.snr_db) == ("mixture", snr_db)
        ]
        if not starts:
            continue
        waits = np.array([each[0] - LEAD_S for each in starts if len(each)])
        out[f"{snr_db:+.0f}"] = {
            "recall": round(len(waits) / len(starts), 3),
            "p50_s": round(float(np.percentile(waits, 50)), 2) if len(waits) else None,
            "p95_s": round(float(np.percentile(waits, 95)), 2) if len(waits) else None,
        }
    return out


def _by_label(judged: Judged, enter: float) -> dict[str, str]:
    """Return the labels that are taken for a siren most often: clips above the threshold of all clips."""
    rows = []
    for label in np.unique(judged.label[~judged.siren]):
        of_label = judged.clip[(judged.label == label) & ~judged.siren]
        wrong = int((of_label >= enter).sum())
        if wrong:
            rows.append((wrong / len(of_label), str(label), f"{wrong} of {len(of_label)}"))
    return {label: text for _, label, text in sorted(rows, reverse=True)[:12]}


def markdown(described: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    """Return the report's page."""
    names = [name for name in ("sirend", "yamnet") if name in card]
    lines = [
        f"# {described['model']} on {', '.join(described['sets'])}",
        "",
        (
            f"{card['clips']['siren']} siren clips, {card['clips']['other']} others, "
            f"{card['hours_of_other_sounds']} h of other sounds. Made {described['made']}."
        ),
        "",
        f"| | {' | '.join(names)} |",
        "|---|" + "---|" * len(names),
    ]
    rows = {
        "AUC over clips": "auc", "F1 at the threshold": "f1", "best F1": "f1_best", "recall at the threshold": "recall",
        "threshold": "threshold", "false bursts an hour at the threshold": "bursts_per_hour",
        "clip recall at 1 false burst an hour": "matched_recall",
    }  # fmt: skip
    lines += [
        f"| {title} | " + " | ".join(str(card[name][key]) for name in names) + " |" for title, key in rows.items()
    ]
    lines += [
        f"| recall at {snr_db} dB, 1 false burst an hour | "
        + " | ".join(str(card[name]["matched_recall_by_snr"][snr_db]) for name in names)
        + " |"
        for snr_db in card["sirend"]["matched_recall_by_snr"]
    ]
    called = card["calls_in_siren_clips"]
    lines += [
        "",
        (
            f"Calls, at the shipped operating point: {card['false_calls']} false in {card['hours_of_other_sounds']} h "
            f"({card['false_calls_per_hour']} an hour, 95 % upper bound {card['false_calls_per_hour_upper_95']}); "
            f"{called['share']} of {called['of']} siren clips called."
        ),
        "",
        "| SNR, dB | called | p50, s | p95, s |",
        "|---|---|---|---|",
        *[
            f"| {snr} | {row['recall']} | {row['p50_s']} | {row['p95_s']} |"
            for snr, row in card["calls_by_snr"].items()
        ],
        "",
        "Most often taken for a siren (clips with a window over the threshold): "
        + (", ".join(f"{label} {text}" for label, text in card["false_by_label"].items()) or "none"),
        "",
        *([stress.markdown(card["stress"])] if "stress" in card else []),
    ]
    return "\n".join(lines)
