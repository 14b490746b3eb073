from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirend.audio.stream import Gap, GapReason, Samples, to_samples
from sirend.call.machine import Input, State, Stop, Transition, may_tell, step
from sirend.call.rules import Rules
from sirend.call.state import CallState, Reason
from sirend.config.settings import CallConfig, DetectConfig
from sirend.detect.arrival import Arrival
from sirend.detect.bundle import OperatingPoint
from sirend.detect.motion import Motion
from sirend.detect.tone import Tone
from sirend.detect.tracker import Track
from sirend.errors import ConfigError

HOP = to_samples(0.25)
Given = tuple[Input, bool, bool]
"""What comes, whether the schedule inhibits calls then, and whether another approach is served."""
RULES = Rules(
    enter=0.7,
    exit=0.3,
    confirm=to_samples(0.75),
    release=to_samples(3.0),
    min_duration=to_samples(5.0),
    max_presence=to_samples(60.0),
    rearm_gap=to_samples(5.0),
    max_calls_per_hour=20,
)


def _tracks(evidence: list[float], *, start: int = 0, motion: Motion = Motion.UNKNOWN) -> list[Track]:
    """Return tracks a hop apart; a run of evidence begins at enter, as the tracker has it."""
    tracks: list[Track] = []
    onset: Samples | None = None
    for i, value in enumerate(evidence):
        end = Samples(start + (i + 1) * HOP)
        onset = None if value < RULES.enter else end if onset is None else onset
        tracks.append(Track(end, "main", value, end if onset is None else onset, -40.0, motion, value))
    return tracks


def _run(
    items: list[Input], rules: Rules = RULES, state: State | None = None, *, inhibited: bool = False
) -> list[Transition]:
    state = state or State()
    transitions = []
    for item in items:
        state, transition = step(rules, state, item, inhibited=inhibited)
        if transition is not None:
            transitions.append(transition)
    return transitions


def _changes(items: list[Input], rules: Rules = RULES, *, inhibited: bool = False) -> list[tuple[float, Reason]]:
    """Return when, in seconds, the state changed, and why."""
    return [(t.at / 16_000, t.reason) for t in _run(items, rules, inhibited=inhibited) if not t.refresh]


def _seconds(*parts: tuple[float, float]) -> list[Input]:
    """Return tracks of (evidence, for so many seconds) parts."""
    return [*_tracks([value for value, length_s in parts for _ in range(round(length_s / 0.25))])]


def test_a_siren_is_called_after_confirmation_and_cleared_after_release() -> None:
    assert _changes(_seconds((0.0, 2.0), (0.9, 10.0), (0.0, 10.0))) == [(3.0, Reason.SIREN), (15.25, Reason.QUIET)]


def test_only_a_siren_of_a_configured_kind_calls_and_the_call_says_which() -> None:
    detect = DetectConfig(enter=0.7, exit=0.3, confirm_s=0.75, release_s=3.0, tones=("wail", "yelp"))
    rules = Rules.of(detect, CallConfig(), OperatingPoint(0.7, 0.3, 0.75, 3.0))
    assert rules.tones == frozenset(("wail", "yelp"))
    heard = _tracks([0.9] * 40)
    kinds = (Tone.UNKNOWN, Tone.HILO, Tone.WAIL)
    unsure, twotone, wail = ([replace(each, tone=kind) for each in heard] for kind in kinds)
    assert _run([*unsure], rules) == _run([*twotone], rules) == []
    late = _run([*unsure[:20], *wail[20:]], rules)
    assert (late[0].at, late[0].tone) == (wail[20].end, Tone.WAIL)
    assert {each.tone for each in _run([*unsure[:20], *twotone[20:]])} == {Tone.UNKNOWN, Tone.HILO}
    (_, cleared) = (each for each in _run([*wail, *_tracks([0.0] * 40, start=40 * HOP)], rules) if not each.refresh)
    assert (cleared.state, cleared.tone) == (CallState.CLEAR, None)


def test_every_siren_that_is_told_of_was_foreseen() -> None:
    state, told, foreseen = State(), 0, 0
    tracks = [*_tracks([0.0] * 4 + [0.9] * 60 + [0.0] * 30 + [0.5] * 4 + [0.9] * 30)]
    for track in tracks:
        may = may_tell(RULES, state, track)
        state, transition = step(RULES, state, track)
        if transition is not None and transition.state is CallState.APPROACHING:
            assert may
            told += 1
        foreseen += may
    assert told <= foreseen < 1.2 * told
    assert told > 20


def test_the_call_tells_of_the_siren() -> None:
    tracks = [*_tracks([0.0] * 4 + [0.9] * 4, motion=Motion.APPROACHING)]
    (call,) = _run([*tracks])
    assert call == Transition(
        approach="main",
        state=CallState.APPROACHING,
        at=tracks[7].end,
        onset=tracks[4].end,
        confidence=0.9,
        level_dbfs=-40.0,
        motion=Motion.APPROACHING,
        reason=Reason.SIREN,
        refresh=False,
        tone=Tone.UNKNOWN,
    )


@pytest.mark.parametrize(("motion", "is_told"), [(Motion.APPROACHING, True), (Motion.UNKNOWN, False)])
def test_a_call_tells_when_a_siren_that_comes_will_be_nearest_and_its_end_does_not(
    motion: Motion, *, is_told: bool
) -> None:
    heard = _tracks([0.0] * 4 + [0.9] * 24 + [0.0] * 40, motion=motion)
    told = _run([replace(track, arrival=Arrival(5.0, 3.0, 7.0)) for track in heard])
    assert {each.arrival is not None for each in told if each.state is CallState.APPROACHING} == {is_told}
    assert told[-1].state is CallState.CLEAR
    assert told[-1].arrival is None


def test_what_a_call_said_last_of_its_arrival_is_kept_until_it_says_none_or_ends() -> None:
    coming = _tracks([0.0] * 4 + [0.9] * 30 + [0.0] * 40, motion=Motion.APPROACHING)
    state, last, kept = State(), None, set()
    for number, track in enumerate(coming):
        known = None if number >= 20 else Arrival(12.0 - number / 4.0, 3.0, 15.0)
        state, transition = step(RULES, state, replace(track, arrival=known))
        if transition is not None:
            last = transition.arrival
        assert state.arrival == last
        kept.add(state.arrival is not None)
    assert kept == {True, False}
    assert state.call is CallState.CLEAR


def test_evidence_shorter_than_the_confirmation_makes_no_call() -> None:
    assert _changes(_seconds((0.0, 2.0), (0.9, 0.75), (0.0, 2.0), (0.9, 0.75), (0.0, 2.0))) == []


def test_evidence_between_exit_and_enter_neither_starts_nor_ends_a_call() -> None:
    assert _changes(_seconds((0.5, 30.0))) == []
    assert _changes(_seconds((0.9, 1.0), (0.5, 30.0), (0.1, 4.0))) == [(1.0, Reason.SIREN), (34.25, Reason.QUIET)]


def test_a_call_outlasts_a_pause_shorter_than_the_release() -> None:
    assert _changes(_seconds((0.9, 6.0), (0.0, 3.0), (0.9, 6.0))) == [(1.0, Reason.SIREN)]


def test_a_short_siren_holds_the_minimum_duration() -> None:
    assert _changes(_seconds((0.9, 1.0), (0.0, 20.0))) == [(1.0, Reason.SIREN), (6.0, Reason.QUIET)]


def test_the_state_is_repeated_every_second_while_approaching_and_only_then() -> None:
    transitions = _run(_seconds((0.9, 1.0), (0.0, 20.0)))
    assert [(t.at / 16_000, t.state, t.refresh) for t in transitions] == [
        (1.0, CallState.APPROACHING, False),
        *((1.0 + i, CallState.APPROACHING, True) for i in range(1, 5)),
        (6.0, CallState.CLEAR, False),
    ]


@pytest.mark.parametrize(("hop_s", "every_s"), [(0.05, 1.0), (0.3, 1.2), (0.75, 1.5), (2.0, 2.0)])
def test_a_repetition_waits_for_the_first_window_after_a_second(hop_s: float, every_s: float) -> None:
    hop = to_samples(hop_s)
    tracks = [Track(Samples(i * hop), "main", 0.9, Samples(0), -40.0, Motion.UNKNOWN) for i in range(int(20 / hop_s))]
    at = [t.at for t in _run([*tracks])]
    assert {later - earlier for earlier, later in pairwise(at)} == {to_samples(every_s)}


def test_a_constant_siren_ends_at_maximum_presence_and_never_comes_back() -> None:
    assert _changes(_seconds((0.9, 600.0))) == [(1.0, Reason.SIREN), (61.0, Reason.MAX_PRESENCE)]


def test_after_maximum_presence_only_a_true_gap_arms_again() -> None:
    siren = (0.9, 70.0)
    assert _changes(_seconds(siren, (0.5, 60.0), siren)) == [(1.0, Reason.SIREN), (61.0, Reason.MAX_PRESENCE)]
    assert _changes(_seconds(siren, (0.0, 5.0), siren))[2:] == []
    assert _changes(_seconds(siren, (0.0, 5.25), siren))[2:] == [(76.25, Reason.SIREN), (136.25, Reason.MAX_PRESENCE)]


def test_a_siren_that_faded_away_is_cleared_as_departed() -> None:
    tracks = _tracks([0.9] * 24, motion=Motion.DEPARTING)
    quiet = _tracks([0.0] * 20, start=tracks[-1].end)
    assert _changes([*tracks, *quiet])[-1] == (9.25, Reason.DEPARTED)


def test_departing_alone_clears_nothing() -> None:
    assert _changes([*_tracks([0.9] * 80, motion=Motion.DEPARTING)]) == [(1.0, Reason.SIREN)]


LEAVING = replace(RULES, departed=to_samples(4.0))


def test_departing_for_departed_s_clears_early_and_stays_clear_while_it_is_heard() -> None:
    coming = _tracks([0.9] * 40, motion=Motion.APPROACHING)
    going = _tracks([0.9] * 80, start=coming[-1].end, motion=Motion.DEPARTING)
    assert _changes([*coming, *going], LEAVING) == [(1.0, Reason.SIREN), (14.25, Reason.DEPARTED)]
    assert _changes([*coming, *going[:16]], LEAVING) == [(1.0, Reason.SIREN)]


def test_a_second_siren_that_comes_nearer_is_called_while_the_first_drives_away() -> None:
    going = _tracks([0.9] * 40, motion=Motion.DEPARTING)
    unclear = _tracks([0.9] * 40, start=going[-1].end)
    coming = [replace(t, onset=going[0].end, motion=Motion.APPROACHING) for t in _tracks([0.9] * 4, start=320_000)]
    changes = _changes([*going, *unclear, *coming], LEAVING)
    assert changes == [(1.0, Reason.SIREN), (6.0, Reason.DEPARTED), (20.25, Reason.SIREN)]


def test_a_call_is_over_when_what_is_heard_is_the_siren_of_another_leg() -> None:
    own = _tracks([0.9] * 4)
    others = [replace(track, is_others=True) for track in _tracks([0.9] * 40, start=own[-1].end)]
    held = [step(RULES, State(), track, held=True)[1] for track in others]
    assert held == [None] * 40
    assert _changes([*own, *others[:4]]) == [(1.0, Reason.SIREN)]  # no call is shorter than min_duration
    assert _changes([*own, *others[:30]])[:2] == [(1.0, Reason.SIREN), (6.0, Reason.DEPARTED)]


def test_departing_is_counted_anew_when_it_is_interrupted() -> None:
    def part(motion: Motion, hops: int, start: int) -> list[Track]:
        return _tracks([0.9] * hops, start=start * HOP, motion=motion)

    broken = [
        *part(Motion.UNKNOWN, 24, 0),
        *part(Motion.DEPARTING, 15, 24),
        *part(Motion.UNKNOWN, 1, 39),
        *part(Motion.DEPARTING, 15, 40),
    ]
    assert _changes([*broken], LEAVING) == [(1.0, Reason.SIREN)]


def test_a_parked_siren_ends_its_call_after_stationary_s_and_is_not_called_again() -> None:
    rules = replace(RULES, stationary=to_samples(10.0))
    parked = _tracks([0.9] * 800, motion=Motion.STATIONARY)
    assert _changes([*parked], rules) == [(1.0, Reason.SIREN), (11.0, Reason.MAX_PRESENCE)]
    assert _changes([*parked], RULES) == [(1.0, Reason.SIREN), (61.0, Reason.MAX_PRESENCE)]


def test_an_approach_that_is_held_calls_once_it_is_released() -> None:
    tracks = _tracks([0.9] * 20)
    state, changed = State(), []
    for i, track in enumerate(tracks):
        state, transition = step(RULES, state, track, held=i < 10)
        changed += [i] if transition is not None and not transition.refresh else []
    assert changed == [10]


@pytest.mark.parametrize("reason", [GapReason.STALLED, GapReason.DEVICE_LOST])
def test_a_lost_input_clears_at_once(reason: GapReason) -> None:
    tracks = _tracks([0.9] * 5)
    gap = Gap(Samples(tracks[-1].end + 77), reason)
    assert _changes([*tracks, gap]) == [(1.0, Reason.SIREN), (gap.at / 16_000, Reason.INPUT_LOST)]
    assert _changes([gap, *_tracks([0.0] * 9), gap]) == []


def test_an_orderly_end_clears_a_standing_call_only() -> None:
    tracks = _tracks([0.9] * 5)
    assert _changes([*tracks, Stop(Samples(20_480))])[-1] == (1.28, Reason.SHUTDOWN)
    assert _changes([*_tracks([0.0] * 5), Stop(Samples(20_480))]) == []


def test_an_overflow_holds_the_call_and_repeats_nothing() -> None:
    tracks = _tracks([0.9] * 30)
    overflow = Gap(tracks[9].end, GapReason.OVERFLOW)
    assert len(_run([*tracks[:10], overflow])) == len(_run([*tracks[:10]])) == 2
    assert _changes([*tracks[:10], overflow, *tracks[18:]]) == [(1.0, Reason.SIREN)]


def test_a_lost_input_does_not_arm_again() -> None:
    siren = _tracks([0.9] * 280)
    gap = Gap(siren[-1].end, GapReason.STALLED)
    later = _tracks([0.0] * 4 + [0.9] * 40, start=siren[-1].end)
    assert _changes([*siren, gap, *later]) == [(1.0, Reason.SIREN), (61.0, Reason.MAX_PRESENCE)]


def test_a_lost_input_is_no_part_of_a_true_gap() -> None:
    siren = _tracks([0.9] * 280)
    quiet = _tracks([0.0] * 12, start=siren[-1].end)
    later = _tracks([0.0] * 12 + [0.9] * 40, start=quiet[-1].end)
    gap = Gap(quiet[-1].end, GapReason.STALLED)
    assert len(_changes([*siren, *quiet, *later])) == 3
    assert len(_changes([*siren, *quiet, gap, *later])) == 2


def test_more_calls_an_hour_than_allowed_are_held_back_and_reported() -> None:
    rules = replace(RULES, max_calls_per_hour=2)
    cycle = ((0.9, 6.0), (0.0, 10.0))
    state, found = State(), []
    for item in _seconds(*cycle * 3, (0.0, 3600.0), *cycle):
        state, transition = step(rules, state, item)
        found.append((transition is not None and not transition.refresh, state.limited))
    assert [i * 0.25 for i, (changed, _) in enumerate(found) if changed] == [0.75, 9.0, 16.75, 25.0, 3648.75, 3657.0]
    assert [i * 0.25 for i, (_, limited) in enumerate(found) if limited] == [32.75 + i * 0.25 for i in range(21)]


def test_the_schedule_forbids_calls_and_ends_one_after_its_minimum() -> None:
    assert _changes(_seconds((0.9, 20.0)), inhibited=True) == []
    state = State()
    for item in _seconds((0.9, 2.0)):
        state, _ = step(RULES, state, item)
    rest = _tracks([0.9] * 40, start=to_samples(2.0))
    (end,) = [t for t in _run([*rest], state=state, inhibited=True) if not t.refresh]
    assert (end.at / 16_000, end.reason) == (6.0, Reason.INHIBITED)


class _Point:
    enter, exit, confirm_s, release_s = 0.8, 0.4, 1.0, 2.0


def test_rules_take_from_the_model_what_the_configuration_leaves_null() -> None:
    rules = Rules.of(DetectConfig(confirm_s=None, release_s=None), CallConfig(), _Point())
    assert rules == replace(RULES, enter=0.8, exit=0.4, confirm=to_samples(1.0), release=to_samples(2.0))
    rules = Rules.of(DetectConfig(enter=0.6, exit=0.1, confirm_s=0.0, release_s=5.0), CallConfig(), _Point())
    assert (rules.enter, rules.exit, rules.confirm, rules.release) == (0.6, 0.1, 0, 80_000)


@pytest.mark.parametrize(("enter", "leave"), [(0.3, None), (None, 0.9), (0.4, None)])
def test_rules_refuse_thresholds_without_hysteresis(enter: float | None, leave: float | None) -> None:
    with pytest.raises(ConfigError, match="must lie below enter"):
        Rules.of(DetectConfig(enter=enter, exit=leave), CallConfig(), _Point())


@st.composite
def _streams(draw: st.DrawFn) -> list[Given]:
    """Runs of evidence, silence and doubt, broken by gaps, with or without inhibition."""
    items: list[Given] = []
    now = 0
    for _ in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from(["high", "high", "low", "low", "between", "noise", "gap"]))
        inhibited = draw(st.integers(0, 4)) == 0
        if kind == "gap":
            items.append((Gap(Samples(now), draw(st.sampled_from(list(GapReason)))), inhibited, False))
            continue
        length = draw(st.integers(1, 300))
        value = {"high": 0.95, "low": 0.0, "between": 0.5, "noise": 0.0}[kind]
        noise = draw(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=9))
        evidence = [noise[i % len(noise)] if kind == "noise" else value for i in range(length)]
        tracks = _tracks(evidence, start=now, motion=draw(st.sampled_from(list(Motion))))
        held = draw(st.integers(0, 4)) == 0
        now = tracks[-1].end
        items += [(track, inhibited, held) for track in tracks]
    items.append((Stop(Samples(now)), False, False))
    return items


@st.composite
def _rules(draw: st.DrawFn) -> Rules:
    min_duration_s = draw(st.sampled_from([1.0, 5.0]))
    return replace(
        RULES,
        confirm=to_samples(draw(st.sampled_from([0.0, 0.75, 2.0]))),
        release=to_samples(draw(st.sampled_from([0.0, 3.0]))),
        min_duration=to_samples(min_duration_s),
        max_presence=to_samples(min_duration_s + draw(st.sampled_from([0.0, 10.0, 55.0]))),
        rearm_gap=to_samples(draw(st.sampled_from([1.0, 5.0, 20.0]))),
        max_calls_per_hour=draw(st.integers(1, 6)),
        departed=draw(st.sampled_from([None, to_samples(2.0)])),
        stationary=draw(st.sampled_from([None, to_samples(10.0)])),
    )


@given(_streams(), _rules())
def test_every_step_changes_the_state_and_tells_of_it_or_does_neither(stream: list[Given], rules: Rules) -> None:
    state = State()
    for item, inhibited, held in stream:
        before = state
        state, transition = step(rules, state, item, inhibited=inhibited, held=held)
        if isinstance(item, Stop) or (isinstance(item, Gap) and item.is_fault):
            assert state.call is CallState.CLEAR
        if transition is None:
            assert state.call is before.call
            continue
        assert transition.at == (item.end if isinstance(item, Track) else item.at)
        assert transition.state is state.call
        assert transition.refresh == (state.call is before.call)
        if transition.refresh:  # a repetition follows a scored window, at most once a second
            assert isinstance(item, Track)
            assert state.call is CallState.APPROACHING
            assert transition.at - before.refreshed >= to_samples(1.0)


def _calls(stream: list[Given], rules: Rules) -> list[tuple[Transition, Transition]]:
    """Return start and end of each call, having made sure that they alternate."""
    state = State()
    changes: list[Transition] = []
    for item, inhibited, held in stream:
        state, transition = step(rules, state, item, inhibited=inhibited, held=held)
        changes += [transition] if transition is not None and not transition.refresh else []
    assert [t.state for t in changes] == [CallState.APPROACHING, CallState.CLEAR] * (len(changes) // 2)
    return list(zip(changes[::2], changes[1::2], strict=True))


@given(_streams(), _rules())
def test_calls_alternate_with_clears_and_keep_their_bounds(stream: list[Given], rules: Rules) -> None:
    calls = _calls(stream, rules)
    for start, end in calls:
        assert start.at - start.onset >= rules.confirm
        assert end.at - start.at <= rules.max_presence + HOP
        if end.reason not in (Reason.INPUT_LOST, Reason.SHUTDOWN):
            assert end.at - start.at >= rules.min_duration
    for (_, end), (start, _) in pairwise(calls):
        assert start.at > end.at
    starts = [start.at for start, _ in calls]
    for first in starts:
        assert sum(first <= start < first + to_samples(3600.0) for start in starts) <= rules.max_calls_per_hour


@given(_streams(), _rules())
def test_after_maximum_presence_no_call_comes_without_a_true_gap(stream: list[Given], rules: Rules) -> None:
    tracks = [item for item, *_ in stream if isinstance(item, Track)]
    for (_, end), (start, _) in pairwise(_calls(stream, rules)):
        if end.reason is Reason.MAX_PRESENCE:
            # The siren may have fallen silent before the call ended: that silence is part of the gap.
            last_heard = max((t.end for t in tracks if t.end <= end.at and t.evidence >= rules.exit), default=0)
            between = "".join("_" if t.evidence < rules.exit else " " for t in tracks if last_heard < t.end < start.at)
            assert max(map(len, between.split())) > rules.rearm_gap / HOP


@given(_streams())
def test_the_machine_is_pure(stream: list[Given]) -> None:
    state = State()
    for item, inhibited, held in stream:
        once = step(RULES, state, item, inhibited=inhibited, held=held)
        assert step(RULES, state, item, inhibited=inhibited, held=held) == once
        state = once[0]
