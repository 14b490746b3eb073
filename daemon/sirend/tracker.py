"""Scores of single windows become evidence of a siren, its onset and a careful word on its motion.

The evidence is a running mean of log-odds with a short memory: one stray window neither makes nor breaks a siren, and a
run of high scores is believed within a few windows.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from sirend.audio import SAMPLE_RATE_HZ, Samples, Score

_MEMORY_S = 0.5
"""Time constant of the mean: after 2 s a window weighs 2 % of what it did. At 0.25 s a hop, one window of score 1 in
silence lifts the evidence to .25, and the third in a run brings it to .94."""
_LOG_ODDS_LIMIT = 5.0
"""Scores count as .0067 to .9933, so that no single window outweighs the rest, whatever the classifier says."""
_MOTION_S = 6.0
_MOTION_LEAST_S = 3.0
_MOTION_LEAST_DB = 6.0
"""Half or double the distance to a source in the open changes its level by 6 dB."""
_MOTION_LEAST_FIT = 0.8
"""Share of the level's variance that a straight line must explain: a lorry or a gust passes in a hump."""


class Motion(StrEnum):
    """Where the vehicle is going, as far as one microphone can tell."""

    APPROACHING = "approaching"
    DEPARTING = "departing"
    STATIONARY = "stationary"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Track:
    """What is believed of one approach at the end of a window."""

    end: Samples
    """The window's end."""
    approach: str
    evidence: float
    """Probability that a siren is present, 0..1, from the last 2 s of scores."""
    onset: Samples
    """End of the first window of the present run of evidence; ``end`` itself while there is none."""
    level_dbfs: float
    """RMS level of the window, ``SILENCE_DBFS``..0."""
    motion: Motion


class Tracker:
    """Follows one approach. Scores come in order of their ends."""

    def __init__(self, approach: str, hop: Samples, *, enter: float = 0.5) -> None:
        """Follow ``approach`` through windows ``hop`` samples apart; a run of evidence begins at ``enter``, 0..1."""
        self._approach = approach
        self._hop = hop
        self._enter = enter
        self.reset()

    def reset(self) -> None:
        """Forget everything: what was heard before says nothing about now."""
        self._log_odds = -_LOG_ODDS_LIMIT
        self._previous: Samples | None = None
        self._onset: Samples | None = None
        self._levels: deque[tuple[float, float]] = deque()

    def update(self, score: Score) -> Track:
        """Take the score of the next window. One that is not a number counts as 0."""
        siren = score.siren if math.isfinite(score.siren) else 0.0
        step = self._hop if self._previous is None else score.end - self._previous
        broken = step > self._hop
        self._previous = score.end
        weight = 1.0 - math.exp(-step / (SAMPLE_RATE_HZ * _MEMORY_S))
        self._log_odds += weight * (_log_odds(siren) - self._log_odds)
        evidence = 1.0 / (1.0 + math.exp(-self._log_odds))
        if max(siren, evidence) < self._enter:
            self._onset = None
        elif self._onset is None or broken:
            self._onset = score.end
        return Track(
            end=score.end,
            approach=self._approach,
            evidence=evidence,
            onset=score.end if self._onset is None else self._onset,
            level_dbfs=score.level_dbfs,
            motion=self._motion(score, broken=broken),
        )

    def _motion(self, score: Score, *, broken: bool) -> Motion:
        """Return the sign of the level's slope over the present run where it is beyond doubt."""
        if self._onset is None or broken:
            self._levels.clear()
        self._levels.append((score.end / SAMPLE_RATE_HZ, score.level_dbfs))
        while self._levels[-1][0] - self._levels[0][0] > _MOTION_S:
            self._levels.popleft()
        span_s = self._levels[-1][0] - self._levels[0][0]
        if self._onset is None or span_s < _MOTION_LEAST_S:
            return Motion.UNKNOWN
        slope, fit = _line(self._levels)
        if abs(slope) * span_s < _MOTION_LEAST_DB or fit < _MOTION_LEAST_FIT:
            return Motion.UNKNOWN
        return Motion.APPROACHING if slope > 0.0 else Motion.DEPARTING


def _log_odds(probability: float) -> float:
    """Return ln(p / (1 - p)), limited."""
    if probability <= 0.0:
        return -_LOG_ODDS_LIMIT
    if probability >= 1.0:
        return _LOG_ODDS_LIMIT
    return max(-_LOG_ODDS_LIMIT, min(_LOG_ODDS_LIMIT, math.log(probability / (1.0 - probability))))


def _line(points: deque[tuple[float, float]]) -> tuple[float, float]:
    """Return slope and coefficient of determination of the least-squares line through (x, y) points."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    xx = sum((x - mean_x) ** 2 for x, _ in points)
    yy = sum((y - mean_y) ** 2 for _, y in points)
    xy = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return xy / xx, (xy * xy / (xx * yy) if yy > 0.0 else 0.0)
