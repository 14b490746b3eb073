"""The way to the broker: a sink that queues and returns, and one thread that does the talking.

Each connection gets a new paho client, so that nothing of the one before is ever sent again behind our back: what an
outage leaves is decided by the ``Outbox`` alone.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from paho.mqtt.enums import MQTTProtocolVersion

from sirend.call.event import to_json
from sirend.call.state import CallState
from sirend.errors import SirendError
from sirend.publish.mqtt.outbox import Message, Outbox
from sirend.publish.mqtt.session import Connection, name_of, new_client
from sirend.publish.mqtt.thread import Talker
from sirend.publish.mqtt.topics import Topics
from sirend.signing import canonical

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

    from paho.mqtt.client import Client

    from sirend.call.event import Event
    from sirend.config.settings import MqttConfig

_log = logging.getLogger(__name__)

_CAPACITY = 256
_ANSWER_S = 5.0
"""A broker that says nothing for so long, to CONNECT or to a message, is tried anew: the line may be half dead."""
_CLOSE_S = 1.5
"""How long a clean close waits for the last acknowledgements."""
_FAREWELL_S = 0.4
_STABLE_S = 10.0
"""A connection that held so long was a good one: the next failure starts the back-off anew."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter, so that a city does not return to its broker in one moment."""

    first_s: float = 0.5
    cap_s: float = 30.0

    def delay_s(self, failures: int) -> float:
        """Return a random time between 0 and a bound that doubles with each of ``failures`` in a row, up to the cap."""
        bound = min(self.cap_s, self.first_s * 2.0 ** min(failures, 30))
        return random.uniform(0.0, bound)  # noqa: S311  spread, not secrecy


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the messages since the start; the ``outbox`` of the health message."""

    connected: bool
    queued: int
    published: int
    """Acknowledged by the broker."""
    dropped_expired: int
    dropped_full: int
    refused: int
    """Acknowledged with a refusal."""
    reconnects: int


class Mqtt:
    """A sink that publishes events, states, health and availability as ``sirend/{site}/...``."""

    def __init__(  # noqa: PLR0913  a guest and a host differ in little else
        self,
        config: MqttConfig,
        site: str,
        approaches: Sequence[str],
        *,
        backoff: Backoff | None = None,
        announcements: Mapping[str, bytes] = MappingProxyType({}),
        is_guest: bool = False,
    ) -> None:
        """Prepare to speak for the named ``approaches`` of ``site``; nothing is connected yet.

        ``announcements`` are further retained messages by topic, sent last at each new connection.
        A guest (a replay, a self-test) publishes events and nothing else: no availability, no will, no state and no
        health, for those are a live daemon's, and a controller that acts on it must not lose its call to a recording.
        Raises ``ConfigError`` when the password or the certificates cannot be used.
        """
        self._config = config
        self._site = site
        self._backoff = backoff or Backoff()
        self._topics = Topics(config.prefix, site)
        self._states = [self._topics.state(approach) for approach in approaches]
        self._outbox = Outbox(_CAPACITY)
        self._will = None if is_guest else Message(self._topics.availability, b"offline", retain=True)
        if not is_guest:
            self._outbox.put(Message(self._topics.availability, b"online", retain=True))
            for topic in self._states:  # until a state is known, nothing an earlier run left may stand
                self._outbox.put(Message(topic, b"", retain=True))
        self._announced = list(announcements)
        for topic, payload in announcements.items():
            self._outbox.put(Message(topic, payload, retain=True))
        self._protocol = MQTTProtocolVersion.MQTTv5
        self._unanswered = 0
        self._speaks_5 = False
        self._connects = 0
        self._published = 0
        self._refused = 0
        self._connected = False
        self._problem: str | None = "not connected yet"
        self._said = ""
        self._closing = threading.Event()
        self._close_by = math.inf
        self._talker = Talker("sirend-mqtt", self._run)
        self._new_client()

    @property
    def counts(self) -> Counts:
        """What became of the messages so far."""
        return Counts(
            connected=self._connected,
            queued=len(self._outbox),
            published=self._published,
            dropped_expired=self._outbox.dropped_expired,
            dropped_full=self._outbox.dropped_full,
            refused=self._refused,
            reconnects=max(0, self._connects - 1),
        )

    @property
    def problem(self) -> str | None:
        """Why there is no connection now, or None when there is one."""
        return self._problem

    def __enter__(self) -> Self:
        """Start the network thread, which keeps trying until the end; a missing broker is no error."""
        self._talker.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Deliver what waits, say ``offline`` and disconnect; takes about 2 s at most."""
        self._close_by = time.monotonic() + _CLOSE_S
        self._closing.set()
        self._talker.stir()
        if not self._talker.join(_CLOSE_S + 2.0 * _FAREWELL_S):
            _log.warning("%s: still waiting for the network; left to itself", self._place)
        if len(self._outbox):
            _log.warning("%s: %d events were never delivered", self._place, len(self._outbox))

    def publish(self, event: Event) -> None:
        """Queue the approach's state and, unless ``event`` only repeats it, the event; return at once."""
        payload = to_json(event).encode()
        deadline = time.monotonic() + _remaining_s(event)
        standing = deadline if event.state is CallState.APPROACHING else None
        if self._will is not None:
            self._outbox.put(Message(self._topics.state(event.approach), payload, retain=True, deadline=standing))
        if not event.refresh:
            self._outbox.put(Message(self._topics.event(event.approach), payload, retain=False, deadline=deadline))
        self._talker.stir()

    def health(self, payload: dict[str, Any]) -> None:
        """Queue the health message, JSON values of ``sirend/health/1``; return at once. Not for guests."""
        self._tell(self._topics.health, payload)

    def selftest(self, payload: dict[str, Any]) -> None:
        """Queue the result of a self-test, JSON values of ``sirend/selftest/1``; return at once."""
        self._tell(self._topics.selftest, payload)

    def _tell(self, topic: str, payload: dict[str, Any]) -> None:
        self._outbox.put(Message(topic, canonical(payload).encode(), retain=True))
        self._talker.stir()

    @property
    def _place(self) -> str:
        return f"MQTT broker {self._config.host}:{self._config.port}"

    def _new_client(self) -> Client:
        return new_client(self._config, name_of(self._config, self._site), self._protocol, self._will)

    def _say(self, level: int, text: str) -> None:
        """Log a change of the connection's state once."""
        if text != self._said:
            self._said = text
            _log.log(level, "%s: %s", self._place, text)

    def _run(self, wake: socket.socket) -> None:
        """Connect, talk, and after each failure wait and connect again: the network thread."""
        failures = 0
        with wake:
            while not self._closing.is_set():
                connected_at = math.inf
                try:
                    connection = self._connect(wake)
                    connected_at = time.monotonic()
                    self._talk(connection)
                except (OSError, ValueError, SirendError) as error:
                    self._fail(f"cannot be reached: {_brief(error)}")
                except Exception:  # noqa: BLE001  a bug must not end the reports
                    _log.exception("%s: the connection failed by a bug; trying again", self._place)
                failures = 0 if time.monotonic() - connected_at > _STABLE_S else failures + 1
                self._closing.wait(self._backoff.delay_s(failures))

    def _fail(self, problem: str) -> None:
        self._problem = problem
        self._say(logging.WARNING, f"{problem}; trying again until it works")

    def _connect(self, wake: socket.socket) -> Connection:
        """Open a connection and send CONNECT; raise ``OSError`` or ``ValueError`` when there is no way."""
        client = self._new_client()
        connection = Connection(client, wake)
        client.connect(self._config.host, self._config.port, self._config.keepalive_s)
        return connection

    def _talk(self, connection: Connection) -> None:
        """Serve a connection until it ends, or until a clean close is done."""
        answer_by = time.monotonic() + _ANSWER_S
        while connection.answer is None and connection.end is None:
            if time.monotonic() > min(answer_by, self._close_by):
                connection.drop("accepts connections but does not answer")
                break
            connection.turn(0.2)
        if not connection.is_accepted:
            self._rejected(connection)
            return
        self._accepted()
        try:
            while connection.is_accepted and not self._is_done(connection):
                self._exchange(connection, timeout_s=1.0 if self._close_by == math.inf else 0.05)
            if connection.is_accepted:
                self._bid_farewell(connection, self._will)
        finally:
            self._connected = False
            self._outbox.end(connection.unacknowledged)
        if connection.end is not None and not self._closing.is_set():
            self._fail(connection.end)

    def _accepted(self) -> None:
        """Begin with what must be known first."""
        if self._protocol is MQTTProtocolVersion.MQTTv5:
            self._speaks_5 = True
            self._say(logging.INFO, "connected with MQTT 5")
        else:
            self._say(
                logging.WARNING,
                "connected with MQTT 3.1.1, for it refuses MQTT 5: messages do not expire in it; update the broker",
            )
        # After an outage, `online` goes first: the controller waits for it. A first connection clears what an earlier
        # run left before it says that this run is there to answer for it.
        present = self._topics.availability
        opening = [present, *self._states] if self._connects else [*self._states, present]
        told_last = (self._topics.health, self._topics.selftest, *self._announced)
        self._outbox.begin([*opening, *told_last], time.monotonic())
        self._connects += 1
        self._unanswered = 0
        self._problem = None
        self._connected = True

    def _rejected(self, connection: Connection) -> None:
        """Tell why the broker did not take us, and try the older protocol if that may be the reason."""
        answer = connection.answer
        self._fail(f"refused the connection: {answer}" if answer else connection.end or "did not answer")
        self._unanswered += answer is None
        # Some old brokers hang up on a CONNECT of MQTT 5; one that spoke it before and hangs up is in trouble, not old.
        is_doubtful = answer is None and self._unanswered % 2 == 0 and not self._speaks_5
        if is_doubtful or str(answer) == "Unsupported protocol version":
            is_new = self._protocol is MQTTProtocolVersion.MQTTv5
            self._protocol = MQTTProtocolVersion.MQTTv311 if is_new else MQTTProtocolVersion.MQTTv5

    def _exchange(self, connection: Connection, timeout_s: float) -> None:
        """Send what may be sent, then wait for the broker or the pipeline."""
        while connection.is_accepted and connection.has_room:
            now = time.monotonic()
            message = self._outbox.take(now)
            if message is None:
                break
            connection.send(message, now)
        connection.turn(timeout_s)
        if connection.waits_since < time.monotonic() - _ANSWER_S:
            connection.drop("does not acknowledge messages")
        while connection.acknowledgements:
            message, code = connection.acknowledgements.pop()
            if code.is_failure:
                self._refused += 1
                self._say(logging.ERROR, f"refused a message on {message.topic}: {code}")
            else:
                self._published += 1

    def _is_done(self, connection: Connection) -> bool:
        """Return whether a clean close has waited for the last messages, or long enough."""
        if not self._closing.is_set():
            return False
        return time.monotonic() > self._close_by or not (len(self._outbox) or connection.unacknowledged)

    def _bid_farewell(self, connection: Connection, will: Message | None) -> None:
        """Say ``offline`` and disconnect; where the broker does not acknowledge it, let it publish the will instead."""
        if will is None:
            connection.leave()
            return
        connection.send(will, time.monotonic())
        until = time.monotonic() + _FAREWELL_S
        while will in connection.unacknowledged and connection.is_accepted and time.monotonic() < until:
            connection.turn(0.05)
        if will in connection.unacknowledged:
            connection.drop("did not acknowledge the farewell")
        else:
            connection.leave()


def _remaining_s(event: Event) -> float:
    """Return how long ``event`` is still valid, s; the times of a replay say nothing about now."""
    span_s = (event.valid_until - event.at).total_seconds()
    if event.mode == "replay":
        return span_s
    return min(span_s, (event.valid_until - datetime.now(UTC)).total_seconds())


def _brief(error: Exception) -> str:
    """Return an error's own words, without the number in front of them."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
