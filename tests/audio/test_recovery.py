from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sirend.audio import recovery
from sirend.audio.recovery import Arrived, Delivers, Failed, Nothing, Order, Phase, RecoveryRules, RecoveryState, Step
from sirend.audio.stream import GapReason

if TYPE_CHECKING:
    from collections.abc import Sequence

RULES = RecoveryRules()
SILENCE = "digital silence"
GOOD = Arrived()
GONE = Nothing("the device is gone")


class Course:
    """An input whose time and events the test gives."""

    def __init__(self, rules: RecoveryRules = RULES, *, chance: float = 0.5) -> None:
        self.rules, self.chance, self.now_s = rules, chance, 1_000.0
        self.state = recovery.begin(rules, self.now_s)
        self.steps: list[Step] = []

    def take(self, event: recovery.Input, after_s: float = 0.0) -> Step:
        self.now_s += after_s
        self.state, step = recovery.step(self.rules, self.state, event, self.now_s, self.chance)
        self.steps.append(step)
        return step

    def until(self, order: Order, event: recovery.Input = Nothing(), every_s: float = 0.1) -> float:  # noqa: B008  frozen
        """Repeat ``event`` until it causes ``order``; return after how many seconds it did."""
        began_s = self.now_s
        while self.take(event, every_s).order is not order:
            assert self.now_s - began_s < 1_000.0
        return self.now_s - began_s

    @property
    def reports(self) -> list[str]:
        return [step.report for step in self.steps if step.report is not None]


def test_samples_are_passed_on() -> None:
    course = Course()
    assert course.take(GOOD, 0.02) == Step(Order.PASS)
    assert course.state == RecoveryState(heard_s=1_000.02, pause_bound_s=0.5, repair_bound_s=5.0)


def test_a_device_that_delivers_nothing_is_lost_after_stall_s() -> None:
    course = Course(RecoveryRules(stall_s=2.0))
    assert course.until(Order.CLOSE) == pytest.approx(2.05, abs=0.1)
    assert course.steps[-1] == Step(Order.CLOSE, GapReason.STALLED, "nothing arrived for 2 s; opening it again")
    assert (course.state.phase, course.state.is_lost) == (Phase.PAUSE, True)


def test_a_lost_device_is_tried_after_a_pause_and_believed_when_it_is_heard() -> None:
    course = Course()
    assert course.take(GONE) == Step(Order.CLOSE, GapReason.DEVICE_LOST, "the device is gone; opening it again")
    assert course.until(Order.TRY) == pytest.approx(0.3)  # .25 s in steps of .1
    assert course.take(Delivers()) == recovery.IDLE
    assert (course.state.phase, course.state.is_lost) == (Phase.LISTENING, True)
    assert course.take(GOOD, 0.02) == Step(Order.PASS, report="opened again")
    assert (course.state.is_lost, course.state.cause) == (False, None)


def test_what_comes_after_the_process_was_held_up_is_thrown_away() -> None:
    course = Course()
    course.take(GOOD, 0.02)
    assert course.take(GOOD, 5.0) == Step(Order.PASS)
    report = "held up for 30 s, and what came meanwhile is old; opening it again"
    assert course.take(GOOD, 30.0) == Step(Order.CLOSE, GapReason.STALLED, report)
    course.until(Order.TRY)
    course.take(Delivers())
    assert course.take(GOOD, 0.02) == Step(Order.PASS, report="opened again")


def test_samples_that_are_no_numbers_mean_a_broken_device() -> None:
    course = Course()
    wanted = Step(Order.CLOSE, GapReason.DEVICE_LOST, "its samples are no numbers; opening it again")
    assert course.take(Arrived(is_broken=True)) == wanted


def test_pauses_double_to_the_longest_while_a_device_cannot_be_opened_and_each_cause_is_reported_once() -> None:
    course = Course(chance=0.999_999)
    course.take(GONE)
    pauses_s = []
    for number in range(9):
        pauses_s.append(course.until(Order.TRY))
        assert course.take(Failed("there is none" if number < 5 else "busy")).order is Order.GIVE_UP
    assert pauses_s == pytest.approx([0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0], abs=0.11)
    assert course.reports == ["the device is gone; opening it again", "still lost: there is none", "still lost: busy"]


def test_a_trial_that_delivers_nothing_is_given_up() -> None:
    course = Course()
    course.take(GONE)
    course.until(Order.TRY)
    assert course.until(Order.GIVE_UP) == pytest.approx(5.05, abs=0.1)
    assert course.reports[-1] == "still lost: it opens, but delivers nothing"
    course.until(Order.TRY)
    assert course.take(Nothing("wrong password")) == Step(Order.GIVE_UP, report="still lost: wrong password")


@pytest.mark.parametrize(("listened_s", "bound_s"), [(1.0, 4.0), (31.0, 1.0)])
def test_pauses_grow_on_when_a_device_is_lost_again_soon_after(listened_s: float, bound_s: float) -> None:
    course = Course()
    for _ in range(2):
        course.take(GONE)
        course.until(Order.TRY)
        course.take(Delivers())
    course.take(GOOD, listened_s)
    course.take(GONE)
    assert course.state.pause_bound_s == bound_s


def test_a_deaf_device_is_opened_anew_at_once_then_ever_more_rarely_and_reported_once() -> None:
    course = Course(chance=0.0)
    repairs_s = []
    while course.now_s < 5_000.0:
        if course.take(Arrived(SILENCE), 0.1).order is Order.CLOSE:
            repairs_s.append(course.now_s - 1_000.0)
            course.until(Order.TRY)
            course.take(Delivers())
    assert repairs_s[:5] == pytest.approx([0.1, 2.6, 7.6, 17.6, 37.6], abs=1.5)
    assert [after - before for before, after in pairwise(repairs_s[-4:])] == pytest.approx([150.0] * 3, abs=1.0)
    assert course.reports == [f"{SILENCE}; opening it again"]
    course.take(GOOD)
    assert course.reports[1:] == ["opened again"]
    assert course.take(Arrived(SILENCE), 10.0).order is Order.CLOSE  # at once, as the first time


def test_a_silent_device_is_heard_between_repairs_and_a_stuck_one_is_not() -> None:
    course = Course()
    course.take(Arrived("stuck", is_stuck=True))
    course.until(Order.TRY)
    course.take(Delivers())
    assert course.take(Arrived("stuck", is_stuck=True), 0.1) == recovery.IDLE
    assert course.state.is_lost
    assert course.take(Arrived(SILENCE), 0.1) == Step(Order.PASS, report=SILENCE)
    assert course.take(Arrived("stuck", is_stuck=True), 0.1) == Step(gap=GapReason.DEVICE_LOST, report="stuck")


EVENTS = st.one_of(
    st.just(GOOD),
    st.builds(Arrived, st.sampled_from([None, SILENCE, "stuck"]), is_broken=st.booleans()),
    st.just(Arrived("stuck", is_stuck=True)),
    st.builds(Nothing, st.sampled_from([None, None, "the device is gone"])),
    st.just(Delivers()),
    st.builds(Failed, st.sampled_from(["busy", "there is none"])),
)
COURSES = st.lists(
    st.tuples(EVENTS, st.sampled_from([0.0, 0.02, 0.1, 1.0, 7.0, 40.0, 400.0]), st.floats(0.0, 1.0, exclude_max=True)),
    max_size=60,
)


def follow(events: Sequence[tuple[recovery.Input, float, float]]) -> Course:
    course = Course()
    for event, after_s, chance in events:
        course.chance = chance
        course.take(event, after_s)
    return course


@given(COURSES)
def test_a_device_is_closed_before_it_is_tried_and_tried_before_it_is_heard(
    events: list[tuple[recovery.Input, float, float]],
) -> None:
    course, is_open, is_tried = Course(), True, False
    for event, after_s, chance in events:
        course.chance = chance
        before = course.state
        step = course.take(event, after_s)
        match step.order:
            case Order.CLOSE:
                assert is_open
                is_open = False
            case Order.TRY:
                assert not is_open
                assert not is_tried
                assert course.now_s >= before.until_s
                is_tried = True
            case Order.GIVE_UP:
                assert is_tried
                is_tried = False
            case Order.PASS:
                assert is_open
        if isinstance(event, Delivers) and before.phase is Phase.TRIAL:
            is_open, is_tried = True, False
        assert is_open is (course.state.phase is Phase.LISTENING)
        assert is_tried is (course.state.phase is Phase.TRIAL)
        if course.state.phase is not Phase.LISTENING:
            assert course.state.is_lost
            assert course.state.until_s - course.now_s <= RULES.longest_pause_s


@given(COURSES)
def test_nothing_that_repeats_or_is_no_number_is_passed_on_and_a_gap_stands_wherever_something_is_withheld(
    events: list[tuple[recovery.Input, float, float]],
) -> None:
    course, is_continuous = Course(), True
    for event, after_s, chance in events:
        course.chance = chance
        step = course.take(event, after_s)
        if step.order is Order.PASS:
            assert isinstance(event, Arrived)
            assert not event.is_broken
            assert not event.is_stuck
            assert not course.state.is_lost
            is_continuous = True
        elif step.gap is not None:
            is_continuous = False
        elif isinstance(event, Arrived):
            assert not is_continuous  # what is not passed on lies after a gap


@given(COURSES)
def test_no_cause_is_reported_twice_in_a_row(events: list[tuple[recovery.Input, float, float]]) -> None:
    reports = [report.removesuffix("; opening it again") for report in follow(events).reports]
    assert all(before != after for before, after in pairwise(reports))


@settings(max_examples=50)
@given(COURSES)
def test_a_device_that_is_back_is_heard_within_the_longest_pause_whatever_came_before(
    events: list[tuple[recovery.Input, float, float]],
) -> None:
    course = follow(events)
    began_s = course.now_s
    while True:
        on_trial = course.state.phase is Phase.TRIAL
        event = GOOD if course.state.phase is Phase.LISTENING else Delivers() if on_trial else Nothing()
        if course.take(event, 0.1).order is Order.PASS:
            break
    assert course.now_s - began_s <= RULES.longest_pause_s + 0.5
    assert course.state.cause is None


@given(COURSES)
def test_repairs_of_a_deaf_device_are_rare(events: list[tuple[recovery.Input, float, float]]) -> None:
    course = follow(events)
    began_s, repairs = course.now_s, 0
    while course.now_s - began_s < 1_200.0:
        on_trial = course.state.phase is Phase.TRIAL
        event = Arrived(SILENCE) if course.state.phase is Phase.LISTENING else Delivers() if on_trial else Nothing()
        repairs += course.take(event, 1.0).order is Order.CLOSE
    assert repairs <= math.ceil(math.log2(300.0 / 5.0)) + 1_200.0 / 150.0 + 1
