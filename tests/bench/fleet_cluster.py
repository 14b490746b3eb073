"""A city on a broker that is a cluster: three nodes of RabbitMQ on loopback, one of which dies, and one is cut off.

    make bench-fleet BROKER=cluster [SITES=1000]

Sites are raw MQTT 3.1.1 connections, which is what RabbitMQ before 3.13 speaks. They reach the nodes in turn, as those
of a name with three addresses, with the daemon's own back-off; a site in a call says so every second and, when it is
thrown out, tries at once, as the daemon does. Each call has a controller that follows it, over another node where it
can. What counts is how long a controller goes without a fresh statement: over ``VALID_S`` it takes the call as ended.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import resource
import struct
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import figures
from tests.bench.cluster import ADDRESSES, Cluster
from tests.bench.fleet import HEALTH_S, HEARTBEATS_S, PADDING, packet, percentiles, read, text, until

from sirend.client.subscription import BACKOFF
from sirend.publish.mqtt.backoff import Backoff

VALID_S = 5.0
"""The default of call.valid_for_s."""
CALLS = 100
AGAIN_S = (0.5, 1.0)
"""How soon a site in a call tries again."""
CONNECT_S = 5.0
LIMIT_S = 120.0
WATCHED_S = 25.0
"""How long calls are watched after a fault."""


@dataclass(slots=True)
class Tally:
    """When things came."""

    connected: dict[int, float] = field(default_factory=dict)
    sent: dict[str, float] = field(default_factory=dict)
    taken: dict[str, float] = field(default_factory=dict)
    heard: dict[int, list[float]] = field(default_factory=dict)
    """Site to the times at which its controller got a state."""

    def latencies_ms(self, kind: str) -> list[float]:
        """Return how long messages of a kind took, ms."""
        return [
            1e3 * (self.taken[key] - at) for key, at in self.sent.items() if key.startswith(kind) and key in self.taken
        ]


def connect(name: str, will: str | None) -> bytes:
    """Return a CONNECT of MQTT 3.1.1, clean, with keepalive 60 s and a retained will `offline`."""
    flags = 0x02 if will is None else 0x02 | 0x04 | 0x08 | 0x20
    body = text("MQTT") + bytes([4, flags]) + struct.pack(">H", 60) + text(name)
    return packet(0x10, body if will is None else body + text(will) + text("offline"))


def publish(topic: str, payload: str, number: int, *, retain: bool) -> bytes:
    """Return a PUBLISH with QoS 1."""
    return packet(0x32 | int(retain), text(topic) + struct.pack(">H", number) + payload.encode())


def subscribe(*filters: str) -> bytes:
    """Return a SUBSCRIBE with QoS 0, which a dead node holds up nowhere else."""
    return packet(0x82, struct.pack(">H", 1) + b"".join(text(each) + b"\x00" for each in filters))


class Client:
    """A connection that comes back, to one address after the other."""

    def __init__(self, name: str, first: int, port: int, backoff: Backoff, will: str | None = None) -> None:
        self._name, self._address, self._port, self._backoff, self._will = name, first, port, backoff, will
        self.writer: asyncio.StreamWriter | None = None
        self.is_urgent = False
        self._packets = 0

    def say(self, topic: str, payload: str, *, retain: bool) -> bool:
        """Publish; return whether there is a connection."""
        if self.writer is None or self.writer.is_closing():
            return False
        self._packets = self._packets % 65_535 + 1
        self.writer.write(publish(topic, payload, self._packets, retain=retain))
        return True

    def opened(self) -> None:
        """Say what is to be said at each connection."""

    def got(self, topic: str, payload: bytes) -> None:
        """Take a message."""

    async def live(self) -> None:
        """Stay connected."""
        failures = 0
        while True:
            with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                await self._connection()
                failures = 0
            if self.writer is not None:
                self.writer, failures = None, 0
            failures += 1
            self._address = (self._address + 1) % len(ADDRESSES)
            urgent_s = 0.0 if failures == 1 else random.uniform(*AGAIN_S)  # noqa: S311
            await asyncio.sleep(urgent_s if self.is_urgent else self._backoff.delay_s(failures))

    async def _connection(self) -> None:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(ADDRESSES[self._address], self._port)
            try:
                writer.write(connect(self._name, self._will))
                head, body = await read(reader)
                if head != 0x20 or body[1]:
                    writer.close()
                    return
            except BaseException:
                writer.close()
                raise
        self.writer = writer
        self.opened()
        try:
            while True:
                head, body = await read(reader)
                if head & 0xF0 == 0x30:
                    length = struct.unpack_from(">H", body)[0]
                    if head & 0x06:
                        writer.write(packet(0x40, body[2 + length : 4 + length]))
                    self.got(body[2 : 2 + length].decode(), body[2 + length + (2 if head & 0x06 else 0) :])
        finally:
            writer.close()


class Site(Client):
    """A daemon as the broker sees it."""

    def __init__(self, number: int, port: int, tally: Tally) -> None:
        self.number, self._tally = number, tally
        self._root, self._said = f"sirend/site-{number}", 0
        super().__init__(f"sirend-site-{number}", number % 3, port, Backoff(), f"{self._root}/availability")

    def opened(self) -> None:
        self._tally.connected[self.number] = time.perf_counter()
        self.say(f"{self._root}/availability", "online", retain=True)
        self.say(f"{self._root}/main/emergency", "approaching" if self.is_urgent else "clear", retain=True)

    def tell(self, what: str, kind: str, *, retain: bool) -> None:
        """Publish something that can be told apart."""
        self._said += 1
        key = f"{kind}-{self.number}-{self._said}"
        if self.say(f"{self._root}/{what}", json.dumps({"key": key, "padding": PADDING}), retain=retain):
            self._tally.sent[key] = time.perf_counter()

    async def beat(self) -> None:
        """Tell of health every 30 s, at a time of its own."""
        await asyncio.sleep(HEALTH_S * (self.number * 0.618 % 1.0))
        while True:
            self.tell("health", "health", retain=True)
            await asyncio.sleep(HEALTH_S)

    async def call(self) -> None:
        """Say every second that a vehicle comes."""
        self.is_urgent = True
        while True:
            self.say(f"{self._root}/main/emergency", "approaching", retain=True)
            await asyncio.sleep(1.0)


class Centre(Client):
    """Reads every site's events and health: this broker has no shared subscriptions, so it is one."""

    def __init__(self, port: int, tally: Tally) -> None:
        self._tally = tally
        super().__init__("centre", 0, port, BACKOFF)

    def opened(self) -> None:
        assert self.writer is not None
        self.writer.write(subscribe("sirend/+/+/event", "sirend/+/health"))

    def got(self, topic: str, payload: bytes) -> None:
        del topic
        self._tally.taken[json.loads(payload)["key"]] = time.perf_counter()


class Controller(Client):
    """Follows a site, over another node than the site's first."""

    def __init__(self, site: Site, port: int, tally: Tally, name: str = "listen") -> None:
        self._site, self._tally = site, tally
        self.first: bytes | None = None
        super().__init__(f"{name}-{site.number}", (site.number + 1) % 3, port, BACKOFF)

    def opened(self) -> None:
        assert self.writer is not None
        self.writer.write(subscribe(f"sirend/site-{self._site.number}/+/emergency"))

    def got(self, topic: str, payload: bytes) -> None:
        del topic
        self.first = self.first or payload
        if payload == b"approaching":
            self._tally.heard.setdefault(self._site.number, []).append(time.perf_counter())


def gaps_s(tally: Tally, since: float, upto: float) -> list[float]:
    """Return the longest time that each controller went without a statement between two times, s."""
    found = []
    for times in tally.heard.values():
        inside = [since, *(at for at in times if since <= at <= upto), upto]
        found.append(max(later - earlier for earlier, later in itertools.pairwise(inside)))
    return found


async def fault(title: str, key: str, tally: Tally, act: object) -> None:
    """Do something to the cluster, and say what the controllers of standing calls feel of it."""
    assert callable(act)
    since = time.perf_counter()
    await asyncio.to_thread(act)
    await asyncio.sleep(WATCHED_S)
    felt = gaps_s(tally, since, time.perf_counter())
    ended = sum(gap > VALID_S for gap in felt)
    print(f"{title}: without a statement for {percentiles(felt, 's')}; {ended} of {len(felt)} calls lapsed meanwhile")
    figures.record(**{f"{key}_s": figures.spread(felt), f"{key}_lapsed": ended, "calls": len(felt)})


async def retained(sites: list[Site], port: int, tally: Tally) -> int:
    """Return how many new controllers get the state that is kept, within 3 s, of sites that say nothing now."""
    new = [Controller(site, port, Tally(), "new") for site in sites]
    lives = [asyncio.create_task(each.live()) for each in new]
    await asyncio.sleep(5.0)
    for task in lives:
        task.cancel()
    await asyncio.gather(*lives, return_exceptions=True)
    del tally
    return sum(each.first is not None for each in new)


async def city(count: int, cluster: Cluster, heartbeats_s: float) -> None:
    """Run every phase and print what was measured."""
    print(f"load {os.getloadavg()[0]:.1f}")
    await asyncio.sleep(5.0)  # the nodes take clients before they agree on who they are
    tally = Tally()
    sites = [Site(number, cluster.port, tally) for number in range(count)]
    centre = Centre(cluster.port, tally)
    tasks = [asyncio.create_task(centre.live())]
    await until(lambda: centre.writer is not None, LIMIT_S)
    began, cpu = time.perf_counter(), cluster.cpu_s()
    tasks += [asyncio.create_task(site.live()) for site in sites]
    await until(lambda: len(tally.connected) == count, LIMIT_S)
    back = [at - began for at in tally.connected.values()]
    print(f"{cluster.version}, {os.cpu_count()} CPUs")
    print(f"connect storm: {len(back)} of {count} connected; {percentiles(back, 's')}")
    figures.record(broker=cluster.version, sites=count, back=len(back), back_s=figures.spread(back))
    figures.record(back_cpu_s=round(cluster.cpu_s() - cpu, 1))

    tasks += [asyncio.create_task(site.beat()) for site in sites]
    began, cpu = time.perf_counter(), cluster.cpu_s()
    await asyncio.sleep(heartbeats_s)
    passed, beats = time.perf_counter() - began, tally.latencies_ms("health")
    used = 100.0 * (cluster.cpu_s() - cpu) / passed
    print(f"heartbeats: {len(beats) / passed:.1f} a second; {percentiles(beats, 'ms')}; {used:.0f} % of a core")
    figures.record(beats_a_second=round(len(beats) / passed), beat_ms=figures.spread(beats))
    figures.record(broker_percent=round(used, 1), broker_mb=round(cluster.rss_mb()))

    calling = sites[:CALLS]
    for site in calling:
        site.tell("main/event", "event", retain=False)
    await until(lambda: len(tally.latencies_ms("event")) == len(calling), 10.0)
    took = tally.latencies_ms("event")
    print(f"{len(calling)} simultaneous events: {percentiles(took, 'ms')}; {len(calling) - len(took)} missing")
    figures.record(events=len(calling), event_ms=figures.spread(took), events_missing=len(calling) - len(took))

    kept = await retained(calling, cluster.port, tally)
    print(f"retained states: {kept} of {len(calling)} new controllers on another node than the site got one")
    figures.record(retained_elsewhere=kept)

    tasks += [asyncio.create_task(Controller(site, cluster.port, tally).live()) for site in calling]
    tasks += [asyncio.create_task(site.call()) for site in calling]
    await until(lambda: len(tally.heard) == len(calling), 30.0)
    await asyncio.sleep(3.0)
    await fault("a node killed", "kill", tally, lambda: cluster.kill(2))
    await asyncio.to_thread(cluster.start, 2)
    await asyncio.sleep(5.0)
    await fault("a node cut off", "part", tally, lambda: cluster.part(1))
    await asyncio.to_thread(cluster.join, 1)
    await asyncio.sleep(10.0)
    print(f"together again: {len(cluster.running(0))} nodes")
    figures.record(together=len(cluster.running(0)))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, default=1000)
    parser.add_argument("--heartbeats-s", type=float, default=HEARTBEATS_S, help="how long health is listened to")
    args = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster.plain(Path(folder) / "cluster", 18_830, 18_840)
        try:
            cluster.up()
            asyncio.run(city(args.sites, cluster, args.heartbeats_s))
        finally:
            cluster.stop()


if __name__ == "__main__":
    main()
