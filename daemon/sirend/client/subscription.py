"""The way from the broker to the consumer: one thread that keeps a connection, and a lock around the consumer."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from typing import TYPE_CHECKING, Self

from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from sirend.client.consumer import Moment
from sirend.errors import SirendError
from sirend.publish.mqtt.daemon import Backoff
from sirend.publish.mqtt.outbox import Message
from sirend.publish.mqtt.session import Connection, new_client
from sirend.publish.mqtt.thread import Talker

if TYPE_CHECKING:
    import socket

    from paho.mqtt.client import Client, MQTTMessage

    from sirend.client.consumer import Call, Consumer, Refusal
    from sirend.client.statement import Fault
    from sirend.config.settings import MqttConfig

_log = logging.getLogger(__name__)

LARGEST_PACKET = 65_536
"""Bytes; the broker is asked to keep larger ones to itself."""
MOST_WAITING = 64
"""Acknowledgements that may wait for the broker; older ones make room, for only the newest says how things are."""
QUIET_S = 10.0
"""Refusals of one kind are logged at most this often: whoever can publish must not be able to fill a disk."""
_ANSWER_S = 5.0
_STABLE_S = 10.0


class Subscription:
    """Feeds a consumer from the broker while the ``with`` block lasts. A missing broker is waited for."""

    def __init__(self, config: MqttConfig, consumer: Consumer, *, backoff: Backoff | None = None) -> None:
        """Prepare to follow the site of ``consumer``; raise ``ConfigError`` when a secret or certificate is missing."""
        self._config = config
        self._consumer = consumer
        self._backoff = backoff or Backoff()
        # Never the daemon's own name, which the same file may hold: the two would throw each other out.
        self._name = f"{config.client_id}-listen" if config.client_id else f"sirend-listen-{uuid.uuid4()}"
        self._protocol = MQTTProtocolVersion.MQTTv5
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._closing = threading.Event()
        self._outgoing: deque[Message] = deque(maxlen=MOST_WAITING)
        self._logged: dict[Fault, float] = {}
        self._talker = Talker("sirend-client", self._run)
        self._is_connected = False
        new_client(config, self._name, self._protocol)

    @property
    def is_connected(self) -> bool:
        """Whether the broker has taken the subscription and not gone since."""
        return self._is_connected

    def __enter__(self) -> Self:
        """Start the network thread."""
        self._talker.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Send what waits and disconnect; takes 2 s at most."""
        self._closing.set()
        self._talker.stir()
        self._talker.join(2.0)

    def changes(self, timeout_s: float) -> list[Call]:
        """Wait for a message, at most ``timeout_s``; return what changed, also by the mere passing of time."""
        self._news.wait(timeout_s)
        self._news.clear()
        with self._lock:
            return self._consumer.changes(Moment.now())

    def effective(self) -> list[Call]:
        """Return what is to be acted on at each approach now."""
        with self._lock:
            return self._consumer.effective(Moment.now())

    def publish(self, topic: str, payload: bytes, valid_for_s: float) -> None:
        """Queue a message that is dropped when it cannot be delivered within ``valid_for_s``; return at once."""
        self._outgoing.append(Message(topic, payload, retain=False, deadline=time.monotonic() + valid_for_s))
        self._talker.stir()

    @property
    def _place(self) -> str:
        return f"MQTT broker {self._config.host}:{self._config.port}"

    def _run(self, wake: socket.socket) -> None:
        failures = 0
        with wake:
            while not self._closing.is_set():
                began_at = time.monotonic()
                try:
                    self._follow(wake)
                except (OSError, ValueError, SirendError) as error:
                    said = (error.strerror if isinstance(error, OSError) else None) or str(error)
                    _log.warning("%s: %s; trying again", self._place, said)
                except Exception:  # noqa: BLE001  a bug must not end the subscription; the calls expire meanwhile
                    _log.exception("%s: the connection failed by a bug; trying again", self._place)
                failures = 0 if time.monotonic() - began_at > _STABLE_S else failures + 1
                self._closing.wait(self._backoff.delay_s(failures))

    def _follow(self, wake: socket.socket) -> None:
        """Connect, subscribe and listen until the connection ends."""
        client = new_client(self._config, self._name, self._protocol)
        client.on_message = self._on_message
        connection = Connection(client, wake)
        properties = None
        if self._protocol is MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = LARGEST_PACKET
        client.connect(self._config.host, self._config.port, self._config.keepalive_s, properties=properties)
        answer_by = time.monotonic() + _ANSWER_S
        while connection.answer is None and connection.end is None and not self._closing.is_set():
            if time.monotonic() > answer_by:
                connection.drop("accepts connections but does not answer")
            connection.turn(0.2)
        if not connection.is_accepted:
            if str(connection.answer) == "Unsupported protocol version":
                self._protocol = MQTTProtocolVersion.MQTTv311
            if not self._closing.is_set():
                _log.warning("%s: %s; trying again", self._place, connection.answer or connection.end)
            return
        topics = self._consumer.topics
        client.subscribe([(topics.availability, 1), (topics.states, 1)])
        version = "5" if self._protocol is MQTTProtocolVersion.MQTTv5 else "3.1.1"
        _log.info("%s: connected with MQTT %s, following %s", self._place, version, topics.states)
        try:
            self._is_connected = True
            while connection.is_accepted and not (self._closing.is_set() and self._is_done(connection)):
                self._send(connection)
                connection.turn(0.05 if self._closing.is_set() else 1.0)
            if connection.is_accepted:
                connection.leave()
            else:
                _log.warning("%s: %s; trying again", self._place, connection.end)
        finally:
            self._is_connected = False

    def _is_done(self, connection: Connection) -> bool:
        return not self._outgoing and not connection.unacknowledged

    def _send(self, connection: Connection) -> None:
        while self._outgoing and connection.has_room:
            message = self._outgoing.popleft()
            now = time.monotonic()
            if not message.is_stale(now):
                connection.send(message, now)
        if connection.waits_since < time.monotonic() - _ANSWER_S:
            connection.drop("does not acknowledge messages")
        for message, code in connection.acknowledgements:
            if code.is_failure:
                _log.warning("%s: refused a message on %s: %s", self._place, message.topic, code)
        connection.acknowledgements.clear()

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        with self._lock:
            refusal = self._consumer.take(topic, bytes(message.payload), Moment.now(), retained=message.retain)
            count = 0 if refusal is None else self._consumer.refused[refusal.fault]
        if refusal is not None:
            self._log(refusal, count)
        self._news.set()

    def _log(self, refusal: Refusal, count: int) -> None:
        """Log a refusal, unless one of its kind was logged just now."""
        now = time.monotonic()
        if now - self._logged.get(refusal.fault, -QUIET_S) >= QUIET_S:
            self._logged[refusal.fault] = now
            _log.warning("refused %s (%s, %d so far)", refusal, refusal.fault, count)
