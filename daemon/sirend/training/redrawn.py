"""What would be called of sirens had the streets left out been others.

One or two recordings decide the threshold at which a detector calls so many times in so many hours, and with it every
recall at that threshold. So the streets are drawn again, as many of them with replacement (bootstrap, Efron 1979), and
the mean of what follows is what to expect of streets like these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sirend.training import decision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sirend.call.rules import Recommended
    from sirend.training.decision import Series
    from sirend.training.passages import Passage

DRAWS = 400
_SEED = 3


@dataclass(frozen=True, slots=True)
class Expected:
    """Recall over streets drawn again."""

    recall: Mapping[str, float]
    """Mean share called, 0..1, of each kind of siren at each ratio."""
    deviation: float
    """Standard deviation of the mean over all kinds and ratios, from draw to draw."""


def expected_recall(
    planned: Sequence[Passage], series: Sequence[Series], point: Recommended, false_calls: Sequence[int]
) -> dict[int, Expected]:
    """Return what is called at thresholds that call in at most so many of the streets; {} without streets or sirens."""
    streets: list[float] = []
    sirens: dict[str, list[float]] = {}
    for passage, one in zip(planned, series, strict=True):
        if passage.kind == "street":
            streets.append(decision.highest(one, point))
        elif passage.kind in ("siren", "tone"):
            key = f"{passage.kind} {passage.snr_db:+.0f}"
            sirens.setdefault(key, []).append(decision.highest(one, point, passage.begin_s))
    if not streets or not sirens:
        return {}
    drawn = np.random.default_rng(_SEED).choice(np.array(streets), (DRAWS, len(streets)))
    drawn = np.concatenate([np.sort(drawn)[:, ::-1], np.zeros((DRAWS, max(false_calls)))], axis=1)
    levels = {key: np.array(each) for key, each in sirens.items()}
    out = {}
    for most in false_calls:
        shares = {key: np.mean(each > drawn[:, most, np.newaxis], axis=1) for key, each in levels.items()}
        of_sirens = np.mean([share for key, share in shares.items() if key.startswith("siren")] or [0.0], axis=0)
        recall = {key: round(float(share.mean()), 4) for key, share in shares.items()}
        out[most] = Expected(recall, round(float(np.std(of_sirens)), 4))
    return out
