"""Follows a running daemon for the page, whether somebody looks or not, so that the page opens with what was before."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sirend.observe.calls import History
from sirend.observe.day import MINUTE_S, Day
from sirend.observe.moment import MomentEncoder, about
from sirend.observe.snapshot import EVENTS, KEPT_S

if TYPE_CHECKING:
    from pathlib import Path

    from sirend.observe.snapshot import View
    from sirend.selftest.runner import SelfTestRunner

QUEUED = 64
"""Messages that wait for a slow viewer: 16 s of them at the usual hop."""
LOOK_S = 0.05
"""How often the view is looked at while someone watches."""
IDLE_S = 0.5
"""How often while nobody does: the samples of the last 2 s are at hand."""
FILES_S = 0.5
"""How often it is looked whether a call has its picture by now."""


@dataclass(frozen=True, slots=True)
class Archive:
    """Where what the daemon keeps lies; None where it keeps none."""

    clips: Path | None = None
    """Folder of sound, pictures and notes of calls."""
    journal: Path | None = None


class Viewer:
    """One open page."""

    def __init__(self) -> None:
        """Start with nothing waiting."""
        self.queue: asyncio.Queue[str] = asyncio.Queue(QUEUED)

    def offer(self, message: str) -> int:
        """Keep a message for the viewer; return how many older ones it cost."""
        dropped = 0
        while self.queue.full():
            self.queue.get_nowait()
            dropped += 1
        self.queue.put_nowait(message)
        return dropped


class Feed:
    """What the page is told. Lives on the page's thread; reading the journal takes a moment."""

    def __init__(self, view: View, runner: SelfTestRunner, kept: Archive) -> None:
        """Follow ``view`` and the self-tests of ``runner``; begin with what ``kept`` remembers."""
        self.viewers: set[Viewer] = set()
        self._view = view
        self._runner = runner
        self._kept = kept
        journal = kept.journal
        names = [each.name for each in view.setup.approaches]
        self._history = History(journal)
        self._day = Day(names, None if journal is None else journal.with_name(journal.name + ".day"))
        self._glance = MomentEncoder(view.setup)
        self._backlog: deque[dict[str, Any]] = deque(maxlen=max(1, round(KEPT_S / view.setup.hop_s)))
        self._seq = 0
        self._setup, self._health, self._tested = view.setup, view.health, runner.status
        self._files: frozenset[str] = frozenset()
        self._listed_at = -FILES_S

    def welcome(self) -> Viewer:
        """Return a new viewer that waits for what is known so far."""
        viewer = Viewer()
        self._list()
        for kind, content in (
            ("about", self._about()),
            ("health", self._view.health),
            ("events", self._history.events(EVENTS)),
            ("calls", self._history.calls(self._files)),
            ("selftest", self._runner.status),
            ("moments", list(self._backlog)),
            ("day", self._day.recent(time.time())),
        ):
            viewer.offer(message(kind, content))
        self.viewers.add(viewer)
        return viewer

    async def follow(self) -> None:
        """Look at the view for as long as the page is served."""
        try:
            while True:
                self.look()
                await asyncio.sleep(LOOK_S if self.viewers else IDLE_S)
        finally:
            self._day.write()

    def look(self) -> None:
        """Take what is new and tell all viewers."""
        view = self._view
        if view.setup is not self._setup:  # the configuration was read again
            self._setup = view.setup
            self._publish("about", self._about())
            self._publish("moments", list(self._backlog))
        news = view.since(self._seq)
        if news.moments:
            self._seq = news.moments[-1].seq
            moments = self._glance.take(news)
            self._backlog.extend(moments)
            self._publish("moments", moments)
            self._add_to_day(news.moments)
        if view.health is not self._health:
            self._health = view.health
            self._publish("health", self._health)
        if self._runner.status is not self._tested:
            self._tested = self._runner.status
            self._publish("selftest", self._tested)
        is_news = [self._history.add_event(event) for event in view.events()]
        if any(is_news):
            self._publish("events", self._history.events(EVENTS))
        if (self.viewers and self._list()) or any(is_news):
            self._publish("calls", self._history.calls(self._files))

    def _about(self) -> dict[str, Any]:
        return {**about(self._view.setup), "journal": self._kept.journal is not None, "minute_s": MINUTE_S}

    def _add_to_day(self, moments: list[Any]) -> None:
        """Add to the day."""
        state, now_s = str(self._view.health.get("state", "ok")), time.time()
        ended = [self._day.take(moment, state, now_s) for moment in moments]
        if any(minute is not None for minute in ended):
            self._publish("day", self._day.recent(now_s))

    def _list(self) -> bool:
        """Look at what is kept of calls; return whether that changed."""
        if self._kept.clips is None or time.monotonic() - self._listed_at < FILES_S:
            return False
        self._listed_at = time.monotonic()
        before = self._files
        try:
            self._files = frozenset(path.name for path in self._kept.clips.iterdir())
        except OSError:
            self._files = frozenset()
        return self._files != before

    def _publish(self, kind: str, content: object) -> None:
        if not self.viewers:
            return
        text = message(kind, content)
        for viewer in self.viewers:
            if dropped := viewer.offer(text):
                self._view.count_missed(dropped)


def message(kind: str, content: object) -> str:
    """Return a server-sent event."""
    return f"event: {kind}\ndata: {json.dumps(content, separators=(',', ':'))}\n\n"
