"""One connection to an MQTT broker: paho's client driven by hand, without a thread of paho's own."""

from __future__ import annotations

import math
import select
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from sirend.publish.mqtt.access import WINDOW, is_5, user_properties
from sirend.publish.mqtt.bounded_client import LARGEST_PACKET

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags

    from sirend.publish.mqtt.bounded_client import BoundedClient, Incoming
    from sirend.publish.mqtt.outbox import Message

_READ_S = 0.05
"""How long one turn reads at most, so that a flood does not keep us from speaking."""
_MID_AND_LENGTHS = 1 + 4 + 2 + 2
"""Bytes of a PUBLISH besides topic, properties and payload: header, remaining length, topic's length, identifier."""
_SUBSCRIBE = 1 + 4 + 2 + 1
"""Bytes of a SUBSCRIBE besides its topics: header, remaining length, identifier, properties."""
_TOPIC = 2 + 1
"""Bytes of a topic in it besides the topic: its length, its options."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a broker allows: its word in CONNACK."""

    window: int = WINDOW
    """Messages under way without acknowledgement."""
    largest: float = math.inf
    """Bytes of a packet."""
    qos: int = 1
    retains: bool = True

    @classmethod
    def of(cls, properties: Properties | None) -> Limits:
        """Read them; what is not there is not limited."""
        return cls(
            window=min(WINDOW, max(1, getattr(properties, "ReceiveMaximum", WINDOW))),
            largest=getattr(properties, "MaximumPacketSize", math.inf),
            qos=min(1, getattr(properties, "MaximumQoS", 1)),
            retains=bool(getattr(properties, "RetainAvailable", 1)),
        )


class Connection:
    """One connection, from CONNECT to its end. It lives on the network thread."""

    def __init__(self, client: BoundedClient, wakened: socket.socket, heard: Callable[[Incoming], None]) -> None:
        """Follow ``client``, which is about to connect; bytes in ``wakened`` mean that there is something to send.

        ``heard`` gets what the broker sends.
        """
        self.answer: ReasonCode | None = None
        """What the broker said to CONNECT; None until it did."""
        self.limits = Limits()
        self.end: str | None = None
        """Why the connection ended, as a predicate of the broker; None while it stands."""
        self.acknowledgements: list[tuple[Message, ReasonCode]] = []
        """What the broker said to messages, to be taken away by the owner."""
        self.granted: list[ReasonCode] | None = None
        """What the broker said to each topic asked for last, in their order; None until it said everything."""
        self._subscribing: dict[int, tuple[int, list[ReasonCode] | None]] = {}
        self._sent: dict[int, tuple[Message, float]] = {}
        self._client = client
        self._wakened = wakened
        self._keepalive_s = 0
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.heard = heard

    @property
    def is_5(self) -> bool:
        """Whether it speaks MQTT 5."""
        return is_5(self._client)

    @property
    def peer_certificate(self) -> dict[str, Any] | None:
        """What the broker has shown, where that was asked for."""
        sock = self._client.socket()
        return sock.getpeercert() if isinstance(sock, ssl.SSLSocket) else None

    @property
    def is_accepted(self) -> bool:
        """Whether the broker took us in and has not let go since."""
        return self.end is None and self.answer is not None and not self.answer.is_failure

    @property
    def unacknowledged(self) -> list[Message]:
        """Messages sent that the broker has said nothing to, oldest first."""
        return [message for message, _ in self._sent.values()]

    @property
    def waits_since(self) -> float:
        """Monotonic time, s, at which the oldest of these was sent; infinite when there is none."""
        return min((at for _, at in self._sent.values()), default=math.inf)

    @property
    def asked_since(self) -> float:
        """Monotonic time, s, at which the broker was asked whether it lives; infinite where it said anything since."""
        return self._client.asked_at

    @property
    def has_room(self) -> bool:
        """Whether another message may be sent before the broker acknowledges one."""
        return len(self._sent) < self.limits.window

    def open(self, host: str, port: int, keepalive_s: int) -> None:
        """Connect and send CONNECT; raise ``OSError`` or ``ValueError`` when there is no way."""
        properties = None
        if self.is_5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = LARGEST_PACKET
        self._keepalive_s = keepalive_s
        self._client.connect(host, port, keepalive_s, properties=properties)

    def _on_connect(self, _c: Client, _u: object, _f: ConnectFlags, code: ReasonCode, said: Properties | None) -> None:
        self.answer = code
        self.limits = Limits.of(said)
        self._client.keep_alive(self._keepalive_s)

    def _on_disconnect(
        self, _c: Client, _u: object, flags: DisconnectFlags, code: ReasonCode, _p: Properties | None
    ) -> None:
        said = f"ended the connection: {code}" if flags.is_disconnect_packet_from_server else "lost the connection"
        self.end = self.end or self._client.cause or said

    def _on_publish(self, _c: Client, _u: object, mid: int, code: ReasonCode, _p: Properties | None) -> None:
        if mid in self._sent:
            self.acknowledgements.append((self._sent.pop(mid)[0], code))

    def _on_subscribe(self, _c: Client, _u: object, mid: int, codes: list[ReasonCode], _p: Properties | None) -> None:
        if mid not in self._subscribing:
            return
        count = self._subscribing[mid][0]
        missing = [ReasonCode(PacketTypes.SUBACK, "Unspecified error")] * (count - len(codes))
        self._subscribing[mid] = (count, [*codes[:count], *missing])
        answers = [answer for _, answer in self._subscribing.values()]
        if all(answer is not None for answer in answers):
            self.granted = [code for answer in answers if answer is not None for code in answer]

    def turn(self, timeout_s: float) -> None:
        """Wait for the broker or for something to send, at most ``timeout_s``; read and write what is due."""
        client = self._client
        sock = client.socket()
        if sock is None:
            self.end = self.end or "lost the connection"
            return
        pending = client.has_read_ahead or (isinstance(sock, ssl.SSLSocket) and sock.pending() > 0)
        writing = [sock] if client.want_write() else []
        readable, writable, _ = select.select([sock, self._wakened], writing, [], 0.0 if pending else timeout_s)
        if self._wakened in readable:
            self._wakened.recv(4096)
        if sock in readable or pending:
            self._read()
        if writable:
            client.loop_write()
        client.loop_misc()

    def _read(self) -> None:
        """Take what has come, for a bounded time."""
        client, until = self._client, time.monotonic() + _READ_S
        client.loop_read()
        while client.has_read_ahead and self.end is None and time.monotonic() < until:
            client.take_ahead(until)
            if client.has_read_ahead:  # an answer, or the beginning of something
                client.loop_read()

    def subscribe(self, topics: Sequence[tuple[str, int]]) -> None:
        """Ask for topics, each with its QoS, in packets that the broker takes; the answer comes as ``granted``."""
        self.granted = None
        self._subscribing = {}
        for part in _parts(topics, self.limits.largest - _SUBSCRIBE):
            mid = self._client.subscribe(part)[1]
            if mid is not None:
                self._subscribing[mid] = (len(part), None)

    def unsubscribe(self, topics: Sequence[str]) -> None:
        """Ask for topics no longer."""
        for part in _parts([(topic, 0) for topic in topics], self.limits.largest - _SUBSCRIBE):
            self._client.unsubscribe([topic for topic, _ in part])

    def send(self, message: Message, now: float) -> bool:
        """Hand a message to the broker; return False when it is larger than the broker takes."""
        properties = None
        size = len(message.topic.encode()) + len(message.payload) + _MID_AND_LENGTHS
        if self.is_5:
            properties = user_properties(message, PacketTypes.PUBLISH)
            if message.deadline is not None:
                properties.MessageExpiryInterval = max(1, math.ceil(message.deadline - now))
            size += len(properties.pack())  # type: ignore[no-untyped-call]
        if size > self.limits.largest:
            return False
        sent = self._client.publish(
            message.topic,
            message.payload,
            qos=self.limits.qos,
            retain=message.retain and self.limits.retains,
            properties=properties,
        )
        if self.limits.qos:
            self._sent[sent.mid] = (message, now)
        else:
            self.acknowledgements.append((message, ReasonCode(PacketTypes.PUBACK)))
        return True

    def drop(self, why: str) -> None:
        """Leave without a word, so that the broker publishes the will; ``why`` becomes the connection's end."""
        self.end = self.end or why
        sock = self._client.socket()
        if isinstance(sock, socket.socket):
            with suppress(OSError):  # it may be gone already
                sock.shutdown(socket.SHUT_RDWR)
            self._client.loop_read()

    def leave(self) -> None:
        """Say goodbye, so that the broker forgets the will."""
        self._client.disconnect()


def _parts(topics: Sequence[tuple[str, int]], room: float) -> list[list[tuple[str, int]]]:
    """Return ``topics`` in parts of at most ``room`` bytes each; one that is larger by itself is a part alone."""
    parts: list[list[tuple[str, int]]] = []
    left = 0.0
    for topic, qos in topics:
        size = len(topic.encode()) + _TOPIC
        if not parts or size > left:
            parts.append([])
            left = room
        parts[-1].append((topic, qos))
        left -= size
    return parts
