"""What is worth keeping of a street to teach a model: what was nearly called, and quiet minutes drawn at random."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from sirend.audio.stream import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from sirend.audio.stream import Pcm
    from sirend.evidence.clip import Hop

NEAR = 0.5
"""Score of a window that was nearly a siren."""
BEFORE_S, AFTER_S, LONGEST_S = 8.0, 4.0, 30.0
"""What is kept around such windows, and how much at most."""
APART_S = 30.0
"""What comes sooner after such a piece is more of the same."""
LONGEST_HOLE_S = 1.0
QUIET_S = 60.0
EVERY_S = 3600.0
"""One quiet piece is drawn from each of these spans."""


class Worth(StrEnum):
    """Why a piece was kept."""

    NEAR = "near"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of sound of one approach."""

    approach: str
    worth: Worth
    score: float
    """The highest of its windows, 0..1."""
    pcm: Pcm
    """float32[n] in [-1, 1]; what is missing in it is silent."""


@dataclass(slots=True)
class Chooser:
    """Follows one approach, window by window."""

    approach: str
    rng: np.random.Generator
    _past: deque[Hop] = field(default_factory=deque)
    _near: list[Hop] = field(default_factory=list)
    _quiet: list[Hop] = field(default_factory=list)
    _near_until: int = 0
    _free_at: int = 0
    _drawn: int | None = None
    _span: int = -1

    def add_hop(self, hop: Hop) -> list[Piece]:
        """Take the next hop; return the pieces that it completes. What spans a hole in the sound is dropped."""
        if self._past and hop.end - self._past[-1].end > LONGEST_HOLE_S * SAMPLE_RATE_HZ:
            self._past.clear()
            self._near, self._quiet = [], []
        done = [self._add_near(hop), self._add_quiet(hop)]
        self._past.append(hop)
        while self._past[0].end <= hop.end - BEFORE_S * SAMPLE_RATE_HZ:
            self._past.popleft()
        return [piece for piece in done if piece is not None]

    def _add_near(self, hop: Hop) -> Piece | None:
        if hop.heard.score >= NEAR and (self._near or hop.end >= self._free_at):
            self._near = self._near or list(self._past)
            self._near_until = hop.end + int(AFTER_S * SAMPLE_RATE_HZ)
        if not self._near:
            return None
        self._near.append(hop)
        if hop.end < self._near_until and hop.end - self._near[0].end < LONGEST_S * SAMPLE_RATE_HZ:
            return None
        hops, self._near = self._near, []
        self._free_at = hop.end + int(APART_S * SAMPLE_RATE_HZ)
        return piece_of(self.approach, Worth.NEAR, hops)

    def _add_quiet(self, hop: Hop) -> Piece | None:
        span = int(hop.end // (EVERY_S * SAMPLE_RATE_HZ))
        if span != self._span:
            self._span = span
            self._drawn = int((span * EVERY_S + self.rng.uniform(0.0, EVERY_S - 2.0 * QUIET_S)) * SAMPLE_RATE_HZ)
        if self._drawn is None or hop.end < self._drawn:
            return None
        if hop.heard.score >= NEAR:  # not quiet: try again from here
            self._quiet.clear()
            return None
        self._quiet.append(hop)
        if hop.end - self._quiet[0].end < QUIET_S * SAMPLE_RATE_HZ:
            return None
        hops, self._quiet, self._drawn = self._quiet, [], None
        return piece_of(self.approach, Worth.QUIET, hops)


def piece_of(approach: str, worth: Worth, hops: list[Hop]) -> Piece:
    """Return the sound of ``hops``, oldest first, as one piece."""
    first = hops[0].end - len(hops[0].pcm)
    pcm = np.zeros(hops[-1].end - first, dtype=np.float32)
    for hop in hops:
        until = hop.end - first
        pcm[until - len(hop.pcm) : until] = hop.pcm
    return Piece(approach, worth, max(hop.heard.score for hop in hops), pcm)
