"""The state machine of a call, one per approach: pure, in samples, shaped on NTCIP 1202 preemption.

A call starts when the siren is confirmed, holds at least the minimum duration, ends at the maximum presence and does
not come back without a true gap. Any loss of the input ends it at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from sirend.audio.stream import Gap, Samples, to_samples
from sirend.call.state import CallState, Reason
from sirend.detect.motion import Motion
from sirend.detect.tracker import Track

if TYPE_CHECKING:
    from sirend.call.rules import Rules
    from sirend.detect.arrival import Arrival
    from sirend.detect.bearing import Bearing
    from sirend.detect.tone import Tone

HOUR_S = 3600.0
SURE = 4
"""Windows after which an input that was lost can be believed when it hears nothing: evidence takes three."""
_REFRESH = to_samples(1.0)
_HOUR = to_samples(HOUR_S)


@dataclass(frozen=True, slots=True)
class Stop:
    """The stream ends in order."""

    at: Samples
    """Count of samples that arrived."""


Input: TypeAlias = Track | Gap | Stop


@dataclass(frozen=True, slots=True)
class State:
    """What the machine remembers of one approach."""

    call: CallState = CallState.CLEAR
    since: Samples = Samples(0)  # noqa: RUF009  a NewType of int
    """When ``call`` was entered."""
    onset: Samples = Samples(0)  # noqa: RUF009
    """Onset of the siren of the present or last call."""
    refreshed: Samples = Samples(0)  # noqa: RUF009
    """When ``call`` was last published."""
    absent_since: Samples | None = None
    """Since when the evidence lies below exit; None while it does not."""
    armed: bool = True
    """False after ``max_presence``, until a true gap."""
    is_leaving: bool = False
    """True after a call that ended while its siren was still heard driving away, until a gap or an approach."""
    calls: tuple[Samples, ...] = ()
    """Starts of the calls within the last hour, oldest first."""
    spent: Samples = Samples(0)  # noqa: RUF009
    """For how long the present siren was called before its input was lost: it is the same siren until a true gap."""
    windows: int = SURE
    """Windows since the input was lost or began, up to ``SURE``; before, silence is no sign of a gap."""
    limited: bool = False
    """Whether a confirmed siren is held back because the hour has had its calls: an alarm for health."""
    motion: Motion = Motion.UNKNOWN
    """Motion at the latest window in which the siren was heard."""
    moving_since: Samples = Samples(0)  # noqa: RUF009
    """Since when ``motion`` is what it is."""
    last: Track | None = None
    """The latest track."""
    arrival: Arrival | None = None
    """When the siren will be nearest, as last told of the call; None where none stands, or the last word had none."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A call that starts or ends, or the repetition of one that stands."""

    approach: str
    state: CallState
    at: Samples
    onset: Samples
    """Onset of the siren that the call is about."""
    confidence: float
    """Evidence, 0..1."""
    level_dbfs: float
    motion: Motion
    reason: Reason
    refresh: bool
    """True for the repetition, every second while approaching; it is not a change of state."""
    tone: Tone | None = None
    """Kind of siren; None where no call stands."""
    bearing: Bearing | None = None
    """Where the siren was in the last window, where an array knows it."""
    arrival: Arrival | None = None
    """When it will be nearest, where a call stands and that is known."""


def step(
    rules: Rules, state: State, item: Input, *, inhibited: bool = False, held: bool = False
) -> tuple[State, Transition | None]:
    """Return the state after ``item`` and the transition it causes, if any.

    ``item`` is the approach's next track, a gap in the stream or its orderly end. An overflow changes nothing: the next
    window tells. ``inhibited`` says that the schedule forbids calls at this moment,
    ``held`` that another approach is served.
    """
    if isinstance(item, Track):
        return _heard(rules, state, item, inhibited=inhibited, held=held)
    if isinstance(item, Gap) and not item.is_fault:
        return state, None
    state = replace(state, absent_since=None, limited=False, windows=0)
    return _clear(rules, state, item.at, Reason.SHUTDOWN if isinstance(item, Stop) else Reason.INPUT_LOST)


def may_tell(rules: Rules, state: State, track: Track) -> bool:
    """Return whether ``step`` may publish a siren at the end of ``track``, or asks for its tone."""
    if state.call is CallState.CLEAR:
        return _is_confirmed(rules, track)
    return track.end - state.refreshed >= _REFRESH


def _is_confirmed(rules: Rules, track: Track) -> bool:
    return track.evidence >= rules.enter and track.end - track.onset >= rules.confirm


def _heard(rules: Rules, state: State, track: Track, *, inhibited: bool, held: bool) -> tuple[State, Transition | None]:
    """Take a track: bring the memory up to date, then decide."""
    now = track.end
    windows = min(state.windows + 1, SURE)
    absent_since = None
    if track.evidence < rules.exit and windows >= SURE:
        absent_since = now if state.absent_since is None else state.absent_since
    absent_for = 0 if absent_since is None else now - absent_since
    is_gap = absent_since is not None and absent_for >= rules.rearm_gap
    motion = track.motion if track.evidence >= rules.enter else state.motion
    state = replace(
        state,
        absent_since=absent_since,
        armed=state.armed or is_gap,
        spent=Samples(0) if is_gap else state.spent,
        windows=windows,
        is_leaving=state.is_leaving and not is_gap and motion is not Motion.APPROACHING,
        calls=tuple(start for start in state.calls if now - start < _HOUR),
        limited=False,
        motion=motion,
        moving_since=state.moving_since if motion is state.motion else now,
        last=track,
    )
    if state.call is CallState.CLEAR:
        return _while_clear(rules, state, track, inhibited=inhibited, held=held)
    if (ended := _end(rules, state, now, inhibited=inhibited)) is not None:
        return _clear(rules, ended[0], now, ended[1])
    if now - state.refreshed >= _REFRESH:
        return _publish(replace(state, refreshed=now), now, Reason.SIREN, refresh=True)
    return state, None


def _end(rules: Rules, state: State, now: Samples, *, inhibited: bool) -> tuple[State, Reason] | None:
    """Return why the call that stands must end, with the state to end it in; None: it stands on."""
    absent_for = 0 if state.absent_since is None else now - state.absent_since
    ended: tuple[State, Reason] | None = None
    if state.spent + now - state.since >= rules.max_presence:
        ended = replace(state, armed=False), Reason.MAX_PRESENCE
    elif now - state.since < rules.min_duration:
        pass
    elif inhibited:
        ended = state, Reason.INHIBITED
    elif state.last is not None and state.last.is_others:
        ended = state, Reason.DEPARTED
    elif state.absent_since is not None and absent_for >= rules.release:
        ended = state, Reason.DEPARTED if state.motion is Motion.DEPARTING else Reason.QUIET
    elif _moved(state, Motion.DEPARTING, now, rules.departed):
        ended = replace(state, is_leaving=True), Reason.DEPARTED
    elif _moved(state, Motion.STATIONARY, now, rules.stationary):
        ended = replace(state, armed=False), Reason.MAX_PRESENCE
    return ended


def _moved(state: State, motion: Motion, now: Samples, least: Samples | None) -> bool:
    """Return whether the siren has had this ``motion`` for at least so long within the call."""
    return least is not None and state.motion is motion and now - max(state.moving_since, state.since) >= least


def would_call(rules: Rules, state: State, track: Track, *, inhibited: bool) -> bool:
    """Return whether ``track`` would start a call if its approach were the only one."""
    return _is_due(rules, state, track, inhibited=inhibited) and _may_call(rules, state, track.end)


def _may_call(rules: Rules, state: State, now: Samples) -> bool:
    """Return whether the hour before ``now`` leaves a call."""
    return sum(now - start < _HOUR for start in state.calls) < rules.max_calls_per_hour


def _is_due(rules: Rules, state: State, track: Track, *, inhibited: bool) -> bool:
    """Return whether a siren is confirmed, and neither the state nor the schedule forbids a call."""
    confirmed = _is_confirmed(rules, track) and (rules.tones is None or track.tone in rules.tones)
    rearmed = state.armed and (not state.is_leaving or track.motion is Motion.APPROACHING)
    return state.call is CallState.CLEAR and confirmed and rearmed and not inhibited


def _while_clear(
    rules: Rules, state: State, track: Track, *, inhibited: bool, held: bool
) -> tuple[State, Transition | None]:
    """Start a call when the siren is confirmed and nothing forbids it."""
    now = track.end
    if not _is_due(rules, state, track, inhibited=inhibited):
        return state, None
    if not _may_call(rules, state, now):
        return replace(state, limited=True), None
    if held:
        return state, None
    state = replace(
        state, call=CallState.APPROACHING, since=now, onset=track.onset, refreshed=now, calls=(*state.calls, now)
    )
    return _publish(state, now, Reason.SIREN, refresh=False)


def _clear(rules: Rules, state: State, at: Samples, reason: Reason) -> tuple[State, Transition | None]:
    """End the call, if one stands. A siren that did not end it may be called for what is left of its presence."""
    if state.call is CallState.CLEAR:
        return state, None
    if reason in (Reason.INPUT_LOST, Reason.SHUTDOWN, Reason.INHIBITED):
        spent = Samples(state.spent + at - state.since)
        is_over = spent + rules.min_duration > rules.max_presence
        state = replace(state, spent=spent, armed=state.armed and not is_over)
    return _publish(replace(state, call=CallState.CLEAR, since=at), at, reason, refresh=False)


def _publish(state: State, at: Samples, reason: Reason, *, refresh: bool) -> tuple[State, Transition | None]:
    """Return ``state`` and the transition that tells of it."""
    if state.last is None:
        raise AssertionError("a call stands although no window was ever heard")
    is_coming = state.call is CallState.APPROACHING and state.last.motion is Motion.APPROACHING
    arrival = state.last.arrival if is_coming else None
    return replace(state, arrival=arrival), Transition(
        approach=state.last.approach,
        state=state.call,
        at=at,
        onset=state.onset,
        confidence=state.last.confidence,
        level_dbfs=state.last.level_dbfs,
        motion=state.motion,
        reason=reason,
        refresh=refresh,
        tone=state.last.tone if state.call is CallState.APPROACHING else None,
        bearing=state.last.bearing,
        arrival=arrival,
    )
