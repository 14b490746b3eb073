"""``sirend fleet``: what a city's operator opens in the morning, one line a site."""

from __future__ import annotations

import json
import logging
import shutil
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from paho.mqtt.enums import MQTTProtocolVersion

from sirend.client.consumer import Moment
from sirend.client.fleet import TROUBLES, Fleet, Site
from sirend.errors import DeviceError
from sirend.publish.mqtt.access import Access, client_id_of, new_client
from sirend.publish.mqtt.connection import Connection
from sirend.publish.mqtt.dialect import UNSUPPORTED

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from sirend.config.settings import MqttConfig
    from sirend.publish.mqtt.bounded_client import Incoming

log = logging.getLogger(__name__)

ANSWER_S = 10.0
SETTLED_S = 1.0
"""What is retained has come when nothing did for so long."""
_TURN_S = 0.1
"""A look for it takes no longer, unless the machine stands still."""
SHOWN_S = 2.0
"""How often what is shown is made anew."""
HEADER = (
    "health", "site", "last call", "model", "version", "floor dBFS", "drift dB", "clock s", "deg C", "what is wrong",
)  # fmt: skip
LEFT_OUT = ("version", "model", "deg C", "floor dBFS", "drift dB", "clock s")
"""What a narrow terminal goes without, in this order, so that what is wrong is seen."""
WRONG_ROOM = 40
"""Letters of what is wrong for which other columns give way."""
CLEAR = "\x1b[H\x1b[2J"


class FleetWatcher:
    """Follows the sites of a broker under a name of its own. Used in a ``with`` statement."""

    def __init__(self, config: MqttConfig, fleet: Fleet) -> None:
        """Prepare to connect as ``config`` says and to tell ``fleet`` what comes."""
        self._config = config
        self._fleet = fleet
        self._access = Access.of(config)
        self._place = f"MQTT broker {config.host}:{config.port}"
        self._sockets = ExitStack()
        self._has_come = False

    def __enter__(self) -> Self:
        """Connect and subscribe; raise ``DeviceError`` where that fails."""
        with ExitStack() as sockets:
            self._wake, waker = socket.socketpair()
            sockets.enter_context(self._wake)
            sockets.enter_context(waker)
            self._connect()
            self._sockets = sockets.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Say goodbye."""
        self._connection.leave()
        self._sockets.close()

    def _connect(self) -> None:
        for protocol in (MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311):
            name = f"{client_id_of(self._config, 'fleet')}-{time.monotonic_ns()}"
            client = new_client(self._config, name, protocol, access=self._access)
            self._connection = Connection(client, self._wake, self._hear)
            try:
                self._connection.open(self._config.host, self._config.port, self._config.keepalive_s)
            except (OSError, ValueError) as error:
                why = (error.strerror if isinstance(error, OSError) else None) or str(error)
                raise DeviceError(f"{self._place}: {why}; check mqtt.host, mqtt.port and the network") from error
            until = time.monotonic() + ANSWER_S
            while self._connection.answer is None and self._connection.end is None and time.monotonic() < until:
                self._connection.turn(0.2)
            if str(self._connection.answer) != UNSUPPORTED:
                break
        if not self._connection.is_accepted:
            said = self._connection.answer or self._connection.end or "does not answer"
            raise DeviceError(f"{self._place}: {said}; check mqtt.username, password and certificates")
        self._connection.subscribe([(each, 1) for each in self._fleet.filters])

    def _hear(self, message: Incoming) -> None:
        self._has_come = True
        self._fleet.take(message.topic, message.payload, Moment.now(), retained=message.retained)

    def settle(self) -> None:
        """Wait until what is retained has come, within bounds."""
        now, quiet_s = time.monotonic(), 0.0
        until = now + 2.0 * ANSWER_S
        while quiet_s < SETTLED_S and now < until:
            began, self._has_come = now, False
            self._connection.turn(_TURN_S)
            now = time.monotonic()
            # While the machine stands still nothing can come.
            quiet_s = 0.0 if self._has_come else quiet_s + min(now - began, _TURN_S)
            if self._connection.end is not None:
                raise DeviceError(f"{self._place}: {self._connection.end}; try again")

    def follow(self, for_s: float, stop: threading.Event) -> None:
        """Take what comes for some seconds; connect again when the broker let go."""
        until = time.monotonic() + for_s
        while time.monotonic() < until and not stop.is_set():
            self._connection.turn(0.2)
            if self._connection.end is not None:
                stop.wait(1.0)
                try:
                    self._connect()
                except DeviceError as error:
                    log.warning("%s", error)


@dataclass(frozen=True, slots=True)
class ListView:
    """How the sites are looked at."""

    wanted: str = ""
    """Words that a site must have."""
    by: str = "trouble"
    """One of ``client.fleet.COLUMNS``."""
    follows: bool = False
    """Again and again, rather than once."""
    is_json: bool = False


def watch(config: MqttConfig, stop: threading.Event, look: ListView) -> None:
    """Print the sites of ``config``'s broker once, or again and again until ``stop`` is set.

    Raises ``DeviceError`` when the broker cannot be reached at first.
    """
    fleet = Fleet(config.prefix)
    with FleetWatcher(config, fleet) as watcher:
        watcher.settle()
        while True:
            now = Moment.now()
            rows = fleet.rows(now, wanted=look.wanted, by=look.by)
            if look.is_json:
                text = "".join(json.dumps(values(site, now), sort_keys=True) + "\n" for site in rows)
            else:
                size = shutil.get_terminal_size((160, 50))
                text = "\n".join(site_table(rows, now, size.columns, size.lines - 3 if look.follows else None)) + "\n"
                text += f"{sums(fleet, now)}\n"
            sys.stdout.write(f"{CLEAR}{text}" if look.follows and not look.is_json else text)
            sys.stdout.flush()
            if not look.follows or stop.is_set():
                return
            watcher.follow(SHOWN_S, stop)


def values(site: Site, now: Moment) -> dict[str, Any]:
    """Return a site as JSON values."""
    return {
        "site": site.name,
        "trouble": site.trouble(now),
        "online": site.is_online,
        "state": site.state or None,
        "reasons": list(site.reasons),
        "calling": site.calling(now),
        "called_at": None if site.called_at is None else site.called_at.isoformat(timespec="milliseconds"),
        "called_on": site.called_on or None,
        "model": site.model,
        "version": site.version,
        "floor_dbfs": site.floor_dbfs,
        "drift_db": site.drift_db,
        "skew_s": site.skew_s,
        "temperature_c": site.temperature_c,
        "uptime_s": site.uptime_s,
    }


def site_table(rows: list[Site], now: Moment, width: int, most: int | None) -> Iterator[str]:
    """Yield a header and a line for each site, at most ``most``; the columns are as wide as they need to be.

    Where ``width`` is too small some are left out.
    """
    shown = rows if most is None else rows[: max(1, most)]
    cells = [HEADER, *(_cells(site, now) for site in shown)]
    widths = {name: max(len(row[column]) for row in cells) for column, name in enumerate(HEADER)}
    needed = {**widths, HEADER[-1]: min(widths[HEADER[-1]], WRONG_ROOM)}
    columns = list(HEADER)
    for name in LEFT_OUT:
        if sum(needed[each] + 2 for each in columns) - 2 <= width:
            break
        columns.remove(name)
    for row in cells:
        named = dict(zip(HEADER, row, strict=True))
        yield "  ".join(named[each].ljust(widths[each]) for each in columns).rstrip()[:width]
    if len(shown) < len(rows):
        yield f"and {len(rows) - len(shown)} more; narrow it with --filter"


def _cells(site: Site, now: Moment) -> tuple[str, ...]:
    def number(value: float | None, text: str) -> str:
        return "" if value is None else format(value, text)

    trouble = site.trouble(now)
    words = "; ".join(site.reasons)
    if trouble == "silent":
        words = "no health message for long" if site.health_s is not None else "no health message"
    elif trouble == "offline":
        words = "not connected to the broker"
    elif trouble == "clock" and site.skew_s is not None:
        words = f"its clock is {abs(site.skew_s):.1f} s {'ahead' if site.skew_s > 0.0 else 'behind'}"
    elif trouble == "drift" and site.drift_db is not None:
        words = f"noise floor {abs(site.drift_db):.0f} dB {'over' if site.drift_db > 0.0 else 'under'} that of its day"
    call = "" if site.called_at is None else f"{ago((now.utc - site.called_at).total_seconds())} {site.called_on}"
    return (
        trouble if trouble in ("ok", "clock", "drift") else trouble.upper(), site.name,
        f"CALLING {site.called_on}" if site.calling(now) else call, site.model.partition("@")[0], site.version,
        number(site.floor_dbfs, ".0f"), number(site.drift_db, "+.0f"), number(site.skew_s, "+.1f"),
        number(site.temperature_c, ".0f"), words,
    )  # fmt: skip


def ago(seconds: float) -> str:
    """Return how long something is past, short."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def sums(fleet: Fleet, now: Moment) -> str:
    """Return how many sites are how, in a line."""
    counts = dict.fromkeys(TROUBLES, 0)
    for site in fleet.sites.values():
        counts[site.trouble(now)] += 1
    parts = [f"{count} {name}" for name, count in counts.items() if count]
    calling = sum(bool(site.calling(now)) for site in fleet.sites.values())
    refused = f"; {fleet.refused} messages were of no site" if fleet.refused else ""
    count = len(fleet.sites)
    return f"{count} site{'s' * (count != 1)}: {', '.join(parts) or 'none'}; {calling} calling{refused}"
