"""Puts what several devices hear together, as the moments of one view.

The streams have clocks of their own, so a moment holds the latest window of each. Where a device has none, for it is
lost or its clock is slower, its approaches are silent in that moment; one whose clock is faster begins the next moment.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sirend.audio.stream import SILENCE_DBFS, Samples, Score, Window
from sirend.detect.tracker import Track

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sirend.call.watch import ApproachWatch
    from sirend.observe.snapshot import View


class MomentMerger:
    """Feeds a view with the windows of all devices. Lives on the worker's thread."""

    def __init__(self, view: View, watches: Mapping[str, ApproachWatch], devices: Sequence[Sequence[str]]) -> None:
        """Feed ``view``; ``watches`` has every approach in the order of the view, ``devices`` those of each device."""
        self._view = view
        self._watches = watches
        self._devices = devices
        self._rows = {name: row for row, name in enumerate(watches)}
        self._windows: dict[int, Window] = {}
        self._heard: dict[str, tuple[Score, Track]] = {}
        self._end = 0

    def add_window(self, device: int, window: Window) -> None:
        """Take the next window of a device, which is about to be scored."""
        if device in self._windows:
            self._complete()
        self._windows[device] = window

    def add_score(self, score: Score, track: Track) -> None:
        """Take what an approach has in it; the last approach of the last device completes the moment."""
        self._heard[score.approach] = score, track
        if len(self._heard) == len(self._rows):
            self._complete()

    def _complete(self) -> None:
        """Hand the moment to the view."""
        heard, windows = self._heard, self._windows
        self._heard, self._windows = {}, {}
        if len(self._devices) == 1:
            (whole,) = windows.values()
        else:
            whole = self._joined(windows)
        self._view.add_window(whole)
        for name, watch in self._watches.items():
            own_end = heard[name][0].end if name in heard else None
            score, track = heard.get(name) or _nothing(whole.end, name)
            state = watch.state
            self._view.add_score(replace(score, end=whole.end), track, state.call, own_end, state.arrival)

    def _joined(self, windows: Mapping[int, Window]) -> Window:
        """Return the windows of a moment as one, on a count of its own."""
        latest = next(iter(windows.values()))
        fresh = max(window.fresh for window in windows.values())
        self._end += fresh
        pcm = np.zeros((len(self._rows), latest.pcm.shape[1]), dtype=np.float32)
        for device, window in windows.items():
            pcm[[self._rows[name] for name in self._devices[device]]] = window.pcm
        return Window(Samples(self._end), pcm, fresh)


def _nothing(end: Samples, approach: str) -> tuple[Score, Track]:
    """Return what an approach has that nobody listens to."""
    return Score(end, approach, 0.0, SILENCE_DBFS), Track(end, approach, 0.0, end, SILENCE_DBFS)
