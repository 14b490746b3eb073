from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirend.audio.diagnosis import (
    NO_SAMPLES,
    Diagnosis,
    Floor,
    InputFault,
    InputMonitor,
    Pace,
    Streak,
    faults_of,
    is_repeated,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sirend.audio.stream import Pcm

RATE = 16_000
BLOCK = 320
LATEST_S = 4.2
"""A fault must be known by then: within 5 s less the time that publishing takes."""


def noise(seconds: float, seed: int = 0, dbfs: float = -40.0) -> Pcm:
    rng = np.random.default_rng(seed)
    scaled: Pcm = (10.0 ** (dbfs / 20.0) * rng.standard_normal(round(seconds * RATE))).astype(np.float32)
    return scaled


def quantised(pcm: Pcm) -> Pcm:
    return (np.round(np.clip(pcm, -1.0, 1.0) * 32_767.0) / 32_768.0).astype(np.float32)


class Listening:
    """An ear that is fed in real time of its own."""

    def __init__(self, *names: str, rate_hz: int = RATE) -> None:
        names = names or ("main",)
        self.ear = InputMonitor({name: column for column, name in enumerate(names)})
        self.now_s = 100.0
        self.ear.begin(rate_hz, self.now_s)

    def feed(self, *columns: Pcm, rate_hz: float = RATE, block: int = BLOCK) -> float | None:
        """Feed blocks; return after how many seconds the diagnosis first was not that of the beginning."""
        pcm = np.stack(columns, axis=1)
        began_s, before = self.now_s, self.diagnosis
        changed = None
        for start in range(0, len(pcm), block):
            piece = pcm[start : start + block]
            self.now_s += len(piece) / rate_hz
            self.ear.observe(piece, self.now_s)
            if changed is None and self.diagnosis != before:
                changed = self.now_s - began_s
        return changed

    @property
    def diagnosis(self) -> Diagnosis:
        return self.ear.diagnosis(self.now_s)


def repeated(seconds: float) -> Pcm:
    piece = quantised(noise(0.137, 5))
    return np.tile(piece, math.ceil(seconds / 0.137))[: round(seconds * RATE)]


def clipped(seconds: float) -> Pcm:
    return quantised(np.clip(noise(seconds, 6, dbfs=0.0), -1.0, 1.0))


FAULTS: dict[InputFault, Callable[[float], Pcm]] = {
    InputFault.SILENCE: lambda s: np.zeros(round(s * RATE), dtype=np.float32),
    InputFault.CONSTANT: lambda s: np.full(round(s * RATE), 0.013, dtype=np.float32),
    InputFault.REPEATED: repeated,
    InputFault.DC: lambda s: noise(s, 4) + np.float32(0.1),
    InputFault.CLIPPING: clipped,
    InputFault.QUIET: lambda s: quantised(noise(s, 3, dbfs=-80.0)),
}


@pytest.mark.parametrize("fault", InputFault)
def test_each_fault_is_known_within_5_s_and_over_soon_after_it_ended(fault: InputFault) -> None:
    listening = Listening()
    listening.feed(noise(62.3))
    assert listening.diagnosis == Diagnosis()
    after_s = listening.feed(FAULTS[fault](6.0))
    assert after_s is not None
    assert after_s <= LATEST_S
    told = (f"main: {fault.value}",)
    assert listening.diagnosis == (Diagnosis(failed=told) if fault.is_deaf else Diagnosis(degraded=told))
    assert listening.ear.is_deaf is fault.is_deaf
    assert listening.ear.stuck == ([0] if fault in (InputFault.CONSTANT, InputFault.REPEATED) else [])
    listening.feed(noise(5.0, 9))
    assert listening.diagnosis == Diagnosis()


@pytest.mark.parametrize("fault", InputFault)
def test_what_lasts_for_a_moment_is_no_fault(fault: InputFault) -> None:
    listening = Listening()
    listening.feed(noise(61.0))
    assert listening.feed(FAULTS[fault](1.9)) is None
    assert listening.feed(noise(4.0, 2)) is None


def test_a_dead_microphone_among_others_is_named_and_degrades() -> None:
    listening = Listening("north", "south")
    listening.feed(noise(6.0), np.zeros(6 * RATE, dtype=np.float32))
    assert listening.diagnosis == Diagnosis(degraded=(f"south: {InputFault.SILENCE.value}",))
    assert not listening.ear.is_deaf


@pytest.mark.parametrize("dbfs", [-84.0, -60.0, -20.0, -6.0])
def test_a_quiet_night_and_a_siren_at_the_pole_are_no_faults(dbfs: float) -> None:
    listening = Listening()
    at_s = np.arange(20 * RATE) / RATE
    tone = (0.7 * 10.0 ** (dbfs / 20.0) * np.sin(2.0 * np.pi * (900.0 + 300.0 * np.sin(at_s)) * at_s)).astype(
        np.float32
    )
    assert listening.feed(quantised(tone + noise(20.0, 1, dbfs=dbfs - 10.0))) is None


def test_a_slow_evening_does_not_alarm_and_a_cut_cable_stays_told_until_sound_comes_back() -> None:
    floor = Floor()
    evening = [-40.0 - 30.0 * second / 7_200.0 for second in range(7_200)]
    assert not any(floor.is_far_above(level) for level in evening)
    assert all(floor.is_far_above(-100.0) for _ in range(7_200))
    assert not floor.is_far_above(-70.0)


@given(st.floats(-119.0, 0.0), st.floats(0.0, 24.0))
def test_the_floor_is_the_quietest_second_and_nothing_near_it_is_far_below(quiet: float, below: float) -> None:
    floor = Floor()
    for second in range(180):
        assert not floor.is_far_above(quiet + second % 7)
    assert floor.dbfs == quiet
    assert not floor.is_far_above(quiet - below)
    assert floor.is_far_above(quiet - 25.1)


@given(st.lists(st.booleans(), max_size=40))
def test_a_fault_turns_on_and_off_only_after_three_seconds_in_a_row(seconds: list[bool]) -> None:
    streak, history = Streak(), [False] * 3
    for holds in seconds:
        before = streak.is_on
        streak = streak.step(holds=holds)
        history.append(holds)
        if streak.is_on is not before:
            assert history[-3:] == [streak.is_on] * 3
        elif history[-3:] == [holds] * 3:
            assert streak.is_on is holds


@given(st.integers(64, 15_000), st.integers(0, 2**32 - 1))
def test_any_period_up_to_a_second_is_a_repetition_and_noise_never_is(period: int, seed: int) -> None:
    piece = quantised(noise(period / RATE, seed, dbfs=-50.0))
    stuck = np.tile(piece, 2 * RATE // period + 2)
    assert is_repeated(stuck[:RATE], stuck[RATE : 2 * RATE])
    fresh = quantised(noise(2.0, seed, dbfs=-60.0))
    assert not is_repeated(fresh[:RATE], fresh[RATE:])


def test_no_samples_are_told_after_two_seconds_unless_the_device_is_closed() -> None:
    listening = Listening()
    listening.feed(noise(1.0))
    listening.now_s += 1.9
    assert listening.diagnosis == Diagnosis()
    listening.now_s += 0.2
    assert listening.diagnosis == Diagnosis(failed=(NO_SAMPLES,))
    listening.ear.end()
    assert listening.diagnosis == Diagnosis()


@pytest.mark.parametrize(("actual_hz", "word"), [(44_100, "fewer"), (51_000, "more")])
def test_a_wrong_rate_is_known_within_5_s(actual_hz: int, word: str) -> None:
    listening = Listening(rate_hz=48_000)
    assert listening.feed(noise(40.0), rate_hz=48_000, block=960) is None
    after_s = listening.feed(noise(20.0, 2), rate_hz=actual_hz, block=960)
    assert after_s is not None
    assert after_s <= 5.0
    told = f"{word} samples arrive than 48000 Hz: the device's rate is wrong or samples are lost"
    assert listening.diagnosis == Diagnosis(degraded=(told,))


def jittered(seed: int, *, rate: float = 1.0) -> Iterator[tuple[float, float]]:
    """Yield when how many seconds of samples were there: blocks late by up to 0.8 s, as on a loaded host."""
    rng = np.random.default_rng(seed)
    now_s = 0.0
    for _ in range(600):
        now_s += float(rng.choice([0.02, 0.02, 0.02, 0.8], p=[0.5, 0.3, 0.195, 0.005]))
        yield rate * (now_s - now_s % 0.02), now_s


@given(st.integers(0, 2**32 - 1))
def test_a_loaded_host_does_not_make_the_rate_look_wrong(seed: int) -> None:
    pace = Pace(0.0)
    for heard_s, now_s in jittered(seed):
        pace.observe(heard_s, now_s)
        assert abs(pace.drift) < 0.03


def test_a_worker_that_is_late_again_and_again_is_too_slow() -> None:
    listening = Listening()
    late = noise(1.2)
    assert listening.feed(late, block=len(late)) is None
    assert listening.feed(late, block=len(late)) is not None
    assert listening.diagnosis.degraded == (
        "the model is too slow for this host: the worker is more than 1 s behind the microphone",
    )
    listening.feed(noise(11.0))
    assert listening.diagnosis == Diagnosis()


def test_overflows_are_told_when_they_come_often() -> None:
    listening = Listening()
    for _ in range(5):
        listening.feed(noise(5.0, 2))
        listening.ear.count_overflow(listening.now_s)
    assert listening.diagnosis == Diagnosis()
    listening.feed(noise(5.0, 2))
    listening.ear.count_overflow(listening.now_s)
    assert listening.diagnosis.degraded == ("the host cannot keep up: 6 overflows or more within a minute",)
    listening.feed(noise(36.0, 2))
    assert listening.diagnosis == Diagnosis()


@given(st.lists(st.integers(1, 20_000), min_size=1, max_size=40), st.sampled_from(list(InputFault)[:5]))
def test_the_size_of_blocks_does_not_change_the_diagnosis(sizes: list[int], fault: InputFault) -> None:
    pcm = np.concatenate((noise(2.0), FAULTS[fault](6.0)))
    one, other = InputMonitor({"main": 0}), InputMonitor({"main": 0})
    for ear in (one, other):
        ear.begin(RATE, 0.0)
    one.observe(pcm[:, np.newaxis], 8.0)
    place = 0
    while place < len(pcm):
        for size in sizes:
            other.observe(pcm[place : place + size, np.newaxis], min(len(pcm), place + size) / RATE)
            place += size
    assert (one.is_deaf, one.stuck) == (other.is_deaf, other.stuck)


def test_the_offset_of_a_cheap_converter_is_none_to_be_told() -> None:
    assert faults_of(noise(1.0) + np.float32(0.015), noise(0.0), Floor()) == frozenset()
