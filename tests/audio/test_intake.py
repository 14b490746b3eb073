from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirend.audio.intake import RING_S, Intake

if TYPE_CHECKING:
    from sirend.audio.stream import Pcm


def noise(frames: int) -> Pcm:
    return (0.1 * np.random.default_rng(frames).standard_normal((frames, 1))).astype(np.float32)


def take(intake: Intake) -> list[tuple[int, int]]:
    """Return start and length of the blocks that are there, (start, 0) for a gap."""
    told = []
    while intake.wait(0.0):
        if intake.passes_gap():
            told.append((int(intake.position), 0))
        block = intake.block(intake.read())
        told.append((int(block.start), len(block.pcm)))
    return told


@given(st.lists(st.tuples(st.integers(1, 900), st.booleans()), max_size=30))
def test_whatever_is_delivered_is_given_once_in_order_with_its_gaps(delivered: list[tuple[int, bool]]) -> None:
    intake = Intake(1)
    intake.open(16_000)
    expected, count = [], 0
    for frames, is_after_loss in delivered:
        intake.deliver(noise(frames), is_after_loss)
        if is_after_loss:
            expected.append((count, 0))
        expected.append((count, frames))
        count += frames
        assert intake.arrived() == count
        assert take(intake) == expected[-1 - is_after_loss :]
    assert intake.position == count
    assert intake.dropped == 0


def test_the_count_goes_on_over_devices_of_any_rate() -> None:
    intake = Intake(1)
    intake.open(16_000)
    intake.deliver(noise(700), False)
    assert take(intake) == [(0, 700)]
    intake.close()
    assert intake.nothing().start == 700
    assert not intake.wait(0.0)
    intake.open(48_000, is_after_loss=True)
    intake.deliver(noise(48_000), False)
    assert intake.arrived() == 700 + 16_000
    (gap, first) = take(intake)
    assert gap == (700, 0)
    assert first[0] == 700
    assert 15_600 < first[1] <= 16_000


@pytest.mark.parametrize(("drops", "dropped"), [(False, 0), (True, 300)])
def test_what_waits_when_it_is_closed_is_dropped_where_that_is_nobody_elses_fault(drops: bool, dropped: int) -> None:
    intake = Intake(1)
    intake.open(16_000)
    intake.deliver(noise(300), False)
    intake.close(drops=drops)
    assert intake.dropped == dropped


def test_what_finds_no_room_is_dropped_and_makes_a_gap_where_it_is_missing() -> None:
    intake = Intake(1)
    intake.open(16_000)
    room = round(RING_S * 16_000)
    intake.deliver(noise(room), False)
    intake.deliver(noise(50), False)
    assert intake.dropped == 50
    assert take(intake) == [(0, room)]
    intake.deliver(noise(10), False)
    assert take(intake) == [(room, 0), (room, 10)]


def test_what_was_read_may_begin_a_stretch_of_its_own() -> None:
    """As the first samples of a device that was lost, which are looked at before they are believed."""
    intake = Intake(1)
    intake.open(16_000)
    for frames in (200, 300):
        intake.deliver(noise(frames), False)
        intake.begin()
        intake.read()
    pcm = noise(100)
    intake.deliver(pcm, False)
    intake.begin(intake.read())
    assert intake.block(pcm).start == 0
    assert intake.arrived() == 100
