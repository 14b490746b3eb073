"""A city on one broker, on loopback: connect storm after a restart, heartbeats, simultaneous events, a shared reader.

    make bench-fleet [SITES=1000]

Every site is a raw MQTT 5 connection in one asyncio loop that does what the daemon does: a will, `online`, a retained
state and health at each connection, health every 30 s, the daemon's own back-off. A group of readers with a shared
subscription takes the events apart, as a city's centre would. Latencies are from just before the publishing write to
the reader's receipt. Everything runs on one machine: the sites and readers take most of its time, the broker's CPU is
measured alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tests.bench import figures

from sirend.publish.mqtt.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "127.0.0.1"
HEALTH_S = 30.0
HEARTBEATS_S = 20.0
EVENTS = 100
READERS = 4
LIMIT_S = 60.0
"""No phase takes longer; what is not there by then is counted as missing."""
PADDING = "x" * 700
"""Health messages have about so many bytes."""


def remaining(length: int) -> bytes:
    """Return MQTT's variable byte integer."""
    out = bytearray()
    while True:
        length, digit = divmod(length, 128)
        out.append(digit | (0x80 if length else 0))
        if not length:
            return bytes(out)


def text(value: str) -> bytes:
    """Return MQTT's text."""
    raw = value.encode()
    return struct.pack(">H", len(raw)) + raw


def packet(kind: int, body: bytes) -> bytes:
    """Return a whole packet."""
    return bytes([kind]) + remaining(len(body)) + body


def connect(name: str, will: str | None) -> bytes:
    """Return a CONNECT of MQTT 5, clean, with keepalive 60 s and a retained will `offline`."""
    flags = 0x02 if will is None else 0x02 | 0x04 | 0x08 | 0x20
    body = text("MQTT") + bytes([5, flags]) + struct.pack(">H", 60) + b"\0" + text(name)
    if will is not None:
        body += b"\0" + text(will) + text("offline")
    return packet(0x10, body)


def publish(topic: str, payload: str, number: int, *, retain: bool) -> bytes:
    """Return a PUBLISH with QoS 1."""
    body = text(topic) + struct.pack(">H", number) + b"\0" + payload.encode()
    return packet(0x32 | int(retain), body)


async def read(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return the first byte and the body of the next packet."""
    head = (await reader.readexactly(1))[0]
    length = shift = 0
    while True:
        digit = (await reader.readexactly(1))[0]
        length |= (digit & 0x7F) << shift
        shift += 7
        if not digit & 0x80:
            return head, await reader.readexactly(length)


@dataclass(slots=True)
class Tally:
    """When things were sent and came."""

    connected: dict[int, float] = field(default_factory=dict)
    """Site to the time of its last CONNACK."""
    attempts: int = 0
    sent: dict[str, float] = field(default_factory=dict)
    """Identifier of a message to the time it was sent."""
    taken: dict[str, float] = field(default_factory=dict)
    doubles: int = 0

    def latencies_ms(self, kind: str) -> list[float]:
        """Return how long messages of a kind took, ms."""
        return [
            1000.0 * (self.taken[key] - at)
            for key, at in self.sent.items()
            if key.startswith(kind) and key in self.taken
        ]

    def missing(self, kind: str) -> int:
        """Return how many never came."""
        return sum(key.startswith(kind) and key not in self.taken for key in self.sent)


class Site:
    """A daemon as the broker sees it."""

    def __init__(self, number: int, port: int, tally: Tally, backoff: Backoff) -> None:
        self._number, self._port, self._tally, self._backoff = number, port, tally, backoff
        self._root = f"sirend/site-{number}"
        self._writer: asyncio.StreamWriter | None = None
        self._packets = 0
        self._said = 0

    def say(self, what: str, kind: str, *, retain: bool) -> None:
        """Publish something that can be told apart."""
        if self._writer is None or self._writer.is_closing():
            return
        self._said += 1
        key = f"{kind}-{self._number}-{self._said}"
        self._packets = self._packets % 65_535 + 1
        payload = json.dumps({"key": key, "padding": PADDING})
        self._tally.sent[key] = time.perf_counter()
        self._writer.write(publish(f"{self._root}/{what}", payload, self._packets, retain=retain))

    async def live(self) -> None:
        """Stay connected, as the daemon does."""
        failures = 0
        while True:
            with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                await self._connection()
            self._writer = None
            failures += 1
            await asyncio.sleep(self._backoff.delay_s(failures))

    async def _connection(self) -> None:
        self._tally.attempts += 1
        async with asyncio.timeout(5.0):
            reader, writer = await asyncio.open_connection(HOST, self._port)
            try:
                writer.write(connect(f"sirend-site-{self._number}", f"{self._root}/availability"))
                while (await read(reader))[0] != 0x20:
                    pass
            except BaseException:
                writer.close()
                raise
        self._writer = writer
        self._tally.connected[self._number] = time.perf_counter()
        writer.write(publish(f"{self._root}/availability", "online", 1, retain=True))
        writer.write(publish(f"{self._root}/main/emergency", json.dumps({"state": "clear"}), 2, retain=True))
        self._packets = 2
        self.say("health", "birth", retain=True)
        try:
            while True:
                await read(reader)
        finally:
            writer.close()

    async def beat(self) -> None:
        """Tell of health every 30 s, at a time of its own."""
        await asyncio.sleep(HEALTH_S * (self._number * 0.618 % 1.0))
        while True:
            self.say("health", "health", retain=True)
            await asyncio.sleep(HEALTH_S)


async def centre(port: int, tally: Tally, number: int) -> None:
    """Read a share of every site's events and health, and connect again when the broker was away."""
    while True:
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(connect(f"centre-{number}", None))
                await read(reader)
                filters = b"".join(text(f"$share/centre/sirend/+/{what}") + b"\x01" for what in ("+/event", "health"))
                writer.write(packet(0x82, struct.pack(">H", 1) + b"\0" + filters))
                while True:
                    head, body = await read(reader)
                    if head & 0xF0 == 0x30:
                        now = time.perf_counter()
                        length = struct.unpack_from(">H", body)[0]
                        writer.write(packet(0x40, body[2 + length : 4 + length]))
                        key = json.loads(body[5 + length :])["key"]
                        tally.doubles += key.startswith("event") and key in tally.taken
                        tally.taken[key] = now
            finally:
                writer.close()
        await asyncio.sleep(0.2)


class Broker:
    """One mosquitto."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server((HOST, 0)) as probe:
            self.port = int(probe.getsockname()[1])
        self._configuration = folder / "mosquitto.conf"
        lines = (
            "user root",
            "persistence false",
            "log_type error",
            "allow_anonymous true",
            "max_queued_messages 10000",
        )
        self._configuration.write_text("\n".join((*lines, f"listener {self.port} {HOST}")) + "\n")
        program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if program is None:
            sys.exit("this needs a broker: apt-get install mosquitto")
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def version(self) -> str:
        """Its name and version."""
        said = subprocess.run([self._program, "-h"], capture_output=True, text=True, check=False).stdout
        return said.partition("\n")[0].replace(" version", "")

    def start(self) -> None:
        """Start it."""
        self._process = subprocess.Popen([self._program, "-c", str(self._configuration)])

    def stop(self) -> None:
        """End it like a power cut."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def cpu_s(self) -> float:
        """Return its CPU time so far, s."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        """Return its memory, MB."""
        assert self._process is not None
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def percentiles(values: list[float], unit: str) -> str:
    """Return the three that matter."""
    if not values:
        return "nothing came"
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    return f"p50 {p50:.1f} {unit}, p95 {p95:.1f} {unit}, p99 {p99:.1f} {unit}, worst {max(values):.1f} {unit}"


async def until(condition: Callable[[], bool], limit_s: float) -> None:
    """Wait until a function is true, at most ``limit_s``."""
    end = time.perf_counter() + limit_s
    while not condition() and time.perf_counter() < end:  # noqa: ASYNC110  a measurement has no event to wait for
        await asyncio.sleep(0.02)


async def city(count: int, broker: Broker, heartbeats_s: float) -> None:
    """Run every phase and print what was measured."""
    tally = Tally()
    sites = [Site(number, broker.port, tally, Backoff()) for number in range(count)]
    readers = [asyncio.create_task(centre(broker.port, tally, number)) for number in range(READERS)]
    lives = [asyncio.create_task(site.live()) for site in sites]
    await until(lambda: len(tally.connected) == count and tally.missing("birth") == 0, LIMIT_S)
    print(f"{count} sites, {READERS} readers with a shared subscription, mosquitto on {HOST}, {os.cpu_count()} CPUs")
    await asyncio.sleep(1.0)

    broker.stop()
    tally.connected.clear()
    tally.attempts = 0
    await asyncio.sleep(2.0)
    broker.start()
    began, cpu = time.perf_counter(), broker.cpu_s()
    await until(lambda: len(tally.connected) == count, LIMIT_S)
    back = [at - began for at in tally.connected.values()]
    print(f"connect storm: {len(back)} of {count} back; after the restart {percentiles(back, 's')}")
    figures.record(
        broker=broker.version,
        sites=count,
        back=len(back),
        back_s=figures.spread(back),
        back_cpu_s=round(broker.cpu_s() - cpu, 2),
    )
    print(f"  {tally.attempts} attempts with the daemon's back-off; broker CPU {broker.cpu_s() - cpu:.2f} s in all")
    await asyncio.sleep(1.0)

    beats = [asyncio.create_task(site.beat()) for site in sites]
    began, cpu = time.perf_counter(), broker.cpu_s()
    await asyncio.sleep(heartbeats_s)
    passed = time.perf_counter() - began
    used = 100.0 * (broker.cpu_s() - cpu) / passed
    latencies = tally.latencies_ms("health")
    print(f"heartbeats: {len(latencies) / passed:.1f} a second for {passed:.0f} s; {percentiles(latencies, 'ms')}")
    figures.record(
        beats_a_second=round(len(latencies) / passed),
        beat_ms=figures.spread(latencies),
        broker_percent=round(used, 1),
        broker_mb=round(broker.rss_mb()),
    )
    print(f"  broker CPU {used:.1f} % of one core, memory {broker.rss_mb():.1f} MB")

    cpu = broker.cpu_s()
    calling = [site for site in sites if site._writer is not None][:EVENTS]  # noqa: SLF001
    for site in calling:
        site.say("main/event", "event", retain=False)
    await until(lambda: tally.missing("event") == 0, 10.0)
    missing = tally.missing("event")
    print(f"{len(calling)} simultaneous events: {percentiles(tally.latencies_ms('event'), 'ms')}; {missing} missing")
    figures.record(
        events=len(calling),
        event_ms=figures.spread(tally.latencies_ms("event")),
        events_missing=missing,
        events_cpu_ms=round(1000.0 * (broker.cpu_s() - cpu)),
    )
    print(f"  broker CPU {1000.0 * (broker.cpu_s() - cpu):.0f} ms; {tally.doubles} came twice")
    for task in (*beats, *lives, *readers):
        task.cancel()
    await asyncio.gather(*beats, *lives, *readers, return_exceptions=True)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, default=1000)
    parser.add_argument("--heartbeats-s", type=float, default=HEARTBEATS_S, help="how long health is listened to")
    args = parser.parse_args()
    count = args.sites
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the broker inherits it
    if hard != resource.RLIM_INFINITY and hard < count + 100:
        sys.exit(f"this machine allows {hard} open files; {count} sites need more")
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(Path(folder))
        broker.start()
        try:
            asyncio.run(city(count, broker, args.heartbeats_s))
        finally:
            broker.stop()


if __name__ == "__main__":
    main()
