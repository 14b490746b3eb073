"""Figures of merit: pure functions of scores, labels and times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]


def area_under_roc(score: Floats, siren: Flags) -> float:
    """Return the probability that a siren scores above another sound (ties count half); nan without both."""
    positives, negatives = int(siren.sum()), int((~siren).sum())
    if not positives or not negatives:
        return float("nan")
    ranks = stats.rankdata(score)
    return float((ranks[siren].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def f1(decided: Flags, siren: Flags) -> float:
    """Return the harmonic mean of precision and recall; 0 when nothing is right."""
    right = int((decided & siren).sum())
    return 2 * right / max(1, int(decided.sum()) + int(siren.sum()))


def bursts(end_s: Floats, score: Floats, threshold: float, merge_s: float = 10.0) -> int:
    """Count runs of scores above ``threshold``; runs closer than ``merge_s`` are one false alarm, not many."""
    above = np.sort(end_s[score > threshold])
    return int(len(above) > 0) + int((np.diff(above) > merge_s).sum())


def threshold_for(end_s: Floats, score: Floats, most: int, merge_s: float = 10.0) -> float:
    """Return the lowest threshold with at most ``most`` bursts, by bisection over the scores that occur."""
    levels = np.unique(score)
    low, high = 0, len(levels) - 1
    while low < high:
        middle = (low + high) // 2
        if bursts(end_s, score, float(levels[middle]), merge_s) <= most:
            high = middle
        else:
            low = middle + 1
    return float(levels[low])


def poisson_upper(count: int, confidence: float = 0.95) -> float:
    """Return the exact one-sided upper bound of a Poisson mean after ``count`` events (Garwood 1936)."""
    return float(stats.chi2.ppf(confidence, 2 * (count + 1)) / 2)


def wilson(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % interval of a proportion (Wilson 1927); (0, 1) without trials."""
    if not trials:
        return 0.0, 1.0
    centre = (successes + z * z / 2) / (trials + z * z)
    half = z / (trials + z * z) * float(np.sqrt(successes * (trials - successes) / trials + z * z / 4))
    return max(0.0, centre - half), min(1.0, centre + half)


def share(called: int, of: int) -> dict[str, Any]:
    """Return a count with its 95 % interval (Wilson), JSON values."""
    return {"called": called, "of": of, "interval_95": [round(limit, 3) for limit in wilson(called, of)]}


def share_text(shared: Mapping[str, Any]) -> str:
    """Return what ``share`` made as a table's cell."""
    low, high = shared["interval_95"]
    return f"{shared['called']} of {shared['of']} ({low:.2f}-{high:.2f})"


def figure_text(figure: float | None) -> str:
    """Return a figure as a table's cell; a dash where there was nothing to measure."""
    return "-" if figure is None else str(figure)


def latency_text(waited: Mapping[str, Any]) -> str:
    """Return the percentiles of a latency as a table's cell; nothing where there is none."""
    return "" if waited["p50_s"] is None else f", p50 {waited['p50_s']} s, p95 {waited['p95_s']} s"


def rate_text(rated: Mapping[str, Any]) -> str:
    """Return what ``rate`` made, without its count, as a table's cell."""
    known = rated["per_hour"] is not None
    return f"{rated['per_hour']} an hour ({rated['per_hour_upper_95']})" if known else "too little heard for a rate"


def rate(count: int, hours: float) -> dict[str, Any]:
    """Return events an hour with the exact one-sided 95 % upper bound for the hours there are, JSON values."""
    known = hours > 0.0
    return {
        "count": count,
        "hours": round(hours, 3),
        "per_hour": round(count / hours, 2) if known else None,
        "per_hour_upper_95": round(poisson_upper(count) / hours, 2) if known else None,
    }


def paired(onset_s: Sequence[float], call_s: Sequence[float], before_s: float, after_s: float) -> int:
    """Count the onsets that have a call of their own from ``before_s`` before to ``after_s`` after them.

    Both go in order of time, each taking the first that fits: for intervals of one length that pairs most.
    """
    waiting, pairs = sorted(call_s), 0
    for at_s in sorted(onset_s):
        while waiting and waiting[0] < at_s - before_s:
            waiting.pop(0)
        if waiting and waiting[0] <= at_s + after_s:
            waiting.pop(0)
            pairs += 1
    return pairs
