from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.call.test_machine import HOP, RULES, _changes, _run, _seconds, _tracks

from sirend.audio.stream import Gap, GapReason, Samples, to_samples
from sirend.call.limits import CallLimits
from sirend.call.machine import Input, State, step
from sirend.call.state import CallState, Reason
from sirend.detect.tracker import Track

DEAF = 4
"""Windows in which a tracker that begins anew has no evidence yet."""


def interrupted(every_s: float, total_s: float) -> list[Input]:
    """Return a siren that never ends, on an input that is lost for a moment again and again."""
    items: list[Input] = []
    windows = round(every_s / 0.25)
    for part in range(round(total_s / every_s)):
        start = part * windows * HOP
        items += _tracks([0.0] * DEAF + [0.9] * (windows - DEAF), start=start)
        items.append(Gap(Samples(start + windows * HOP), GapReason.STALLED))
    return items


def preempted_s(items: list[Input]) -> float:
    """Return for how long calls stood, s."""
    changes = _changes(items)
    return sum(end - start for (start, _), (end, _) in zip(changes[::2], changes[1::2], strict=True))


@pytest.mark.parametrize("every_s", [3.0, 10.0, 50.0, 59.0, 61.0])
def test_a_siren_that_is_interrupted_by_lost_inputs_is_one_siren(every_s: float) -> None:
    assert preempted_s(interrupted(every_s, 1_800.0)) <= 60.0


def test_what_is_left_of_the_presence_is_called_after_an_interruption() -> None:
    items: list[Input] = [*_tracks([0.9] * 160), Gap(Samples(160 * HOP), GapReason.DEVICE_LOST)]
    items += _tracks([0.9] * 160, start=160 * HOP)
    assert _changes(items) == [
        (1.0, Reason.SIREN),
        (40.0, Reason.INPUT_LOST),
        (41.0, Reason.SIREN),
        (62.0, Reason.MAX_PRESENCE),
    ]


def test_a_true_gap_gives_the_whole_presence_back() -> None:
    items: list[Input] = [*_tracks([0.9] * 160), Gap(Samples(160 * HOP), GapReason.DEVICE_LOST)]
    items += _tracks([0.0] * 24 + [0.9] * 300, start=160 * HOP)
    assert [reason for _, reason in _changes(items)] == [
        Reason.SIREN,
        Reason.INPUT_LOST,
        Reason.SIREN,
        Reason.MAX_PRESENCE,
    ]
    ((_, _), (_, _), (start_s, _), (end_s, _)) = _changes(items)
    assert end_s - start_s == 60.0


def test_an_input_that_has_just_come_back_is_not_believed_to_hear_nothing() -> None:
    rules = replace(RULES, rearm_gap=to_samples(1.0))
    state = State(armed=False, windows=0)
    for track in _tracks([0.0] * DEAF):
        state, _ = step(rules, state, track)
    assert not state.armed
    for track in _tracks([0.0] * 4, start=DEAF * HOP):
        state, _ = step(rules, state, track)
    assert state.armed


@st.composite
def _states(draw: st.DrawFn) -> State:
    now = draw(st.integers(4 * HOP, 4_000 * 16_000))
    calls = draw(st.lists(st.integers(max(0, now - 3_599 * 16_000), now), max_size=8).map(sorted))
    return State(
        calls=tuple(Samples(start) for start in calls),
        spent=Samples(draw(st.integers(0, 55 * 16_000))),
        armed=draw(st.booleans()),
        is_leaving=draw(st.booleans()),
        last=Track(Samples(now), "main", 0.0, Samples(now), -40.0),
    )


@given(_states(), st.floats(0.0, 4_000.0))
def test_limits_are_the_same_after_a_restart_but_older(state: State, passed_s: float) -> None:
    limits = CallLimits.of(state)
    again = CallLimits.read(json.loads(json.dumps(limits.as_json())), passed_s)
    assert (again.armed, again.is_leaving) == (limits.armed, limits.is_leaving)
    assert again.spent_s == pytest.approx(limits.spent_s, abs=1e-3)
    kept = [age + passed_s for age in limits.ages_s if age + passed_s < 3_599.999]
    assert list(again.ages_s) == pytest.approx(kept, abs=2e-3)
    restored = again.state(RULES)
    assert restored.call is CallState.CLEAR
    assert list(restored.calls) == [Samples(-to_samples(age)) for age in again.ages_s]
    assert restored.armed == limits.armed  # 55 s spent leave the 5 s that a call takes at least


def test_a_call_that_stood_at_the_crash_counts_and_its_presence_too() -> None:
    state, rules = State(), replace(RULES, max_calls_per_hour=1)
    for track in _tracks([0.9] * 41):
        state, _ = step(rules, state, track)
    limits = CallLimits.of(state)
    assert (limits.ages_s, limits.spent_s) == ((9.25,), 9.25)
    assert _run([*_tracks([0.9] * 400)], rules, limits.state(rules)) == []
    ends = _run([*_tracks([0.9] * 400)], RULES, limits.state(RULES))
    assert [each.at / 16_000 for each in ends if not each.refresh] == [1.0, 51.75]


def test_a_presence_with_no_room_for_the_shortest_call_waits_for_a_gap() -> None:
    assert not CallLimits(spent_s=56.0).state(RULES).armed
    assert CallLimits(spent_s=55.0).state(RULES).armed


@pytest.mark.parametrize(
    "decoded",
    [
        None,
        [],
        {},
        {"ages_s": [1.0]},
        {"ages_s": ["1"], "spent_s": 0, "armed": True, "is_leaving": False},
        {"ages_s": [-1.0], "spent_s": 0, "armed": True, "is_leaving": False},
        {"ages_s": [float("nan")], "spent_s": 0, "armed": True, "is_leaving": False},
        {"ages_s": [True], "spent_s": 0, "armed": True, "is_leaving": False},
        {"ages_s": [], "spent_s": float("inf"), "armed": True, "is_leaving": False},
        {"ages_s": [], "spent_s": 0, "armed": 1, "is_leaving": False},
    ],
)
def test_what_is_no_limits_is_refused(decoded: object) -> None:
    with pytest.raises(ValueError, match=r"missing|must be|is no time"):
        CallLimits.read(decoded, 0.0)


def test_the_hour_is_remembered_whole_whatever_is_in_the_file() -> None:
    decoded = {"ages_s": [3_601.0, 5.0, 3.0] + [1.0] * 1_000, "spent_s": 0, "armed": True, "is_leaving": False}
    assert len(CallLimits.read(decoded, 0.0).ages_s) == 720


def test_a_quiet_start_without_a_file_is_as_before() -> None:
    assert _run(_seconds((0.9, 5.0)), RULES, CallLimits().state(RULES)) == _run(_seconds((0.9, 5.0)))
