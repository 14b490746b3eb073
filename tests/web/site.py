"""A site without a sound card: a simulated junction through the real pipeline, faster than real time, into a view."""

from __future__ import annotations

import math
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from tests.conftest import PATIENCE_S
from tests.selftest.test_runner import serve
from tests.transitions import CALL, CLEAR

from sirend.audio.routing import columns
from sirend.audio.stream import SAMPLE_RATE_HZ, Block, Samples
from sirend.call.clock import ReplayClock
from sirend.call.scribe import Scribe
from sirend.call.state import Reason
from sirend.config import geometry
from sirend.config.settings import Approach, ArrayConfig, AudioConfig, CallConfig, ClipsConfig, Config, WebConfig
from sirend.detect import bundle
from sirend.detect.classifier import Classifier
from sirend.evidence.recorder import Clips
from sirend.host.subprocess import Helper
from sirend.observe.day import Day
from sirend.observe.merge import MomentMerger
from sirend.observe.snapshot import Setup, View
from sirend.pipeline import Stages, detect
from sirend.publish.journal import Journal
from sirend.simulate import array_scene, junction, scene
from sirend.web.feed import Archive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEGS = ("north", "east", "south", "west")
BLOCK = 1_600
HEALTH = {
    "state": "ok",
    "reasons": [],
    "outbox": {"connected": True, "published": 4711, "dropped_expired": 0, "dropped_full": 0, "refused": 0},
    "dropped_samples": 0,
    "gaps": 0,
    "cpu_percent": 6.1,
    "rss_mb": 118.0,
    "temperature_c": 51.2,
    "uptime_s": 86_500.0,
}


class Site:
    """Plays a drive-by from the south to a served page inside its ``with`` block."""

    def __init__(  # noqa: PLR0913  what a page is shown of
        self, folder: Path, port: int, *, names: tuple[str, ...] = LEGS, advisory: bool = False, speed: float = 2.5,
        snr_db: float = 5.0, has_array: bool = False,
    ) -> None:  # fmt: skip
        """Prepare a site whose journal and day reach back; the present plays ``speed`` times as fast as it is.

        With ``has_array`` one array hears for its approaches, of which ``main`` has no bearing.
        """
        self._config = Config(
            site="main-5th",
            approaches=tuple(
                Approach(name, 0)
                if name not in LEGS
                else Approach(name, LEGS.index(name), 90.0 * LEGS.index(name), width_deg=70.0 if has_array else 60.0)
                for name in names
            ),
            audio=AudioConfig(channels=5 if has_array else 4),
            array=ArrayConfig(unknown_leg="hold") if has_array else None,
            call=CallConfig(advisory=advisory),
        )
        self._bundle = bundle.load(bundle.find(None))
        self._speed = speed
        self.view = View(Setup.of(self._config, self._bundle))
        self.view.health = HEALTH
        journal = folder / "events.jsonl"
        remember(journal, names)
        self._web = serve(WebConfig(enabled=True, port=port), self.view, Archive(folder / "clips", journal))
        self._clips = Clips(ClipsConfig(enabled=True, path=folder / "clips"), self.view, Helper())
        driven = scene.Scene(start_m=500.0, snr_db=snr_db, seed=3)
        if has_array:
            driven = replace(driven, seed=6)  # its bearing is known in the window that calls
            self._pcm = array_scene.render_at_array(driven, geometry.KNOWN["respeaker-4"], bearing_deg=165.0).pcm
        else:
            self._pcm = junction.render_at_junction(driven, leg="south").pcm
        self._pcm = self._pcm[: len(self._pcm) // BLOCK * BLOCK]
        self._stop = threading.Event()
        self.hold = threading.Event()
        """Set to let the sound stand still, as a microphone that fell silent."""
        self._player = threading.Thread(target=self._play, daemon=True)
        self._open = ExitStack()

    def wait(self, *, windows: int = 0, called: str | None = None) -> None:
        """Return once so many windows were heard, and the approach was called that is asked for."""
        limit = time.monotonic() + 3 * PATIENCE_S
        while self.view.windows < windows or (called is not None and not self.view.calls()[called]):
            assert time.monotonic() < limit
            time.sleep(0.1)

    def __enter__(self) -> Self:
        for part in (self._web, self._clips):
            self._open.enter_context(part)
        self._player.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._player.join()
        self._open.close()

    def _blocks(self) -> Iterator[Block]:
        pcm = self._pcm
        quiet = 0.01 * np.random.default_rng(6).standard_normal((10 * SAMPLE_RATE_HZ, pcm.shape[1]))
        start = time.monotonic()
        for number, first in enumerate(range(0, 200 * len(quiet), BLOCK)):
            turn, place = divmod(first, len(pcm))
            sound = pcm if turn == 0 else quiet
            block = sound[place % len(sound) : place % len(sound) + BLOCK]
            while self.hold.is_set() and not self._stop.is_set():
                time.sleep(0.05)
            time.sleep(max(0.0, start + number * 0.1 / self._speed - time.monotonic()))
            if self._stop.is_set():
                return
            yield Block(Samples(first), block.astype(np.float32))

    def _play(self) -> None:
        scribe = Scribe(
            site=self._config.site, boot_id="now", mode="live", model=self._bundle.name, valid_for_s=5.0,
            clock=ReplayClock(datetime.now(UTC) - timedelta(seconds=5)), advisory=self._config.call.advisory,
        )  # fmt: skip
        channels = columns(self._config)
        classifier = Classifier(self._bundle, 1 if self._config.array is not None else len(channels))
        stages = Stages.of(self._config, self._bundle, classifier, scribe, channels=channels)
        merger = MomentMerger(self.view, stages.watches, [list(stages.watches)])
        for event in detect(self._blocks(), stages, merger.add_score, lambda window: merger.add_window(0, window)):
            self.view.add_event(event)


def remember(journal: Path, names: tuple[str, ...]) -> None:
    """Write the journal and the day of a site that has worked for a day: nine calls, a morning's rush, an outage."""
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=24)
    with Journal(journal, 10_000_000) as written:
        for number, hour in enumerate((1.2, 5.5, 8.1, 8.9, 12.4, 15.0, 17.8, 20.3, 23.6)):
            scribe = Scribe(
                site="main-5th", boot_id=f"before-{number}", mode="live", model="m", valid_for_s=5.0,
                clock=ReplayClock(start + timedelta(hours=hour)),
            )  # fmt: skip
            name = names[number % len(names)]
            change: dict[str, Any] = {
                "approach": name,
                "level_dbfs": -31.0 - number,
                "confidence": 0.97,
                "onset": Samples(0),
            }
            written.publish(scribe.write(replace(CALL, at=Samples(20_000), **change)))
            ended = replace(CLEAR, at=Samples(320_000 + 40_000 * number), **change)
            written.publish(scribe.write(replace(ended, reason=Reason.DEPARTED)))
    day = Day(names, journal.with_name("events.jsonl.day"))
    lines = []
    noise = np.random.default_rng(5)
    for minute in range(24 * 60):
        floor = [
            -58 + 8 * math.sin((minute / 60 - 6) / 24 * 2 * math.pi) - row + noise.normal(0, 0.6)
            for row in range(len(names))
        ]
        level = [each + 6 + noise.gamma(2.0, 1.5) for each in floor]
        state = 1 if 700 <= minute < 712 else 0
        at_s = int(start.timestamp()) + 60 * minute
        lines.append([at_s, state, [round(x, 1) for x in level], [round(x, 1) for x in floor], [0.02] * len(names)])
    day.load(lines)
    day.write()
