"""The polyphonic sound detection score, through ``sed-scores-eval``: one figure over all thresholds."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sirend.training.decision import Series

log = logging.getLogger(__name__)

TOLERANCE = 0.1
"""Share of a detection that must be siren, and of a siren that must be detected: DCASE's second scenario, whose alarm
matters more than its edges. Its cross triggers need other classes, and there are none."""
MOST_PER_HOUR = 100.0
"""False detections an hour up to which the curve counts, as in DCASE."""


def score(
    streams: Sequence[Series], sirens: Sequence[Sequence[tuple[float, float]]], seconds: Sequence[float]
) -> float:
    """Return PSDS, 0..1, of streams with the intervals of their sirens, s, and lengths, s.

    nan without a siren, and where the extra ``psds`` is not installed.

    A window's score stands for the hop that ends with it.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # what it brings imports pkg_resources, which warns of its end
            from sed_scores_eval.base_modules.scores import create_score_dataframe  # noqa: PLC0415
            from sed_scores_eval.intersection_based import psds  # noqa: PLC0415  slow to import, only for reports
    except ModuleNotFoundError:
        log.warning("no PSDS in this report: make venv EXTRAS=psds")
        return float("nan")

    if not any(sirens):
        return float("nan")
    names = [f"stream{number}" for number in range(len(streams))]
    tables, truth = {}, {}
    for name, (end_s, value), intervals in zip(names, streams, sirens, strict=True):
        hop_s = float(end_s[1] - end_s[0]) if len(end_s) > 1 else float(end_s[0])
        tables[name] = create_score_dataframe(
            value[:, np.newaxis], timestamps=np.append(end_s[0] - hop_s, end_s), event_classes=["siren"]
        )
        truth[name] = [(begin_s, over_s, "siren") for begin_s, over_s in intervals]
    return float(
        psds(
            scores=tables, ground_truth=truth, audio_durations=dict(zip(names, seconds, strict=True)),
            dtc_threshold=TOLERANCE, gtc_threshold=TOLERANCE, alpha_ct=0.0, alpha_st=0.0,
            unit_of_time="hour", max_efpr=MOST_PER_HOUR,
        )[0]
    )  # fmt: skip
