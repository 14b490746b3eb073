"""Scores of windows that remember nothing become evidence of a siren and its onset.

The evidence is Page's cumulative sum (Biometrika 41, 1954), the quickest way to tell a change from stray windows:
what each score's log-odds exceed the threshold's by adds up, what they lack wears the sum down, and it never falls
below nothing. A clear siren is believed within three windows, a faint one within seconds, a stray window never.
"""

from __future__ import annotations

import math

from sirend.audio.stream import SAMPLE_RATE_HZ, Samples, Score
from sirend.detect.tracker import Track

ENOUGH = 1.5
"""Sum that makes a siren, log-odds times seconds: 1.5 s of scores with odds e times those of the threshold."""
_MOST = 3.0 * ENOUGH
"""The sum grows no further, so that the end of a long siren is noticed as soon as that of a short one."""
_WINDOWS = 3
"""No fewer windows make the sum, however sure each is."""
_LOG_ODDS_LIMIT = 5.0
"""Scores count as .0067 to .9933, so that no single window outweighs the rest, whatever the classifier says."""
_STEEP = 4.0 / ENOUGH
"""Log-odds of evidence for each unit of the sum: none at all lies 4 below the threshold."""
_FORGET_S = 2.0
"""What was heard before a pause as long as a window says nothing of now."""


class WindowedTracker:
    """Follows one approach. Scores come in order of their ends."""

    def __init__(self, approach: str, hop: Samples, *, enter: float = 0.5) -> None:
        """Follow ``approach`` through windows ``hop`` samples apart; scores over ``enter``, 0..1, speak for a siren."""
        self._approach = approach
        self._hop = hop
        self._enter = _log_odds(enter)
        self.reset()

    def reset(self) -> None:
        """Forget everything: what was heard before says nothing about now."""
        self._sum = 0.0
        self._run = (0.0, 0)
        self._previous: Samples | None = None
        self._onset: Samples | None = None

    def update(self, score: Score) -> Track:
        """Take the score of the next window. One that is not a number counts as 0."""
        log_odds = _log_odds(score.siren if math.isfinite(score.siren) else 0.0)
        step = self._hop if self._previous is None else score.end - self._previous
        broken = step > self._hop
        self._previous = score.end
        if step > _FORGET_S * SAMPLE_RATE_HZ:
            self._sum = 0.0
        gained = min((log_odds - self._enter) * self._hop / SAMPLE_RATE_HZ, ENOUGH / _WINDOWS)
        self._sum = min(max(self._sum + gained, 0.0), _MOST)
        if self._sum <= 0.0:
            self._onset, self._run = None, (0.0, 0)
        else:
            if self._onset is None or broken:
                self._onset, self._run = score.end, (0.0, 0)
            self._run = (self._run[0] + log_odds, self._run[1] + 1)
        total, windows = self._run
        return Track(
            end=score.end,
            approach=self._approach,
            evidence=_probability(self._enter + _STEEP * (self._sum - ENOUGH)),
            onset=score.end if self._onset is None else self._onset,
            level_dbfs=score.level_dbfs,
            confidence=_probability(total / windows) if windows else 0.0,
        )


def _log_odds(probability: float) -> float:
    """Return ln(p / (1 - p)), limited."""
    if probability <= 0.0:
        return -_LOG_ODDS_LIMIT
    if probability >= 1.0:
        return _LOG_ODDS_LIMIT
    return max(-_LOG_ODDS_LIMIT, min(_LOG_ODDS_LIMIT, math.log(probability / (1.0 - probability))))


def _probability(log_odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-log_odds))
