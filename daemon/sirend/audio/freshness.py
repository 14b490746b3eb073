"""Whether sound that comes over a network is of now: pure, in the stream's seconds against the monotonic clock.

A camera or a network that was held up sends seconds of old sound at once. An old siren must not call.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

SETTLE_S = 0.5
"""A stream that is new counts as being of now when its sound has come no faster than time passes for so long."""
SLACK_S = 0.1
"""How much faster sound may come meanwhile: packets are grouped."""
LATE_S = 1.0
"""Sound that comes so much later than the stream's earliest says nothing of now."""
DRIFT = 0.001
"""By how much of the time that passes a camera's clock may be slow, without its sound counting as late."""
JUMP_S = 0.5
"""Where time stamps jump by more, forth or back, the stream counts as new; a smaller hole is a gap."""
HOLE_S = 0.005
"""Time stamps are rounded; less is no hole."""


class Age(Enum):
    """What to do with a piece of sound."""

    FRESH = "fresh"
    AFTER_HOLE = "after a hole"
    """It is of now, and samples are missing before it."""
    STALE = "stale"
    """It is old, or nobody knows yet: it is to be thrown away."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """What is known of a stream."""

    due_s: float | None = None
    """The time stamp that comes next where nothing is missing."""
    lead_s: float = -math.inf
    """How far the stream is ahead of the monotonic clock at its best, up to a constant."""
    rose_s: float = -math.inf
    """When the lead rose last."""
    at_s: float = -math.inf
    is_settled: bool = False
    is_whole: bool = False
    """Whether the piece before was fresh."""
    jumps: int = 0
    """How often time stamps have jumped."""
    stale_s: float = 0.0
    """Seconds thrown away."""


def step(state: Freshness, at_s: float, length_s: float, now_s: float) -> tuple[Freshness, Age]:
    """Return the state after a piece of ``length_s``, of time stamp ``at_s``, that came at ``now_s``; what to do."""
    hole_s = 0.0 if state.due_s is None else at_s - state.due_s
    if abs(hole_s) > JUMP_S:
        state = Freshness(jumps=state.jumps + 1, stale_s=state.stale_s)
        hole_s = 0.0
    lead_s = at_s + length_s - now_s
    best_s = state.lead_s if state.is_settled else state.lead_s + SLACK_S
    rose_s = now_s if lead_s > best_s else state.rose_s
    if state.is_settled:
        passed_s = max(0.0, now_s - state.at_s)
        kept_s = max(lead_s, state.lead_s - DRIFT * passed_s)
        is_stale = kept_s - lead_s > LATE_S
    else:
        is_stale = now_s - rose_s < SETTLE_S
        is_new = lead_s > best_s or not math.isfinite(state.lead_s)
        kept_s = lead_s if is_new else state.lead_s if is_stale else max(lead_s, state.lead_s)
    # One new state for each of fifty packets a second: a copy costs more than all of the arithmetic.
    after = replace(
        state,
        due_s=at_s + length_s,
        lead_s=kept_s,
        rose_s=rose_s,
        at_s=now_s,
        is_settled=state.is_settled or not is_stale,
        is_whole=not is_stale,
        stale_s=state.stale_s + (length_s if is_stale else 0.0),
    )
    if is_stale:
        return after, Age.STALE
    return after, Age.FRESH if state.is_whole and abs(hole_s) <= HOLE_S else Age.AFTER_HOLE
