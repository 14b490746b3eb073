"""Which leg of the junction a siren is called for when several microphones hear it. Pure, in samples.

First come, first served: while a call stands no other starts, unless the configuration says `parallel`. Of several legs
that hear a siren before anyone calls, the loudest wins by a margin, else the one of the best priority, else the one
that heard it first. A leg that heard the siren under another's call does not call for it afterwards: the vehicle has
only driven on, out of the junction. Nor does one that hears it as the vehicle passes, when the leg by which it came has
heard it louder a moment ago and no longer does. But a siren that surely comes nearer there is another one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sirend.audio.stream import Samples, to_samples
from sirend.detect.motion import Motion

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sirend.config.settings import ArbitrationConfig


NEARING = to_samples(1.0)
"""A siren that comes nearer for so long is another one: what leaves is now and then taken for nearer in one window."""
PASSED_ON = to_samples(8.0)
"""A vehicle that was loudest so long ago is 100 m away: what begins to be heard then is another."""
FALLEN_DB = 6.0
"""A leg that hears a siren so much weaker than it did has been passed; it is twice as far away."""


@dataclass(frozen=True, slots=True)
class ArbitrationRules:
    """What is configured; times in samples."""

    is_parallel: bool
    """Every approach calls for itself."""
    margin_db: float
    """The loudest wins when it leads by so much."""
    settle: Samples
    """A confirmed siren waits so long for a better approach to confirm it too; then it is called all the same."""
    hold: Samples
    """After a call's siren is gone, approaches that heard it as well are held so long at most."""
    is_apart: bool = True
    """Each approach has a microphone of its own, so that levels tell where the siren is."""

    @classmethod
    def of(cls, config: ArbitrationConfig, *, is_apart: bool = True) -> ArbitrationRules:
        """Return the configured rules, for approaches with a microphone of their own if ``is_apart``."""
        return cls(
            is_parallel=config.mode == "parallel",
            margin_db=config.margin_db,
            settle=to_samples(config.settle_s),
            hold=to_samples(config.hold_s),
            is_apart=is_apart,
        )


@dataclass(frozen=True, slots=True)
class Bid:
    """What one approach has to say at the end of a window."""

    approach: str
    onset: Samples
    """Where its present run of evidence began, by its own device's count; a run is known by it."""
    hears: bool
    """Whether there is such a run."""
    ready: bool
    """Whether it would call now if it were alone."""
    calls: bool
    """Whether its call stands."""
    level_db: float
    """Level of the siren there, dB; comparable between approaches of equal microphones."""
    priority: int
    """1 is served first."""
    motion: Motion = Motion.UNKNOWN
    ahead: int = 0
    """Samples by which the site's count is ahead of its device's; 0 where there is one device."""
    is_others: bool = False
    """Whether what is heard is another siren than the one that it called for, which has passed."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """What an approach hears of a siren that has passed another one."""

    approach: str
    onset: Samples
    """Of its run of evidence."""
    since: Samples
    """When that was found; it is held for ``hold`` at most."""
    below_db: float
    """How loud the siren was where it passed: one that is louder here is another."""


@dataclass(frozen=True, slots=True)
class ArbitrationState:
    """What is remembered from window to window."""

    waiting: tuple[tuple[str, Samples], ...] = ()
    """Approaches that are ready and wait for a better one, and since when."""
    echoes: tuple[tuple[str, Samples], ...] = ()
    """Approaches that heard the siren under another's call, with the onset of that run."""
    called: Samples | None = None
    """The latest window in which a call stood, or its siren was still heard where it stood."""
    caller: tuple[str, Samples] | None = None
    """The approach of that call and the onset of its siren."""
    peaks: tuple[tuple[str, float, Samples], ...] = ()
    """How loud each approach heard a siren at most of late, dB, and when."""
    nearing: tuple[tuple[str, Samples], ...] = ()
    """Approaches where a siren comes nearer, and since when."""
    leaving: tuple[Leaving, ...] = ()
    """Approaches by which a siren leaves that was louder on another."""

    @property
    def is_at_rest(self) -> bool:
        """Whether a window in which nothing is heard leaves the state as it is."""
        return not (self.waiting or self.echoes or self.peaks or self.nearing)


def arbitrate(
    rules: ArbitrationRules, state: ArbitrationState, now: Samples, bids: Sequence[Bid]
) -> tuple[ArbitrationState, frozenset[str]]:
    """Return the state after the window that ends at ``now``, and the approaches that may start a call in it."""
    if rules.is_parallel:
        return state, frozenset(bid.approach for bid in bids)
    if not any(bid.hears or bid.calls for bid in bids):
        if not state.is_at_rest:
            state = replace(state, waiting=(), echoes=(), peaks=_peaks(rules, state, now, bids), nearing=())
        return state, frozenset()
    state = replace(state, peaks=_peaks(rules, state, now, bids), nearing=_nearing(state, now, bids))
    if any(bid.calls for bid in bids):
        is_another = any(bid.calls and bid.is_others for bid in bids)  # than that of the call, so no echo of it
        echoes = () if is_another else tuple((bid.approach, bid.onset) for bid in bids if bid.hears and not bid.calls)
        caller = next((bid.approach, bid.onset) for bid in bids if bid.calls)
        return replace(state, waiting=(), echoes=echoes, called=now, caller=caller), frozenset()
    if any(bid.hears and (bid.approach, bid.onset) == state.caller for bid in bids):
        state = replace(state, called=now)  # a parked siren that outlasted its call does not begin another elsewhere
    onsets = dict(state.echoes) if state.called is not None and now - state.called < rules.hold else {}
    state = replace(state, leaving=_leaving(rules, state, now, bids))
    nearing = {name for name, began in state.nearing if now - began >= NEARING}
    echoes = tuple((bid.approach, bid.onset) for bid in bids if _is_echo(bid, onsets, nearing))
    held = {name for name, _ in echoes} | {each.approach for each in state.leaving if each.approach not in nearing}
    hearing = [bid for bid in bids if bid.hears and bid.approach not in held]
    since = dict(state.waiting)
    waiting = tuple((bid.approach, since.get(bid.approach, now)) for bid in hearing if bid.ready)
    state = replace(state, waiting=waiting, echoes=echoes)
    best = _best(rules, hearing)
    if best is None:
        return state, frozenset()
    if best.ready:
        return state, frozenset((best.approach,))
    late = [bid for bid in hearing if bid.ready and now - dict(waiting)[bid.approach] >= rules.settle]
    instead = _best(rules, late)
    return state, frozenset() if instead is None else frozenset((instead.approach,))


def forget(state: ArbitrationState, lost: Collection[str]) -> ArbitrationState:
    """Return the state when the input of the ``lost`` approaches is gone.

    With the approach that called goes what was held back because of it: the siren may now be heard nowhere but there.
    """
    if state.caller is not None and state.caller[0] in lost:
        return ArbitrationState()
    waiting, echoes, nearing = (
        tuple(entry for entry in entries if entry[0] not in lost)
        for entries in (state.waiting, state.echoes, state.nearing)
    )
    peaks = tuple(peak for peak in state.peaks if peak[0] not in lost)
    return replace(state, waiting=waiting, echoes=echoes, peaks=peaks, nearing=nearing, leaving=())


def _peaks(
    rules: ArbitrationRules, state: ArbitrationState, now: Samples, bids: Sequence[Bid]
) -> tuple[tuple[str, float, Samples], ...]:
    """Return how loud each approach heard a siren at most within ``PASSED_ON``."""
    memory = min(rules.hold, PASSED_ON)
    peaks = {name: (level_db, at) for name, level_db, at in state.peaks if now - at < memory}
    for bid in bids:
        if bid.hears and bid.level_db >= peaks.get(bid.approach, (bid.level_db, now))[0]:
            peaks[bid.approach] = bid.level_db, now
    return tuple((name, level_db, at) for name, (level_db, at) in peaks.items())


def _nearing(state: ArbitrationState, now: Samples, bids: Sequence[Bid]) -> tuple[tuple[str, Samples], ...]:
    """Return the approaches where a siren comes nearer, and since when."""
    since = dict(state.nearing)
    return tuple(
        (bid.approach, since.get(bid.approach, now)) for bid in bids if bid.hears and bid.motion is Motion.APPROACHING
    )


def _is_echo(bid: Bid, onsets: Mapping[str, Samples], nearing: Collection[str]) -> bool:
    """Return whether ``bid`` goes on about the siren of the call that has ended."""
    return bid.hears and onsets.get(bid.approach) == bid.onset and bid.approach not in nearing


def _leaving(
    rules: ArbitrationRules, state: ArbitrationState, now: Samples, bids: Sequence[Bid]
) -> tuple[Leaving, ...]:
    """Return what is heard of a siren that was louder on another approach a moment ago, and is not any more."""
    if not rules.is_apart:
        return ()
    known = {(each.approach, each.onset): each for each in state.leaving}
    found = []
    for bid in bids:
        now_db = {other.approach: other.level_db for other in bids if other.approach != bid.approach}
        passed = [
            level_db
            for name, level_db, _ in state.peaks
            if name in now_db and now_db[name] < level_db - FALLEN_DB and level_db > bid.level_db
        ]
        each = known.get((bid.approach, bid.onset))
        if each is None and passed:
            each = Leaving(bid.approach, bid.onset, now, max(passed))
        if bid.hears and each is not None and bid.level_db < each.below_db and now - each.since < rules.hold:
            found.append(each)
    return tuple(found)


def _best(rules: ArbitrationRules, bids: Sequence[Bid]) -> Bid | None:
    """Return the bid that wins; in a draw the one that stands first in the configuration."""
    if not bids:
        return None
    loudest = max(bid.level_db for bid in bids)
    close = [bid for bid in bids if loudest - bid.level_db < rules.margin_db or bid.level_db == loudest]
    return min(close, key=lambda bid: (bid.priority, bid.onset + bid.ahead))
