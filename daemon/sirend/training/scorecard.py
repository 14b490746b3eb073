"""From what was heard to the figures that a model card states."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.training import decision, measures
from sirend.training.corpus import Kind
from sirend.training.trials import LEAD_S, SIREN_S, SNRS_DB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sirend.call.rules import Rules
    from sirend.detect.bundle import OperatingPoint
    from sirend.training.corpus import Corpus
    from sirend.training.hearing import Heard
    from sirend.training.trials import Trial


OUR_REACH_S = 1.0
PEER_REACH_S = 0.4875
ENTERS = (0.5, 0.7, 0.8, 0.85, 0.9, 0.95)
"""Thresholds that the operating curve is given for."""


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


def trial_figures(
    recordings: Corpus, planned: list[Trial], heard: list[Heard], point: OperatingPoint
) -> dict[str, Any]:
    """Return all figures at the shipped ``point``; a peer's calls at the threshold with as many false calls as ours."""
    ours = scores_by_clip(recordings, planned, heard)
    samples = sum(len(recordings.pcm[clip]) for trial in planned if trial.kind == "other" for clip in trial.clips)
    hours = samples / SAMPLE_RATE_HZ / 3600
    card: dict[str, Any] = {
        "clips": {"siren": int(ours.siren.sum()), "other": int((~ours.siren).sum())},
        "hours_of_other_sounds": round(hours, 3),
        "calls": {"sirend": _calls(recordings, planned, heard, hours)},
        "sirend": _figures(ours, hours, point.enter),
        "false_by_label": _by_label(ours, point.enter),
        "false_calls_by_label": _false_calls_by_label(recordings, planned, heard),
        "operating_curve": _operating_curve(planned, heard, point),
    }
    if any(len(each.peer_score) for each in heard):
        streams = [
            (each.peer_end_s, each.peer_score)
            for trial, each in zip(planned, heard, strict=True)
            if trial.kind == "other"
        ]
        threshold = decision.matched(streams, point, card["calls"]["sirend"]["false"]["count"])
        peers = of_peer(heard, decision.rules(point, threshold))
        judged = scores_by_clip(recordings, planned, peers, reach_s=PEER_REACH_S)
        card["yamnet"] = _figures(judged, hours, 0.5)
        card["calls"]["yamnet"] = _calls(recordings, planned, peers, hours)
        card["peer_threshold"] = round(threshold, 4)
    return card


def of_peer(heard: list[Heard], rules: Rules) -> list[Heard]:
    """Return what the peer heard in our place: its scores, and the calls that the daemon makes of them."""
    return [
        replace(
            each,
            end_s=each.peer_end_s,
            score=each.peer_score,
            call_s=decision.calls((each.peer_end_s, each.peer_score), rules),
        )
        for each in heard
    ]


def _calls(recordings: Corpus, planned: list[Trial], heard: list[Heard], hours: float) -> dict[str, Any]:
    """Return what is called: among other sounds, in siren clips as a whole and by label, and by SNR."""
    pairs = list(zip(planned, heard, strict=True))
    clips = [(recordings.clips[trial.clips[0]], len(each.call_s) > 0) for trial, each in pairs if trial.kind == "siren"]
    labels = sorted({f"{clip.set} {clip.label}" for clip, _ in clips})
    called = {label: [each for clip, each in clips if f"{clip.set} {clip.label}" == label] for label in labels}
    return {
        "false": measures.rate(sum(len(each.call_s) for trial, each in pairs if trial.kind == "other"), hours),
        "siren_clips": measures.share(sum(each for _, each in clips), len(clips)),
        "by_label": {label: measures.share(sum(each), len(each)) for label, each in called.items()},
        "by_snr": _calls_by_snr(planned, heard),
    }


def _false_calls_by_label(recordings: Corpus, planned: list[Trial], heard: list[Heard]) -> dict[str, int]:
    """Return how often a clip of each label was called, the most often first: the clip in the middle of the window."""
    labels: Counter[str] = Counter()
    for trial, each in zip(planned, heard, strict=True):
        if trial.kind == "other":
            over_s = np.cumsum([len(recordings.pcm[clip]) for clip in trial.clips]) / SAMPLE_RATE_HZ
            places = np.searchsorted(over_s, each.call_s - OUR_REACH_S, side="right")
            called = [recordings.clips[trial.clips[min(place, len(trial.clips) - 1)]] for place in places]
            labels.update(f"{clip.set} {clip.label}" for clip in called)
    return dict(labels.most_common())


def _operating_curve(planned: list[Trial], heard: list[Heard], point: OperatingPoint) -> dict[str, dict[str, int]]:
    """Return by threshold, whose hysteresis moves with it, the siren clips that are called and the false calls."""
    curve = {}
    for enter in ENTERS:
        by = decision.rules(point, enter)
        calls: dict[str, list[int]] = {"siren": [], "other": []}
        for trial, each in zip(planned, heard, strict=True):
            if trial.kind in calls:
                calls[trial.kind].append(len(decision.calls((each.end_s, each.score), by)))
        curve[f"{enter:g}"] = {"siren_clips": sum(map(bool, calls["siren"])), "false": sum(calls["other"])}
    return curve


def scores_by_clip(
    recordings: Corpus, planned: list[Trial], heard: list[Heard], *, reach_s: float = OUR_REACH_S
) -> Judged:
    """Return the scores by clip and mixture; ``reach_s`` is half a window: what a window tells is of its middle."""
    clip: list[float] = []
    indices: list[int] = []
    other_s: list[np.ndarray] = []
    other: list[np.ndarray] = []
    mixture: dict[float, list[float]] = {snr_db: [] for snr_db in SNRS_DB}
    passed_s = 0.0
    for trial, each in zip(planned, heard, strict=True):
        end_s, score = each.end_s, each.score
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
    area = measures.area_under_roc(judged.clip, judged.siren)
    best = max((measures.f1(judged.clip >= level, judged.siren) for level in thresholds), default=0.0)
    return {
        "auc": None if np.isnan(area) else round(area, 4),
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
            **measures.share(len(waits), len(starts)),
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
            rows.append((wrong / len(of_label), str(label), measures.share_text(measures.share(wrong, len(of_label)))))
    return {label: text for _, label, text in sorted(rows, reverse=True)[:12]}
