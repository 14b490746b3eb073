"""``make soak``: hours of street and sirens through ``sirend run``'s path, with a real broker; what grows is shown.

    soak.py [--hours 24] [--realtime] [--channels 1]

Everything is the daemon's but the microphone, whose blocks come as fast as they are taken, or in real time. Ends with 1
when memory grows by 1 MB an hour of audio or more after the first hour, or when descriptors or threads grow.
"""

from __future__ import annotations

import argparse
import gc
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from tests.bench import figures

from sirend.audio import devices
from sirend.audio.stream import SAMPLE_RATE_HZ, Block, Gap, GapReason, Samples
from sirend.config.settings import Approach, AudioConfig, CallConfig, Config, JournalConfig, MqttConfig
from sirend.detect import bundle
from sirend.publish.mqtt.publisher import Mqtt
from sirend.service import daemon as service
from sirend.simulate.scene import Scene, render_scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sirend.audio.diagnosis import InputMonitor
    from sirend.audio.stream import Pcm
    from sirend.call.event import Event

BLOCK = 1_600
MOST_MB_AN_HOUR = 1.0


def street(channels: int) -> Pcm:
    """Return ten minutes, float32[n, channels]: noise of a slowly changing level and two drive-bys."""
    rng = np.random.default_rng(3)
    n = 600 * SAMPLE_RATE_HZ
    level = 0.005 * (1.5 + np.sin(np.linspace(0.0, 40.0, n, dtype=np.float32)))
    pcm = (level[:, np.newaxis] * rng.standard_normal((n, channels), dtype=np.float32)).astype(np.float32)
    for start_s, seed in ((100, 11), (400, 12)):
        siren = render_scene(Scene(start_m=300.0, speed_kmh=120.0, snr_db=10.0, seed=seed)).pcm.astype(np.float32)
        start = start_s * SAMPLE_RATE_HZ
        pcm[start : start + len(siren)] += siren[:, np.newaxis]
    return pcm


class Hours:
    """A microphone that hears the same ten minutes for hours, with a gap in each, and measures at each full hour."""

    dropped = 0
    is_seeking = False
    problem = None
    notice = None
    uses_portaudio = True

    def __init__(self, ear: InputMonitor, *, hours: float, channels: int, is_realtime: bool) -> None:
        self._ear, self._hours, self._is_realtime = ear, hours, is_realtime
        self._street = street(channels)
        self._given = 0
        self.rows: list[tuple[float, float, int, int]] = []

    def __enter__(self) -> Self:
        self._ear.begin(SAMPLE_RATE_HZ, time.monotonic())
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def arrived(self) -> int:
        return self._given

    def __iter__(self) -> Iterator[Block | Gap]:
        began_s, total = time.monotonic(), round(self._hours * 3_600 * SAMPLE_RATE_HZ)
        every = min(3_600 * SAMPLE_RATE_HZ, total // 4)  # a short run is measured as well
        while self._given < total:
            place = self._given % len(self._street)
            pcm = self._street[place : place + BLOCK]
            if self._is_realtime:
                time.sleep(max(0.0, began_s + (self._given + BLOCK) / SAMPLE_RATE_HZ - time.monotonic()))
            self._ear.observe(pcm, time.monotonic())
            yield Block(Samples(self._given), pcm)
            self._given += len(pcm)
            if place == 0:
                yield Gap(Samples(self._given), GapReason.OVERFLOW)
            if self._given % every < BLOCK:
                self._measure()

    def _measure(self) -> None:
        """Note hours, memory in MB, descriptors and threads; what only waits to be collected is no leak."""
        gc.collect()
        status = Path("/proc/self/status").read_text()
        (rss_kb,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        self.rows.append((self._given / SAMPLE_RATE_HZ / 3_600, rss_kb / 1_024, descriptors, threading.active_count()))
        print("{:7.2f} h  {:7.1f} MB  {:3d} descriptors  {:2d} threads".format(*self.rows[-1]), flush=True)


class Remembering(Mqtt):
    """The daemon's way to the broker, which remembers what was said."""

    calls = 0
    last: dict[str, Any]

    def publish(self, event: Event) -> None:
        self.calls += event.state == "approaching" and not event.refresh
        super().publish(event)

    def health(self, payload: dict[str, Any]) -> None:
        self.last = payload
        super().health(payload)


def main() -> int:
    """Run, print the table and judge it."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--hours", type=float, default=24.0)
    asked.add_argument("--channels", type=int, default=1)
    asked.add_argument("--realtime", action="store_true")
    args = asked.parse_args()
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        sys.exit("this needs a broker: apt-get install mosquitto")
    port = random.randrange(10_000, 32_000)  # noqa: S311  nothing secret about it
    with tempfile.TemporaryDirectory() as folder:
        broker = subprocess.Popen([program, "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return soak(args, port, Path(folder))
        finally:
            broker.terminate()
            broker.wait()


def soak(args: argparse.Namespace, port: int, folder: Path) -> int:
    """Run the daemon as ``args`` say; return 1 when something grew."""
    config = Config(
        audio=AudioConfig(channels=args.channels),
        approaches=tuple(Approach(name=f"leg-{i}", channel=i) for i in range(args.channels)),
        call=CallConfig(max_calls_per_hour=720),
        mqtt=MqttConfig(port=port),
        journal=JournalConfig(path=folder / "journal.jsonl", max_mb=1),
    )
    made: list[Hours] = []

    def microphone(_audio: AudioConfig, _stop: threading.Event, ear: InputMonitor, _company: object) -> Hours:
        made.append(Hours(ear, hours=args.hours, channels=args.channels, is_realtime=args.realtime))
        return made[0]

    def mqtt(*told: Any, **named: Any) -> Remembering:  # noqa: ANN401
        said.append(Remembering(*told, **named))
        return said[0]

    said: list[Remembering] = []
    vars(devices).update(Microphone=microphone)
    vars(service).update(Mqtt=mqtt)
    began_s = time.monotonic()
    service.Service(config, bundle.load(bundle.find(None)), threading.Event()).run()
    took_s = time.monotonic() - began_s
    first_h = min(1.0, args.hours / 4)  # a short run has no whole hour to settle in
    settled = [row for row in made[0].rows if row[0] >= first_h]
    hours, memory = np.array([row[:2] for row in settled]).T
    slope = float(np.polyfit(hours, memory, 1)[0])
    grown = settled[-1][2] - settled[0][2], settled[-1][3] - settled[0][3]
    health = said[0].last
    figures.record(
        hours=args.hours,
        mb_an_hour=round(slope, 3),
        descriptors=grown[0],
        threads=grown[1],
        dropped_samples=health["dropped_samples"],
        memory=[[round(hour, 2), round(megabytes, 1)] for hour, megabytes, _, _ in made[0].rows],
    )
    print(
        f"{args.hours:g} h of {args.channels} channel(s) in {took_s:.0f} s ({args.hours * 3_600 / took_s:.0f} times "
        f"real time): {health['windows_scored']} windows, {said[0].calls} calls, {health['gaps']} gaps, "
        f"{health['dropped_samples']} samples dropped\nafter the first {first_h:g} h: {slope:+.3f} MB/h, "
        f"{grown[0]:+d} descriptors, {grown[1]:+d} threads; outbox {health['outbox']}"
    )
    return int(slope >= MOST_MB_AN_HOUR or max(grown) > 0)


if __name__ == "__main__":
    sys.exit(main())
