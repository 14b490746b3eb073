"""Scores become evidence of a siren, its onset and how sure it is.

A network that remembers seconds has weighed them itself: its score is the evidence, two in a row are a siren, and a run
of them outlasts a second below. Measured on a fold kept back, at one false call an hour on street, this calls .43 .66
.86 .90 .92 .96 of the sirens at -15 to +10 dB, with a median of 1.38 s; adding scores up (Page's cumulative sum) and
then confirming for .75 s, .32 .55 .72 .84 .91 .92 with 2.75 s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sirend.audio.stream import SAMPLE_RATE_HZ, Samples, Score
from sirend.detect.motion import Motion
from sirend.detect.tone import Tone

if TYPE_CHECKING:
    from sirend.detect.arrival import Arrival
    from sirend.detect.bearing import Bearing

LINGER_S = 1.0
"""A run of evidence outlasts so long under the lower threshold: the pause of a siren of short notes."""
_LOG_ODDS_LIMIT = 5.0
"""Scores count as .0067 to .9933 in the confidence, so that no single window outweighs the rest."""


@dataclass(frozen=True, slots=True)
class Track:
    """What is believed of one approach at the end of a window."""

    end: Samples
    """The window's end."""
    approach: str
    evidence: float
    """Whether a siren is present, 0..1: from the threshold ``enter`` on it is."""
    onset: Samples
    """End of the first window of the present run of evidence; ``end`` itself while there is none."""
    level_dbfs: float
    """RMS level of the window, ``SILENCE_DBFS``..0."""
    motion: Motion = Motion.UNKNOWN
    """What ``motion_of`` says of the pitch and level since the onset; the tracker itself does not know."""
    confidence: float = 0.0
    """Probability of a siren, 0..1: the scores of the present run, averaged as log-odds; 0 while there is none."""
    tone: Tone = Tone.UNKNOWN
    """What ``tone_of`` says of the pitch since the onset; nor does it know that."""
    bearing: Bearing | None = None
    """Where it comes from, where an array hears it and knows; the tracker itself does not."""
    arrival: Arrival | None = None
    """How long it still needs, where it comes nearer and that is known; nor does the tracker."""
    is_others: bool = False
    """Whether it comes by another leg, after one that came by this leg has passed; nor does the tracker know that."""

    @property
    def is_suspected(self) -> bool:
        """Whether there is a run of evidence, be it of this window alone."""
        return self.confidence > 0.0


class Tracker:
    """Follows one approach. Scores come in order of their ends."""

    def __init__(self, approach: str, hop: Samples, *, enter: float = 0.5, leave: float = 0.25) -> None:
        """Follow ``approach`` through windows ``hop`` samples apart.

        A run of evidence begins with a score of ``enter``, 0..1, and is over when scores were below ``leave`` for
        ``LINGER_S``.
        """
        self._approach = approach
        self._hop = hop
        self._enter, self._leave = enter, leave
        self.reset()

    def reset(self) -> None:
        """Forget everything: what was heard before says nothing about now."""
        self._onset: Samples | None = None
        self._heard = self._previous = Samples(0)
        self._run = (0.0, 0)

    def update(self, score: Score) -> Track:
        """Take the score of the next window. One that is not a number counts as 0."""
        siren = score.siren if math.isfinite(score.siren) else 0.0
        if score.end - self._previous > self._hop:
            self._onset, self._run = None, (0.0, 0)
        self._previous = score.end
        if siren >= (self._enter if self._onset is None else self._leave):
            self._heard = score.end
            if self._onset is None:
                self._onset = score.end
        elif score.end - self._heard > LINGER_S * SAMPLE_RATE_HZ:
            self._onset, self._run = None, (0.0, 0)
        if self._onset is not None:
            total, windows = self._run
            self._run = (total + _log_odds(siren), windows + 1)
        total, windows = self._run
        return Track(
            end=score.end,
            approach=self._approach,
            evidence=siren,
            onset=score.end if self._onset is None else self._onset,
            level_dbfs=score.level_dbfs,
            confidence=_probability(total / windows) if windows else 0.0,
        )


def _log_odds(probability: float) -> float:
    """Return ln(p / (1 - p)), limited."""
    least = _probability(-_LOG_ODDS_LIMIT)
    inside = min(max(probability, least), 1.0 - least)
    return math.log(inside / (1.0 - inside))


def _probability(log_odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-log_odds))
