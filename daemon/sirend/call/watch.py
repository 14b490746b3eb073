"""One approach of the stream that is followed, and the arbitration between those of a site, window after window."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sirend.audio.stream import Gap, Samples, to_samples
from sirend.call.arbitration import ArbitrationRules, ArbitrationState, Bid, arbitrate, forget
from sirend.call.machine import State, Stop, may_tell, step, would_call
from sirend.call.state import CallState
from sirend.detect.tone import Tone

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from sirend.call.machine import Transition
    from sirend.call.rules import Rules
    from sirend.detect.tracker import Track, Tracker

BRIDGE = to_samples(6.0)
"""By when after missing samples a run of evidence goes on: a window, and what the evidence takes."""
LATE = to_samples(1.0)
"""How late a device's window may be before it says nothing of now; a worker so late is reported too."""


@dataclass(slots=True)
class ApproachWatch:
    """Follows one approach: what is heard there, and whether a call stands."""

    tracker: Tracker
    rules: Rules
    is_inhibited: Callable[[Samples], bool]
    """Whether the schedule forbids calls at a sample."""
    state: State = field(default_factory=State)

    priority: int = 1
    """1 is served first."""
    named: tuple[Samples, Tone] = (Samples(-1), Tone.UNKNOWN)
    """Onset of the siren whose tone was judged last, and that tone."""

    def may_tell(self, track: Track) -> bool:
        """Return whether an event may go out at the end of ``track``, which then tells of the siren's tone."""
        return may_tell(self.rules, self.state, track)

    def bid(
        self, track: Track, level_db: float, ahead: int = 0, *, is_stale: bool = False, onset: Samples | None = None
    ) -> Bid:
        """Return what the approach has to say when others hear the siren too, ``level_db`` loud here.

        The site's count of samples is ``ahead`` of the approach's own. Where ``track`` is stale it says nothing, but a
        call that stands goes on standing. With ``onset`` it goes on about what it heard since then, before samples
        went missing.
        """
        return Bid(
            approach=track.approach,
            onset=track.onset if onset is None else onset,
            hears=onset is not None or (track.onset < track.end and not is_stale),
            ready=not is_stale and would_call(self.rules, self.state, track, inhibited=self.is_inhibited(track.end)),
            calls=self.state.call is CallState.APPROACHING,
            level_db=level_db,
            priority=self.priority,
            motion=track.motion,
            ahead=ahead,
            is_others=track.is_others,
        )

    def decide(self, track: Track, *, held: bool) -> Transition | None:
        """Take what is believed now; return the transition that it causes. ``held``: another approach is served."""
        inhibited = self.is_inhibited(track.end)
        self.state, transition = step(self.rules, self.state, track, inhibited=inhibited, held=held)
        return transition

    def interrupt(self, item: Gap | Stop) -> Transition | None:
        """Take what happened to the stream; return the transition that it causes."""
        if isinstance(item, Gap) and item.is_fault:
            self.tracker.reset()
        self.state, transition = step(self.rules, self.state, item)
        return transition


@dataclass(slots=True)
class Arbitration:
    """Decides between the approaches, window after window; those of other devices by what they heard last."""

    rules: ArbitrationRules
    watches: Mapping[str, ApproachWatch]
    """Of every approach of the site, in the order in which they are configured."""
    fresh: Samples
    """What an approach heard longer ago says nothing of now; its device is late or about to be lost."""
    state: ArbitrationState = field(default_factory=ArbitrationState)
    _heard: dict[str, tuple[Samples, Track, float]] = field(default_factory=dict)
    _bridges: dict[str, tuple[Samples, Samples]] = field(default_factory=dict)
    """Of approaches whose samples went missing in a run of evidence: its onset, and by when it goes on or is over."""

    def grant(
        self, now: Samples, heard: Sequence[tuple[Track, float]], legs: frozenset[str] | None = None
    ) -> frozenset[str]:
        """Return the approaches that may start a call at ``now`` by the site's count.

        ``heard`` is what is believed at the end of a window of one device, with the level of the siren there in dB;
        ``legs`` are the approaches that its bearing leaves, None where there is no bearing to go by.
        """
        for track, level_db in heard:
            self._heard[track.approach] = now, track, level_db
            _, until = self._bridges.get(track.approach, (0, 0))
            if until < (min(track.end, track.onset)):
                self._bridges.pop(track.approach, None)  # silence, or another siren
        bids = []
        for name, watch in self.watches.items():
            if name in self._heard:
                at, track, level_db = self._heard[name]
                onset, _ = self._bridges.get(name, (None, None))
                is_stale = now - at > self.fresh or (legs is not None and name not in legs)
                bids.append(watch.bid(track, level_db, at - track.end, is_stale=is_stale, onset=onset))
        self.state, granted = arbitrate(self.rules, self.state, now, bids)
        return granted

    def bridge(self, names: Collection[str], at: Samples) -> None:
        """Take note that samples of these approaches are missing at ``at``, by their device's own count.

        What they hear begins anew then, but it is the siren of before.
        """
        for name in names:
            _, track, _ = self._heard.get(name, (None, None, None))
            if track is not None and track.onset < track.end:
                onset, _ = self._bridges.get(name, (track.onset, None))
                self._bridges[name] = onset, Samples(at + BRIDGE)

    def forget(self, lost: Collection[str]) -> None:
        """Forget the ``lost`` approaches, whose input is gone."""
        self.state = forget(self.state, lost)
        for name in lost:
            self._heard.pop(name, None)
            self._bridges.pop(name, None)
