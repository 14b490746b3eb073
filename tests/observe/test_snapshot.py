from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.transitions import CALL, CLEAR

from sirend.audio.stream import Samples, Score, Window
from sirend.call.clock import ReplayClock
from sirend.call.rules import Rules
from sirend.call.scribe import Scribe
from sirend.call.state import CallState
from sirend.config.settings import Approach
from sirend.detect.features import FeatureSpec
from sirend.detect.motion import Motion
from sirend.detect.tracker import Track
from sirend.observe.snapshot import EVENTS, Setup, View

if TYPE_CHECKING:
    import pytest

    from sirend.call.event import Event
    from sirend.detect.arrival import Arrival
    from sirend.detect.bearing import Bearing

HOP = 4_000
RULES = Rules(
    enter=0.6,
    exit=0.4,
    confirm=Samples(0),
    release=Samples(0),
    min_duration=Samples(1),
    max_presence=Samples(1),
    rearm_gap=Samples(1),
    max_calls_per_hour=1,
)


def setup(*names: str) -> Setup:
    approaches = tuple(Approach(name, channel) for channel, name in enumerate(names or ("main",)))
    return Setup("main-5th", "default", "m@0", "0.0.0", approaches, RULES, FeatureSpec(), 0.25, advisory=False)


def feed_call(
    view: View,
    arrival: Arrival | None,
    motion: Motion,
    call: CallState = CallState.APPROACHING,
    only: str | None = None,
) -> None:
    """Add a moment in which every approach, or ``only`` one, has what a call said last."""
    end = Samples(32_000 + (view.windows + 1) * HOP)
    names = [approach.name for approach in view.setup.approaches]
    view.add_window(Window(end, np.zeros((len(names), 32_000), dtype=np.float32), HOP))
    for name in names:
        if only in (None, name):
            track = Track(end, name, 0.9, end, -40.0, motion)
            view.add_score(Score(end, name, 0.9, -40.0), track, call, end, arrival)
        else:
            view.add_score(Score(end, name, 0.1, -60.0), Track(end, name, 0.1, end, -60.0), CallState.CLEAR, end)


def feed(view: View, count: int, first: int = 1, bearing: Bearing | None = None) -> None:
    names = [approach.name for approach in view.setup.approaches]
    for number in range(first, first + count):
        end = Samples(32_000 + number * HOP)
        view.add_window(Window(end, np.full((len(names), 32_000), number, dtype=np.float32), HOP))
        for name in names:
            track = Track(end, name, 0.5, end, -40.0, Motion.UNKNOWN, bearing=bearing)
            view.add_score(Score(end, name, 0.25, -40.0), track, CallState.CLEAR, end)


def events(count: int) -> list[Event]:
    scribe = Scribe(site="s", boot_id="b", mode="replay", model="m", clock=ReplayClock(), valid_for_s=5.0)
    states = CALL, CLEAR
    return [scribe.write(replace(states[number % 2], at=Samples(number))) for number in range(count)]


def test_a_moment_is_complete_with_the_last_approach() -> None:
    view = View(setup("north", "south"))
    end = Samples(32_000)
    view.add_window(Window(end, np.zeros((2, 32_000), dtype=np.float32), HOP))
    track = Track(end, "north", 0.5, end, -40.0, Motion.UNKNOWN)
    view.add_score(Score(end, "north", 0.25, -40.0), track, CallState.CLEAR, end)
    assert view.since(0).moments == []
    view.add_score(Score(end, "south", 0.75, -30.0), track, CallState.APPROACHING, end)
    (moment,) = view.since(0).moments
    assert [(heard.approach, heard.score, heard.call) for heard in moment.heard] == [
        ("north", 0.25, "clear"),
        ("south", 0.75, "approaching"),
    ]


@given(st.lists(st.integers(0, 400), max_size=6))
def test_a_reader_gets_every_moment_once_or_it_is_counted_as_missed(batches: list[int]) -> None:
    view = View(setup())
    feed(view, 1)
    seq, seen = 1, [1]
    for batch in batches:
        feed(view, batch, first=view.windows + 1)
        news = view.since(seq)
        assert news.missed == max(0, batch - 240)
        seen += [moment.seq for moment in news.moments]
        seq = seen[-1]
    assert seen == sorted(set(seen))
    assert len(seen) + view.missed == view.windows == 1 + sum(batches)


def test_one_who_comes_late_gets_the_last_minute_and_has_missed_nothing() -> None:
    view = View(setup())
    feed(view, 1_000)
    news = view.since(0)
    assert [moment.seq for moment in news.moments] == list(range(761, 1_001))
    assert news.window is not None
    assert news.window.end == news.moments[-1].end
    assert view.missed == 0


def test_events_are_kept_in_bounds_and_calls_are_counted() -> None:
    view = View(setup())
    made = events(51)
    for event in made:
        view.add_event(event)
    assert view.events() == made[-EVENTS:]
    assert view.calls() == {"main": 26}


def test_readers_on_other_threads_see_whole_moments_in_order() -> None:
    view = View(setup("north", "south"))
    wrong: list[str] = []
    seen = [0]
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            news = view.since(seen[-1])
            for moment in news.moments:
                if len(moment.heard) != 2 or moment.seq <= seen[-1]:
                    wrong.append(repr(moment))
                seen.append(moment.seq)
            if news.window is not None and news.moments and news.window.end != news.moments[-1].end:
                wrong.append("the window is not that of the latest moment")

    reader = threading.Thread(target=read)
    reader.start()
    feed(view, 3_000)
    over.set()
    reader.join()
    assert wrong == []
    assert view.windows == 3_000


def test_the_age_grows_while_nothing_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [50.0]
    monkeypatch.setattr("sirend.observe.snapshot.time.monotonic", lambda: now[0])
    view = View(setup())
    now[0] = 53.0
    assert view.age_s() == 3.0
    feed(view, 1)
    now[0] = 53.5
    assert view.age_s() == 0.5
