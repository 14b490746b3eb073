"""paho's client with what it lacks: a bound on what it takes in, and a short way for messages that come in a flood.

Whoever may publish can send 10,000 messages a second. Each must cost so little that the one that counts is heard in
time: a whole PUBLISH is taken out of what was read ahead without paho's own bookkeeping, and what stands beside its
payload is not read before somebody asks.
"""

from __future__ import annotations

import math
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from sirend.host.addresses import Addresses

LARGEST_PACKET = 65_536
"""Bytes; the broker is asked to keep larger packets to itself, and one that sends them all the same is left."""
_PUBLISH_QOS_0 = 0x30
_ANY_FLAG = 0x09
"""Retain and duplicate: the bits of the first byte of a PUBLISH that say nothing of its form."""
_CONTINUED = 0x80
"""A byte of a variable-length number that is not its last has this bit (MQTT 5.0, 1.5.5)."""
_MOST_BESIDE = 2_048
"""Bytes of properties that are read: a stamp has 200, and what fills a packet with them takes milliseconds to read."""
_MAXIMUM_PACKET_SIZE = 0x27
_SIZES = {0x11: 4, 0x13: 2, 0x21: 2, 0x22: 2, 0x24: 1, 0x25: 1, _MAXIMUM_PACKET_SIZE: 4, 0x28: 1, 0x29: 1, 0x2A: 1}
"""Bytes of the properties of a CONNACK that are numbers; the others begin with their length (MQTT 5.0, 2.2.2.2)."""
_PAIR = 0x26
"""The user property: two texts."""
_UNACCEPTABLE_PROTOCOL = b"\1"
"""The return code of a CONNACK of MQTT 3.1.1 for a protocol that the broker does not speak."""
_LARGEST_THERE_IS = 268_435_455
"""Bytes: more have no place in a packet's length, and paho takes a broker that allows more for a broken one."""
_OFTEN = 64
"""Packets between two looks at the clock."""


class Incoming(NamedTuple):
    """A message of the broker; a light tuple, for a flood makes many."""

    topic: str
    payload: bytes
    retained: bool
    """Whether the broker repeats what it keeps."""
    beside: bytes = b""
    """The properties of MQTT 5 as they came, with their length."""

    @property
    def properties(self) -> dict[str, str]:
        """Return the user properties of MQTT 5; none where they cannot be read, or are more than anybody of us says."""
        if not 1 < len(self.beside) <= _MOST_BESIDE:
            return {}
        found = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        try:
            found.unpack(self.beside)  # type: ignore[no-untyped-call]
        except Exception:  # noqa: BLE001  paho raises what its own classes happen to raise, KeyError and IndexError too
            return {}
        return dict(getattr(found, "UserProperty", ()))


def _number(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """Return the variable-length number at ``data[at]`` and where it ends; raise ``MalformedPacket`` if there is none.

    ``IndexError`` says that it goes on behind what is here.
    """
    value = shift = 0
    for place in range(at, at + 4):
        byte = data[place]
        value |= (byte & ~_CONTINUED) << shift
        if byte < _CONTINUED:
            return value, place + 1
        shift += 7
    raise MalformedPacket


def _within_reason(connack: bytes) -> bytes:
    """Return ``connack`` with a Maximum Packet Size that paho takes; as it came where that is so, or it is broken."""
    try:
        length, at = _number(connack, 2)
        end = at + length
        while at < end:
            kind, at = _number(connack, at)
            if kind == _MAXIMUM_PACKET_SIZE and int.from_bytes(connack[at : at + 4], "big") > _LARGEST_THERE_IS:
                return connack[:at] + _LARGEST_THERE_IS.to_bytes(4, "big") + connack[at + 4 :]
            for _ in range(2 if kind == _PAIR else 1):
                at += _SIZES[kind] if kind in _SIZES else 2 + int.from_bytes(connack[at : at + 2], "big")
    except (IndexError, MalformedPacket):
        pass
    return connack


class BoundedClient(Client):
    """paho's client, reading in bounds.

    It overrides eight of paho's own methods; ``tests/publish/mqtt/test_session.py`` holds that they are still called.
    """

    cause: str | None = None
    """What the broker sent that ends the connection, as a predicate; None while it did not."""
    heard: Callable[[Incoming], None]
    """Gets every message."""
    addresses: Addresses
    """Where the broker is."""
    quiet_s = math.inf
    """A broker that says nothing for so long is asked whether it lives, before the keepalive asks."""
    _ahead = b""
    _position = 0
    _received_at = -math.inf

    @property
    def has_read_ahead(self) -> bool:
        """Whether bytes are here that no packet was made of yet."""
        return self._position < len(self._ahead)

    @property
    def asked_at(self) -> float:
        """When it was asked whether it lives, monotonic, s; infinite where it has said anything since."""
        return self._ping_t if self._ping_t > max(0.0, self._received_at) else math.inf

    def keep_alive(self, most_s: int) -> None:
        """Ask the broker whether it lives at least every ``most_s``, whatever it said in CONNACK.

        A broker may ask for it more often. One that wants it less often, or never (Server Keep Alive 0), would leave
        us on a dead line for as long, and who only listens would not notice.
        """
        self._keepalive = most_s if self._keepalive == 0 else min(self._keepalive, most_s)

    def _check_keepalive(self) -> None:
        """Ask a broker that has fallen silent."""
        if self._ping_t == 0 and self.is_connected() and time.monotonic() - self._received_at > self.quiet_s:
            self._send_pingreq()
        super()._check_keepalive()

    def take_ahead(self, until: float) -> None:
        """Take the whole messages with QoS 0 at the front of what was read ahead, till the monotonic time ``until``."""
        if self._in_packet["command"] != 0:  # paho is in the middle of one
            return
        ahead, at, end, taken = self._ahead, self._position, len(self._ahead), 0
        rc = MQTTErrorCode.MQTT_ERR_SUCCESS
        try:
            while at < end and ahead[at] & ~_ANY_FLAG == _PUBLISH_QOS_0 and rc is MQTTErrorCode.MQTT_ERR_SUCCESS:
                length, begin = _number(ahead, at + 1)
                if begin + length > end or self._sock is None:
                    break
                header, at, taken = ahead[at], begin + length, taken + 1
                rc = self._publish(header, ahead[begin:at])
                if taken % _OFTEN == 0 and time.monotonic() > until:
                    break
        except IndexError:  # the rest of it is still to come
            pass
        except MalformedPacket:
            rc = MQTTErrorCode.MQTT_ERR_PROTOCOL
        self._position = at
        if rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._loop_rc_handle(rc)

    def _create_socket_connection(self) -> socket.socket:
        """Connect without waiting for a name server; the name itself is what a certificate is checked against."""
        return self.addresses.connect()

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        """Shake hands, and close the socket when that fails: paho leaves it open until it is collected."""
        if self._ssl_context is None:
            raise ValueError("no certificates are set")
        wrapped = self._ssl_context.wrap_socket(tcp_sock, server_hostname=self._host, do_handshake_on_connect=False)
        try:
            wrapped.settimeout(self.connect_timeout)
            wrapped.do_handshake()
        except BaseException:
            wrapped.close()
            raise
        return wrapped

    def _sock_recv(self, bufsize: int) -> bytes:
        """Read many packets with one call of the system, and none that is too large."""
        if bufsize > LARGEST_PACKET:  # paho asks for the rest of a packet at once, and keeps it all
            self.cause = f"sent a packet of {bufsize} bytes, more than {LARGEST_PACKET}"
            raise ConnectionAbortedError(self.cause)
        if not self.has_read_ahead:
            try:
                self._ahead, self._position = super()._sock_recv(LARGEST_PACKET), 0
            except ssl.SSLError as error:
                self._note_alert(error)
                raise
            self._received_at = time.monotonic()
        taken = self._ahead[self._position : self._position + bufsize]
        self._position += len(taken)
        return taken

    def _sock_send(self, buf: bytes | bytearray) -> int:
        """Send, and where the broker has hung up, read why."""
        try:
            return super()._sock_send(buf)
        except ssl.SSLError:
            with suppress(OSError):  # what it said before waits to be read
                self._sock_recv(1)
            raise

    def _note_alert(self, error: ssl.SSLError) -> None:
        """Remember why the broker ends an encrypted connection; since TLS 1.3 it says so after the handshake."""
        _, is_alert, words = (error.reason or "").partition("_ALERT_")
        if is_alert:
            self.cause = f"refuses the encryption: {words.lower().replace('_', ' ')}; see mqtt.tls"

    def _handle_connack(self) -> MQTTErrorCode:
        """Take the broker's answer; HiveMQ allows packets of 268,435,460 bytes if nobody tells it otherwise."""
        if self.protocol is MQTTProtocolVersion.MQTTv5:
            self._in_packet["packet"] = bytearray(_within_reason(bytes(self._in_packet["packet"])))
        elif self._in_packet["packet"][1:2] == _UNACCEPTABLE_PROTOCOL:  # which paho takes for a lost connection
            self.cause = "refused the connection: it speaks neither MQTT 5 nor 3.1.1; update the broker"
        return super()._handle_connack()

    def _handle_publish(self) -> MQTTErrorCode:
        """Take a message apart that paho has read."""
        return self._publish(self._in_packet["command"], bytes(self._in_packet["packet"]))

    def _publish(self, header: int, packet: bytes) -> MQTTErrorCode:
        """Take apart a PUBLISH, whose first byte is ``header``; the rest is ``packet``, from the topic's length on."""
        end = 2 + int.from_bytes(packet[:2], "big")
        at = end + (2 if header & 0x06 else 0)
        if header & 0x04:  # paho would keep it until it is released
            self.cause = "sends with QoS 2, which nobody asked for"
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        beside = b""
        if self.protocol is MQTTProtocolVersion.MQTTv5:
            try:
                length, begin = _number(packet, at)
            except IndexError:
                return MQTTErrorCode.MQTT_ERR_PROTOCOL
            beside = packet[at : begin + length]
            at = begin + length
        if at > len(packet):
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        try:
            topic = packet[2:end].decode()
        except UnicodeDecodeError:  # nobody's topic
            topic = ""
        if topic:
            self.heard(Incoming(topic, packet[at:], bool(header & 1), beside))
        if header & 0x02:
            return self._send_puback(int.from_bytes(packet[end : end + 2], "big"))
        return MQTTErrorCode.MQTT_ERR_SUCCESS
