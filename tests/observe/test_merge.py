from __future__ import annotations

import numpy as np
import pytest
from tests.observe.test_snapshot import HOP, setup

from sirend.audio.stream import SILENCE_DBFS, Samples, Score, Window
from sirend.call.machine import State
from sirend.call.rules import Rules
from sirend.call.state import CallState
from sirend.call.watch import ApproachWatch
from sirend.config.settings import CallConfig, DetectConfig
from sirend.detect.arrival import Arrival
from sirend.detect.bundle import OperatingPoint
from sirend.detect.motion import Motion
from sirend.detect.tracker import Track, Tracker
from sirend.observe.merge import MomentMerger
from sirend.observe.snapshot import View

POINT = OperatingPoint(enter=0.6, exit=0.4, confirm_s=0.5, release_s=2.0)


def merger(*devices: list[str]) -> tuple[View, MomentMerger]:
    names = [name for device in devices for name in device]
    view = View(setup(*names))
    rules = Rules.of(DetectConfig(), CallConfig(), POINT)
    watches = {name: ApproachWatch(Tracker(name, Samples(HOP)), rules, lambda _: False) for name in names}
    return view, MomentMerger(view, watches, devices)


def hear(made: MomentMerger, device: int, end: int, *names: str) -> None:
    """Let a device have a window that ends at ``end`` and holds that number in every sample."""
    made.add_window(device, Window(Samples(end), np.full((len(names), 32_000), end, dtype=np.float32), HOP))
    for name in names:
        track = Track(Samples(end), name, 0.5, Samples(end), -40.0)
        made.add_score(Score(Samples(end), name, 0.25, -40.0), track)


def ends(view: View) -> list[tuple[int | None, ...]]:
    """Return, moment by moment, where the window of each approach ended."""
    return [tuple(heard.end for heard in moment.heard) for moment in view.since(0).moments]


def test_one_device_is_shown_as_it_is() -> None:
    view, made = merger(["north", "south"])
    window = Window(Samples(32_000), np.ones((2, 32_000), dtype=np.float32), HOP)
    made.add_window(0, window)
    for name in ("north", "south"):
        made.add_score(Score(window.end, name, 0.25, -40.0), Track(window.end, name, 0.5, window.end, -40.0))
    news = view.since(0)
    assert news.window is window
    assert (news.moments[0].end, ends(view)) == (32_000, [(32_000, 32_000)])


def test_a_moment_holds_the_latest_window_of_each_device_whatever_their_counts() -> None:
    view, made = merger(["north"], ["east", "west"])
    for count in range(3):
        hear(made, 0, 32_000 + count * HOP, "north")
        hear(made, 1, 900_000 + count * HOP, "east", "west")
    assert ends(view) == [(32_000 + i * HOP, 900_000 + i * HOP, 900_000 + i * HOP) for i in range(3)]
    news = view.since(0)
    assert [moment.end for moment in news.moments] == [HOP, 2 * HOP, 3 * HOP]
    assert news.window is not None
    assert news.window.end == 3 * HOP
    assert news.window.pcm[:, -1].tolist() == [32_000 + 2 * HOP, 900_000 + 2 * HOP, 900_000 + 2 * HOP]


@pytest.mark.parametrize("fast", [0, 1])
def test_a_clock_that_runs_ahead_gets_a_moment_to_itself_and_nothing_is_lost(fast: int) -> None:
    view, made = merger(["north"], ["south"])
    names = ("north", "south")
    for count in range(4):
        hear(made, fast, count, names[fast])
        if count != 1:
            hear(made, 1 - fast, 100 + count, names[1 - fast])
    told = ends(view)
    assert [moment[fast] for moment in told] == [0, 1, 2, 3]
    assert [moment[1 - fast] for moment in told] == [100, None, 102, 103]
    alone = view.since(0).moments[1].heard[1 - fast]
    assert (alone.score, alone.level_dbfs) == (0.0, SILENCE_DBFS)


def test_a_device_that_is_lost_is_silent_and_the_others_go_on() -> None:
    view, made = merger(["north"], ["south"])
    for count in range(4):
        hear(made, 0, count, "north")
    assert ends(view) == [(0, None), (1, None), (2, None)]  # the last waits for the next or for the other
    news = view.since(0)
    assert news.window is not None
    assert not news.window.pcm[1].any()


def test_the_view_has_what_the_call_said_last_and_nothing_of_a_device_that_is_silent() -> None:
    view = View(setup("north", "east"))
    rules = Rules.of(DetectConfig(), CallConfig(), POINT)
    watches = {name: ApproachWatch(Tracker(name, Samples(HOP)), rules, lambda _: False) for name in ("north", "east")}
    made = MomentMerger(view, watches, [["north"], ["east"]])
    arrival = Arrival(6.0, 4.0, 9.0)
    watches["north"].state = State(call=CallState.APPROACHING, arrival=arrival)
    for end in (32_000, 36_000):
        made.add_window(0, Window(Samples(end), np.zeros((1, 32_000), dtype=np.float32), HOP))
        track = Track(Samples(end), "north", 0.9, Samples(0), -40.0, Motion.APPROACHING)
        made.add_score(Score(Samples(end), "north", 0.9, -40.0), track)
    made.add_window(1, Window(Samples(32_000), np.zeros((1, 32_000), dtype=np.float32), HOP))
    made.add_score(Score(Samples(32_000), "east", 0.1, -40.0), Track(Samples(32_000), "east", 0.1, Samples(0), -40.0))
    hear(made, 1, 36_000, "east")
    told = [[heard.arrival for heard in moment.heard] for moment in view.since(0).moments]
    assert told == [[arrival, None], [arrival, None]]
