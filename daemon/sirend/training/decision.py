"""From the scores of any detector to calls: the daemon's own tracker and call machine, at any threshold.

So a peer is judged as it would do in the daemon's place, not by its bare scores.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sirend.audio.stream import SILENCE_DBFS, Score, to_samples, to_seconds
from sirend.call.machine import State, step
from sirend.call.rules import Rules
from sirend.call.state import CallState
from sirend.config.settings import CallConfig, DetectConfig
from sirend.detect.tracker import Tracker
from sirend.evidence.drive import Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sirend.call.rules import Recommended

_LOG_ODDS = np.arange(-4.5, 4.51, 0.1)
"""Thresholds that are tried, as log-odds: .011 to .989."""

Series = tuple[np.ndarray, np.ndarray]
"""Ends in s and scores 0..1 of the windows of one stream, float64[windows] each."""


def rules(point: Recommended, enter: float) -> Rules:
    """Return the rules of ``point`` moved to the threshold ``enter``, 0..1: its hysteresis stays, in log-odds."""
    width = _log_odds(point.enter) - _log_odds(point.exit)
    leave = 1.0 / (1.0 + math.exp(width - _log_odds(enter)))
    return Rules.of(DetectConfig(enter=enter, exit=leave), CallConfig(), point)


def calls(series: Series, by: Rules) -> np.ndarray:
    """Return when calls begin in a stream, s, float64[calls]; its windows are evenly spaced."""
    return np.array([span.begin_s for span in spans(series, by)], dtype=np.float64)


def spans(series: Series, by: Rules) -> list[Span]:
    """Return from when until when calls stand in a stream whose windows are evenly spaced."""
    end_s, score = series
    if not len(end_s):
        return []
    hop = to_samples(float(end_s[1] - end_s[0]) if len(end_s) > 1 else 1.0)
    tracker = Tracker("peer", hop, enter=by.enter, leave=by.exit)
    state = State()
    out: list[Span] = []
    for at_s, siren in zip(end_s, score, strict=True):
        track = tracker.update(Score(to_samples(float(at_s)), "peer", float(siren), SILENCE_DBFS))
        state, transition = step(by, state, track)
        if transition is None or transition.refresh:
            continue
        if transition.state is CallState.APPROACHING:
            out.append(Span(to_seconds(transition.at), None))
        else:
            out[-1] = Span(out[-1].begin_s, to_seconds(transition.at), transition.reason)
    return out


def matched(streams: Sequence[Series], point: Recommended, most: int) -> float:
    """Return the lowest threshold, 0..1, with at most ``most`` calls in all ``streams``; the highest tried if none has.

    Calls fall with the threshold but for the rare one that a higher threshold splits in two; bisection takes that.
    """
    low, high = 0, len(_LOG_ODDS) - 1
    while low < high:
        middle = (low + high) // 2
        by = rules(point, _threshold(middle))
        if sum(len(calls(series, by)) for series in streams) <= most:
            high = middle
        else:
            low = middle + 1
    return _threshold(low)


def highest(series: Series, point: Recommended, since_s: float = 0.0) -> float:
    """Return the highest threshold tried at which a call begins after ``since_s`` in a stream, 0..1; 0 when none does.

    A lower one may call before ``since_s`` already and then not again, so it is looked for from above.
    """
    end_s, score = series
    surest = float(np.max(score[end_s > since_s], initial=0.0))
    for index in reversed(range(len(_LOG_ODDS))):
        threshold = _threshold(index)
        if threshold <= surest and (calls(series, rules(point, threshold)) > since_s).any():
            return threshold
    return 0.0


def _threshold(index: int) -> float:
    return float(1.0 / (1.0 + np.exp(-_LOG_ODDS[index])))


def _log_odds(probability: float) -> float:
    return math.log(probability / (1.0 - probability))
