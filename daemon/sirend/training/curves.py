"""DET and PR curves of detectors over the same clips, one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]

_TICKS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


def rates(score: Floats, siren: Flags) -> tuple[Floats, Floats]:
    """Return false-alarm and miss rate over clips at each threshold that occurs, falling, float64[levels] each.

    A clip counts as called when its score, 0..1, is at least the threshold.
    """
    levels = np.unique(score)[::-1]
    wrong, right = np.sort(score[~siren]), np.sort(score[siren])
    alarms = len(wrong) - np.searchsorted(wrong, levels, side="left")
    misses = np.searchsorted(right, levels, side="left")
    return alarms / max(1, len(wrong)), misses / max(1, len(right))


def precision_recall(score: Floats, siren: Flags) -> tuple[Floats, Floats]:
    """Return precision and recall over clips at each threshold that occurs, falling, float64[levels] each."""
    alarm_rate, miss_rate = rates(score, siren)
    right = (1.0 - miss_rate) * siren.sum()
    return right / np.maximum(right + alarm_rate * (~siren).sum(), 1.0), 1.0 - miss_rate


def equal_error_rate(score: Floats, siren: Flags) -> float:
    """Return the rate at which false alarms and misses meet, 0..1: the mean of the two nearest each other."""
    alarm_rate, miss_rate = rates(score, siren)
    nearest = int(np.argmin(np.abs(alarm_rate - miss_rate)))
    return float(alarm_rate[nearest] + miss_rate[nearest]) / 2.0


def draw_curves(path: Path, detectors: Mapping[str, tuple[Floats, Flags]]) -> None:
    """Draw DET, on normal deviates (Martin et al., Eurospeech 1997), and PR of ``detectors``, scores and truth."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  only where a picture is drawn
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(11, 5), layout="constrained")
    FigureCanvasAgg(figure)
    det, pr = figure.subplots(1, 2)
    for name, (score, siren) in detectors.items():
        least = 0.5 / max(1, len(score))
        alarm_rate, miss_rate = (np.clip(rate, least, 1.0 - least) for rate in rates(score, siren))
        det.plot(stats.norm.ppf(alarm_rate), stats.norm.ppf(miss_rate), drawstyle="steps-post", label=name)
        precision, recall = precision_recall(score, siren)
        pr.plot(recall, precision, drawstyle="steps-post", label=name)
    ticks, labels = stats.norm.ppf(_TICKS), [f"{100 * tick:g}" for tick in _TICKS]
    det.set_xticks(ticks, labels)
    det.set_yticks(ticks, labels)
    det.set(title="DET", xlabel="false alarms, % of other clips", ylabel="misses, % of siren clips")
    pr.set(title="Precision and recall", xlabel="recall", ylabel="precision", xlim=(0.0, 1.02), ylim=(0.0, 1.02))
    for axes in (det, pr):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=110)
