"""Several devices of one site: streams with counts of their own that meet in the arbitration alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sirend.audio.stream import Block, Gap, GapReason, Samples, to_samples
from sirend.call.clock import ReplayClock
from sirend.call.scribe import Scribe
from sirend.config.settings import Approach, ArbitrationConfig, AudioConfig, Config, DetectConfig
from sirend.pipeline import Stages, detect_all
from tests.bundles import MODEL
from tests.test_pipeline import LoudIsSiren, Pcm, loud_between, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sirend.audio.stream import Window
    from sirend.call.event import Event

SITE = Config(
    audio=AudioConfig(device="north-mic"),
    approaches=(Approach("north"), Approach("south", device="south-mic")),
    detect=DetectConfig(confirm_s=0.5, release_s=2.0),
    arbitration=ArbitrationConfig(settle_s=1.0, hold_s=10.0),
)
PIECE = 1_600


class Device:
    """A stream that began at ``first`` of its own count, on a clock that is off by ``ppm``."""

    def __init__(self, pcm: Pcm, *, first: int = 0, ppm: float = 0.0) -> None:
        self._pcm = pcm
        self.first = first
        self._rate = 1.0 + 1e-6 * ppm

    def to_site(self, sample: Samples) -> Samples:
        return Samples(round((sample - self.first) / self._rate))

    def pieces(self) -> Iterator[tuple[float, Block]]:
        """Yield its blocks with the site's time at which each arrives."""
        for start in range(0, len(self._pcm), PIECE):
            block = Block(Samples(self.first + start), self._pcm[start : start + PIECE])
            yield self.to_site(block.end), block


def run(
    *devices: Device,
    config: Config = SITE,
    losing: tuple[int, float, GapReason] | None = None,
    on_window: Callable[[int, Window], None] = lambda *_: None,
) -> list[Event]:
    """Return the events of a site; ``losing`` a device means that from a time on it sends nothing but that gap."""
    scribe = Scribe(
        site="main-5th", boot_id="replay", mode="replay", model=MODEL.name, clock=ReplayClock(), valid_for_s=5.0
    )
    scorer = LoudIsSiren()
    whole = Stages.of(config, MODEL, scorer, scribe, channels=[0, 1])
    lines = [
        whole.of_device(
            scorer,
            scribe.beside(ReplayClock()),
            [approach],
            to_site=device.to_site,
            is_inhibited=lambda _: False,
        )
        for device, approach in zip(devices, config.approaches, strict=True)
    ]
    arriving: list[tuple[float, int, Block | Gap]] = []
    for number, device in enumerate(devices):
        for at, block in device.pieces():
            if losing is None or number != losing[0] or at <= to_samples(losing[1]):
                arriving.append((at, number, block))
    if losing is not None:
        number, at_s, reason = losing
        if reason is not GapReason.OVERFLOW:
            end = Samples(devices[number].first + to_samples(at_s))
            arriving.append((to_samples(at_s) + 1, number, Gap(end, reason)))
    arriving.sort(key=lambda each: each[:2])
    return list(detect_all(((number, item) for _, number, item in arriving), lines, on_window=on_window))


def changes(events: list[Event]) -> list[tuple[str, str]]:
    return [(approach, what) for approach, what, _ in told(events)]


def test_each_device_calls_by_its_own_count_and_all_share_the_numbers() -> None:
    parallel = replace(SITE, arbitration=ArbitrationConfig(mode="parallel"))
    events = run(
        Device(loud_between(20.0, (4.0, 12.0))),
        Device(loud_between(20.0, (4.0, 12.0)), first=7_000_000),
        config=parallel,
    )
    assert {(event.approach, event.state) for event in events} == {
        (name, state) for name in ("north", "south") for state in ("approaching", "clear")
    }
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    north, south = ([event.sample for event in events if event.approach == name] for name in ("north", "south"))
    assert len(north) == len(south)
    assert all(abs(there - here - 7_000_000) <= to_samples(0.25) for here, there in zip(north, south, strict=True))
    assert len({event.event_id for event in events}) == 4


@pytest.mark.parametrize("ppm", [-200.0, 0.0, 200.0])
@pytest.mark.parametrize("first", [0, 123_456_789])
def test_the_loudest_wins_whatever_the_clocks(ppm: float, first: int) -> None:
    pcm = loud_between(20.0, (4.0, 12.0))
    events = run(Device(0.1 * pcm), Device(pcm, first=first, ppm=ppm))
    assert changes(events) == [("south", "approaching siren"), ("south", "clear quiet")]


@pytest.mark.parametrize("early", [0, 1])
def test_the_earlier_of_two_as_loud_wins_by_the_common_clock(early: int) -> None:
    spans = [(6.0, 14.0), (6.0, 14.0)]
    spans[early] = (5.0, 14.0)
    # The counts alone would say the opposite.
    first = [0, 0]
    first[early] = 50_000_000
    devices = [Device(loud_between(20.0, span), first=start) for span, start in zip(spans, first, strict=True)]
    events = run(*devices)
    assert [approach for approach, what in changes(events) if what == "approaching siren"] == [
        ("north", "south")[early]
    ]


def test_a_lost_device_ends_its_call_and_the_other_takes_the_siren_over() -> None:
    pcm = loud_between(27.0, (4.0, 20.0))
    events = run(Device(0.1 * pcm), Device(pcm, first=999), losing=(1, 9.0, GapReason.DEVICE_LOST))
    assert changes(events) == [
        ("south", "approaching siren"),
        ("south", "clear input_lost"),
        ("north", "approaching siren"),
        ("north", "clear quiet"),
    ]
    (called,) = (each for each in events if each.approach == "north" and each.reason == "siren" and not each.refresh)
    assert 0 <= called.sample - to_samples(9.0) <= to_samples(0.5)


def test_the_loss_of_a_device_that_hears_nothing_disturbs_no_call() -> None:
    events = run(
        Device(loud_between(20.0, (4.0, 12.0))), Device(loud_between(20.0)), losing=(1, 8.0, GapReason.STALLED)
    )
    assert changes(events) == [("north", "approaching siren"), ("north", "clear quiet")]


def test_a_device_that_falls_silent_without_a_word_holds_the_other_up_for_moments_only() -> None:
    loud = loud_between(20.0, (6.0, 14.0))
    quiet = 0.1 * loud
    # South is louder and about to confirm, when nothing comes of it any more; OVERFLOW stands for: no gap is told.
    events = run(Device(quiet), Device(loud), losing=(1, 6.7, GapReason.OVERFLOW))
    assert changes(events) == [("north", "approaching siren"), ("north", "clear quiet")]
    alone = run(Device(quiet), Device(loud_between(20.0)))
    assert events[0].sample - alone[0].sample <= to_samples(1.5)


def test_a_failure_clears_the_calls_of_every_device() -> None:
    parallel = replace(SITE, arbitration=ArbitrationConfig(mode="parallel"))
    loud = loud_between(20.0, (4.0, 18.0))
    seen = 0

    def fail(_number: int, _window: Window) -> None:
        nonlocal seen
        seen += 1
        if seen == 60:
            raise ZeroDivisionError

    told_before: list[Event] = []
    with pytest.raises(ZeroDivisionError):
        told_before.extend(_lazily(parallel, loud, fail))
    assert changes(told_before)[-2:] == [("north", "clear input_lost"), ("south", "clear input_lost")]


def _lazily(config: Config, loud: Pcm, on_window: Callable[[int, Window], None]) -> Iterator[Event]:
    scribe = Scribe(
        site="main-5th", boot_id="replay", mode="replay", model=MODEL.name, clock=ReplayClock(), valid_for_s=5.0
    )
    whole = Stages.of(config, MODEL, LoudIsSiren(), scribe, channels=[0, 1])
    lines = [
        whole.of_device(LoudIsSiren(), scribe, [each], to_site=lambda sample: sample, is_inhibited=lambda _: False)
        for each in config.approaches
    ]
    pieces = [Block(Samples(start), loud[start : start + PIECE]) for start in range(0, len(loud), PIECE)]
    yield from detect_all(((number, piece) for piece in pieces for number in (0, 1)), lines, on_window=on_window)


def test_both_hear_every_window() -> None:
    windows: list[tuple[int, int]] = []
    run(
        Device(np.zeros((48_000, 1), np.float32)),
        Device(np.zeros((48_000, 1), np.float32), first=1_000),
        on_window=lambda number, window: windows.append((number, window.end)),
    )
    assert [end for number, end in windows if number == 0] == list(range(32_000, 48_001, 4_000))
    assert [end for number, end in windows if number == 1] == list(range(36_000, 48_001, 4_000))
