"""One connection to an MQTT broker: paho's client driven by hand, without a thread of paho's own."""

from __future__ import annotations

import math
import select
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

if TYPE_CHECKING:
    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
    from paho.mqtt.reasoncodes import ReasonCode

    from sirend.outbox import Message


class Connection:
    """One connection, from CONNECT to its end. It lives on the network thread."""

    def __init__(self, client: Client, wake: socket.socket) -> None:
        """Follow ``client``, which is about to connect; bytes in ``wake`` mean that there is something to send."""
        self.answer: ReasonCode | None = None
        """What the broker said to CONNECT; None until it did."""
        self.end: str | None = None
        """Why the connection ended; None while it stands."""
        self.unacknowledged: dict[int, Message] = {}
        """Messages sent, by paho's number."""
        self.acknowledgements: list[tuple[Message, ReasonCode]] = []
        """What the broker said to messages, to be taken away by the owner."""
        self._client = client
        self._wake = wake
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish

    @property
    def is_accepted(self) -> bool:
        """Whether the broker took us in and has not let go since."""
        return self.end is None and self.answer is not None and not self.answer.is_failure

    def _on_connect(self, _c: Client, _u: object, _f: ConnectFlags, code: ReasonCode, _p: Properties | None) -> None:
        self.answer = code

    def _on_disconnect(
        self, _c: Client, _u: object, flags: DisconnectFlags, code: ReasonCode, _p: Properties | None
    ) -> None:
        self.end = str(code) if flags.is_disconnect_packet_from_server else "connection lost"

    def _on_publish(self, _c: Client, _u: object, mid: int, code: ReasonCode, _p: Properties | None) -> None:
        message = self.unacknowledged.pop(mid, None)
        if message is not None:
            self.acknowledgements.append((message, code))

    def turn(self, timeout_s: float) -> None:
        """Wait for the broker or for something to send, at most ``timeout_s``; read and write what is due."""
        client = self._client
        sock = client.socket()
        if sock is None:
            self.end = self.end or "connection lost"
            return
        pending = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        writing = [sock] if client.want_write() else []
        readable, writable, _ = select.select([sock, self._wake], writing, [], 0.0 if pending else timeout_s)
        if self._wake in readable:
            self._wake.recv(4096)
        if sock in readable or pending:
            client.loop_read()
        if writable:
            client.loop_write()
        client.loop_misc()

    def send(self, message: Message, now: float) -> None:
        """Hand a message to the broker."""
        properties = None
        if message.deadline is not None and self._client.protocol is MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = max(1, math.ceil(message.deadline - now))
        sent = self._client.publish(message.topic, message.payload, qos=1, retain=message.retain, properties=properties)
        self.unacknowledged[sent.mid] = message

    def drop(self) -> None:
        """Leave without a word, so that the broker publishes the will."""
        sock = self._client.socket()
        if isinstance(sock, socket.socket):
            with suppress(OSError):  # it may be gone already
                sock.shutdown(socket.SHUT_RDWR)
            self._client.loop_read()

    def leave(self) -> None:
        """Say goodbye, so that the broker forgets the will."""
        self._client.disconnect()
