"""One connection to an MQTT broker: paho's client driven by hand, without a thread of paho's own."""

from __future__ import annotations

import hashlib
import hmac
import math
import select
import socket
import ssl
from contextlib import suppress
from dataclasses import astuple
from typing import TYPE_CHECKING

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from sirend.config.load import secret
from sirend.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from paho.mqtt.client import ConnectFlags, DisconnectFlags
    from paho.mqtt.reasoncodes import ReasonCode

    from sirend.config.settings import MqttConfig
    from sirend.publish.mqtt.outbox import Message

_WINDOW = 10
"""Messages under way without acknowledgement; fewer than the 20 that brokers allow by default."""
_CONNECT_S = 5.0


def name_of(config: MqttConfig, site: str) -> str:
    """Return the client identifier of the daemon of ``site``; raise ``ConfigError`` when its key cannot be read.

    A broker gives the session of a name to whoever comes under it last. With a key for TLS a part of the name is made
    of that key, so that it stays the same over restarts, but no other site of the broker can know it.
    """
    name = config.client_id or f"sirend-{site}"
    file = None if config.tls is None or config.client_id else config.tls.key_file
    if file is None:
        return name
    try:
        return f"{name}-{hmac.new(file.read_bytes(), b'sirend client id', hashlib.sha256).hexdigest()[:16]}"
    except OSError as error:
        raise ConfigError("mqtt.tls", [f"{file}: cannot be read: {error.strerror}"]) from None


def new_client(config: MqttConfig, name: str, protocol: MQTTProtocolVersion, will: Message | None = None) -> Client:
    """Return a client called ``name`` that is ready to connect; raise ``ConfigError`` when it lacks a secret or key."""
    client = Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=protocol, reconnect_on_failure=False)
    client.connect_timeout = _CONNECT_S
    client.max_inflight_messages_set(_WINDOW)
    client.max_queued_messages_set(_WINDOW)
    if will is not None:
        client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
    if config.username is not None:
        client.username_pw_set(config.username, _password(config.password_file))
    if config.tls is not None:
        ca, cert, key = (None if file is None else str(file) for file in astuple(config.tls))
        try:
            # The empty password keeps OpenSSL from asking for one on the terminal.
            client.tls_set(ca_certs=ca, certfile=cert, keyfile=key, keyfile_password="")
        except (OSError, ValueError) as error:
            raise ConfigError("mqtt.tls", [f"the certificates cannot be used: {error}"]) from None
    return client


def _password(file: Path | None) -> str | None:
    try:
        return None if file is None else secret(file).decode()
    except UnicodeDecodeError:
        raise ConfigError(str(file), ["the password is not UTF-8 text"]) from None


class Connection:
    """One connection, from CONNECT to its end. It lives on the network thread."""

    def __init__(self, client: Client, wake: socket.socket) -> None:
        """Follow ``client``, which is about to connect; bytes in ``wake`` mean that there is something to send."""
        self.answer: ReasonCode | None = None
        """What the broker said to CONNECT; None until it did."""
        self.end: str | None = None
        """Why the connection ended, as a predicate of the broker; None while it stands."""
        self.acknowledgements: list[tuple[Message, ReasonCode]] = []
        """What the broker said to messages, to be taken away by the owner."""
        self._sent: dict[int, tuple[Message, float]] = {}
        self._client = client
        self._wake = wake
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish

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
    def has_room(self) -> bool:
        """Whether another message may be sent before the broker acknowledges one."""
        return len(self._sent) < _WINDOW

    def _on_connect(self, _c: Client, _u: object, _f: ConnectFlags, code: ReasonCode, _p: Properties | None) -> None:
        self.answer = code

    def _on_disconnect(
        self, _c: Client, _u: object, flags: DisconnectFlags, code: ReasonCode, _p: Properties | None
    ) -> None:
        said = f"ended the connection: {code}" if flags.is_disconnect_packet_from_server else "lost the connection"
        self.end = self.end or said

    def _on_publish(self, _c: Client, _u: object, mid: int, code: ReasonCode, _p: Properties | None) -> None:
        if mid in self._sent:
            self.acknowledgements.append((self._sent.pop(mid)[0], code))

    def turn(self, timeout_s: float) -> None:
        """Wait for the broker or for something to send, at most ``timeout_s``; read and write what is due."""
        client = self._client
        sock = client.socket()
        if sock is None:
            self.end = self.end or "lost the connection"
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
        self._sent[sent.mid] = (message, now)

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
