"""How a live input that is lost is got back: a pure state machine. Time and chance come in with each call.

An input is ``LISTENING`` until it stalls, ends, delivers what is no sound or hears nothing any more. Then it is closed
and, after a ``PAUSE`` whose bound doubles, tried: in a ``TRIAL`` it has to deliver samples before it is believed to be
there. One that is deaf is opened anew at once and then ever more rarely; between, it stays open, for it may begin to
hear by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from sirend.audio.stream import GapReason


@dataclass(frozen=True, slots=True)
class RecoveryRules:
    """The times, in seconds."""

    stall_s: float = 5.0
    """An open input that delivers nothing for longer is lost."""
    trial_s: float = 5.0
    """How long an input may take to deliver its first samples."""
    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0
    """Full jitter: each pause before an input is tried is random, up to a bound that doubles from the one to the other.
    It begins anew when the input was open for longer than the longest."""
    first_repair_s: float = 5.0
    longest_repair_s: float = 300.0
    """Between two openings of a deaf input; doubles from the one to the other, less up to a half at random."""


class Phase(StrEnum):
    """Where an input is on its way."""

    LISTENING = "listening"
    """It is open."""
    PAUSE = "pause"
    """It is closed, and is tried after a while."""
    TRIAL = "trial"
    """It is being opened and has to show that it delivers."""


@dataclass(frozen=True, slots=True)
class RecoveryState:
    """What is known of an input. All times are monotonic, in seconds."""

    phase: Phase = Phase.LISTENING
    is_lost: bool = False
    """Whether nothing that can be believed has arrived since the last fault."""
    cause: str | None = None
    """What is wrong, in words, as long as it is."""
    heard_s: float = -math.inf
    """When samples arrived last, or the input was opened."""
    opened_s: float = -math.inf
    """When it was opened again."""
    until_s: float = math.inf
    """When the pause or the trial ends."""
    pause_bound_s: float = 0.0
    repair_from_s: float = -math.inf
    """A deaf input is opened anew not before."""
    repair_bound_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Arrived:
    """Samples arrived."""

    fault: str | None = None
    """What makes the whole input deaf; None while at least one channel hears."""
    is_stuck: bool = False
    """Whether they only repeat what came before, so that an old siren may be among them."""
    is_broken: bool = False
    """Whether they are no numbers."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """No samples are there now."""

    ended: str | None = None
    """Why none can come any more, in words; None while the input is open."""


@dataclass(frozen=True, slots=True)
class Delivers:
    """The trial got samples: the input is open again."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The input cannot be opened, or the trial cannot succeed any more."""

    cause: str


Input = Arrived | Nothing | Delivers | Failed


class Order(StrEnum):
    """What is to be done with the device."""

    NONE = "none"
    PASS = "pass"  # noqa: S105  no secret
    """Pass the samples on."""
    CLOSE = "close"
    """Close the input."""
    TRY = "try"
    """Begin to open it."""
    GIVE_UP = "give up"
    """End the trial."""


@dataclass(frozen=True, slots=True)
class Step:
    """What comes of an input."""

    order: Order = Order.NONE
    gap: GapReason | None = None
    """Where it is not None, samples are missing now."""
    report: str | None = None
    """What is worth a line in the log: each cause once, and that it is over."""


IDLE = Step()


def begin(rules: RecoveryRules, now_s: float, *, is_on_trial: bool = False) -> RecoveryState:
    """Return the state of an input that was opened at ``now_s``, or is being opened since."""
    fresh = RecoveryState(heard_s=now_s, pause_bound_s=rules.first_pause_s, repair_bound_s=rules.first_repair_s)
    if is_on_trial:
        return replace(fresh, phase=Phase.TRIAL, is_lost=True, until_s=now_s + rules.trial_s)
    return fresh


def step(
    rules: RecoveryRules, state: RecoveryState, event: Input, now_s: float, chance: float
) -> tuple[RecoveryState, Step]:
    """Return the state after ``event`` at ``now_s``, and what is to be done. ``chance`` is uniform in [0, 1)."""
    match state.phase:
        case Phase.LISTENING:
            return _while_listening(rules, state, event, now_s, chance)
        case Phase.PAUSE:
            if isinstance(event, Nothing) and now_s >= state.until_s:
                return replace(state, phase=Phase.TRIAL, until_s=now_s + rules.trial_s), Step(Order.TRY)
        case Phase.TRIAL:
            return _while_on_trial(rules, state, event, now_s, chance)
    return state, IDLE


def _while_listening(
    rules: RecoveryRules, state: RecoveryState, event: Input, now_s: float, chance: float
) -> tuple[RecoveryState, Step]:
    match event:
        case Arrived() if now_s - state.heard_s > rules.stall_s:
            # We were held up (frozen, suspended, starved). A sound server has kept what sounded meanwhile: a siren in
            # it is long gone, and would be called as of now. Opening the input anew throws it away.
            cause = f"held up for {now_s - state.heard_s:.0f} s, and what came meanwhile is old"
            return _lose(rules, state, now_s, chance, cause=cause, reason=GapReason.STALLED)
        case Arrived():
            return _heard(rules, state, event, now_s, chance)
        case Nothing(str(ended)):
            return _lose(rules, state, now_s, chance, cause=ended)
        case Nothing() if now_s - state.heard_s > rules.stall_s:
            cause = f"nothing arrived for {rules.stall_s:g} s"
            return _lose(rules, state, now_s, chance, cause=cause, reason=GapReason.STALLED)
    return state, IDLE


def _while_on_trial(
    rules: RecoveryRules, state: RecoveryState, event: Input, now_s: float, chance: float
) -> tuple[RecoveryState, Step]:
    match event:
        case Delivers():
            # What it delivers has yet to be examined: only then is the cause gone.
            return replace(state, phase=Phase.LISTENING, heard_s=now_s, opened_s=now_s, until_s=math.inf), IDLE
        case Failed(cause) | Nothing(str(cause)):
            return _fail(rules, state, now_s, chance, cause=cause)
        case Nothing() if now_s > state.until_s:
            return _fail(rules, state, now_s, chance, cause="it opens, but delivers nothing")
    return state, IDLE


def _heard(
    rules: RecoveryRules, state: RecoveryState, event: Arrived, now_s: float, chance: float
) -> tuple[RecoveryState, Step]:
    """Take samples of an open input."""
    state = replace(state, heard_s=now_s)
    if event.is_broken:
        return _lose(rules, state, now_s, chance, cause="its samples are no numbers")
    if event.fault is None:
        report = None if state.cause is None else "opened again"
        hearing = replace(
            state, is_lost=False, cause=None, repair_from_s=-math.inf, repair_bound_s=rules.first_repair_s
        )
        return hearing, Step(Order.PASS, report=report)
    if now_s >= state.repair_from_s:
        again = replace(
            state,
            repair_from_s=now_s + (0.5 + 0.5 * chance) * state.repair_bound_s,
            repair_bound_s=min(2.0 * state.repair_bound_s, rules.longest_repair_s),
        )
        return _lose(rules, again, now_s, chance, cause=event.fault)
    report = None if state.cause == event.fault else event.fault
    deaf = replace(state, cause=event.fault, is_lost=event.is_stuck)
    if not event.is_stuck:
        return deaf, Step(Order.PASS, report=report)
    return deaf, Step(gap=None if state.is_lost else GapReason.DEVICE_LOST, report=report)


def _lose(  # noqa: PLR0913  what it depends on
    rules: RecoveryRules,
    state: RecoveryState,
    now_s: float,
    chance: float,
    *,
    cause: str,
    reason: GapReason = GapReason.DEVICE_LOST,
) -> tuple[RecoveryState, Step]:
    """Close an open input."""
    if now_s - state.opened_s > rules.longest_pause_s:
        state = replace(state, pause_bound_s=rules.first_pause_s)
    report = None if state.cause == cause else f"{cause}; opening it again"
    return _pause(rules, state, now_s, chance, cause), Step(Order.CLOSE, reason, report)


def _fail(
    rules: RecoveryRules, state: RecoveryState, now_s: float, chance: float, *, cause: str
) -> tuple[RecoveryState, Step]:
    """End a trial."""
    report = None if state.cause == cause else f"still lost: {cause}"
    return _pause(rules, state, now_s, chance, cause), Step(Order.GIVE_UP, report=report)


def _pause(rules: RecoveryRules, state: RecoveryState, now_s: float, chance: float, cause: str) -> RecoveryState:
    return replace(
        state,
        phase=Phase.PAUSE,
        is_lost=True,
        cause=cause,
        until_s=now_s + chance * state.pause_bound_s,
        pause_bound_s=min(2.0 * state.pause_bound_s, rules.longest_pause_s),
    )
