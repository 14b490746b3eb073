"""A broker that misbehaves as it is told to: it speaks just enough MQTT to let a client in and then does it wrong."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO, Self

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from tests.publish.mqtt.listener import Listener


def packet(kind: int, body: bytes) -> bytes:
    """Return an MQTT packet: header, length, body."""
    length, encoded = len(body), bytearray()
    while True:
        length, byte = divmod(length, 128)
        encoded.append(byte | (0x80 if length else 0))
        if not length:
            return bytes([kind, *encoded]) + body


def publish(topic: str, payload: bytes, *, is_5: bool = True, qos: int = 0) -> bytes:
    """Return a PUBLISH of the broker."""
    mid = b"\0\7" if qos else b""
    head = len(topic).to_bytes(2, "big") + topic.encode() + mid + (b"\0" if is_5 else b"")
    return packet(0x30 | qos << 1, head + payload)


@dataclass
class Heard:
    """A PUBLISH of a client."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


@dataclass
class Hostile:
    """What it does wrong, and what it saw. Every connection is served on a thread of its own."""

    limits: dict[str, int] = field(default_factory=dict)
    """Properties of its CONNACK, such as ``ReceiveMaximum``."""
    properties: bytes | None = None
    """Those of its CONNACK as they are sent, where ``limits`` cannot say them."""
    subscribing: int | None = 0
    """Reason code in SUBACK; None never answers."""
    refused: bytes = b"nothing"
    """Topics that have this in them are refused (0x87) whatever ``subscribing`` says."""
    ends_at: bytes = b"nothing"
    """A SUBSCRIBE with this in it ends the connection."""
    says_less: bool = False
    """Leave the last reason code out of SUBACK."""
    answers_pings: bool = True
    acknowledges: bool = True
    puback: int = 0
    """Reason code for what is published with QoS 1 under MQTT 5."""
    disconnect: int | None = None
    """Say so, and hang up, at the first PUBLISH."""
    refuses_5: bool = False
    refuses_all: bool = False
    """Neither is MQTT 3.1.1 spoken, as by a broker of before 2014."""
    is_silent_to_5: bool = False
    hangs_up: int = 0
    """So many connections end before CONNECT is answered, as by a proxy whose broker is away."""
    kicks: bool = False
    """Hang up right after CONNACK."""
    greeting: bytes = b""
    """What is sent after SUBACK."""
    drips_s: float = 0.0
    """Between two bytes of CONNACK."""
    connects: list[float] = field(default_factory=list)
    """Monotonic time, s, of each CONNECT."""
    heard: list[Heard] = field(default_factory=list)
    subscribed: list[bytes] = field(default_factory=list)
    pings: int = 0
    largest: int = 0
    """Bytes of the largest packet behind CONNECT; one larger than ``limits`` allow ends the connection."""
    most_under_way: int = 0
    port: int = 0
    max_packet: int | None = None
    """``Maximum Packet Size`` in the last CONNECT."""
    _held: int = 0

    def __enter__(self) -> Self:
        self._listener = Listener(self._serve, self.port).__enter__()
        self.port = self._listener.port
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.__exit__()

    def say(self, data: bytes) -> None:
        """Put bytes into the newest connection."""
        self._listener.sockets[-1].sendall(data)

    def _serve(self, sock: socket.socket) -> None:
        with sock.makefile("rb") as stream:
            self._talk(sock, stream)

    def _talk(self, sock: socket.socket, stream: BinaryIO) -> None:
        is_5 = True
        while True:
            kind, body = _read(stream)
            if kind & 0xF0 != 0x10:
                size = len(packet(kind, body))
                self.largest = max(self.largest, size)
                if size > self.limits.get("MaximumPacketSize", size):
                    return
            if kind & 0xF0 == 0x10:
                is_5 = body[6] == 5
                self.connects.append(time.monotonic())
                if not self._greets(sock, body, is_5=is_5):
                    return
            elif kind & 0xF0 == 0x30:
                self._take(sock, kind, body, is_5=is_5)
            elif kind & 0xF0 == 0x80:
                self.subscribed.append(body)
                self._answer(sock, body, is_5=is_5)
            elif kind & 0xF0 == 0xC0:
                self.pings += 1
                if self.answers_pings:
                    sock.sendall(packet(0xD0, b""))

    def _greets(self, sock: socket.socket, body: bytes, *, is_5: bool) -> bool:
        if is_5:
            sent = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            sent.unpack(body[10:])  # type: ignore[no-untyped-call]
            self.max_packet = getattr(sent, "MaximumPacketSize", None)
        else:
            self.max_packet = None
        if self.hangs_up:
            self.hangs_up -= 1
            return False
        if is_5 and self.is_silent_to_5:
            return False
        if self.refuses_all or (is_5 and self.refuses_5):
            sock.sendall(packet(0x20, b"\0\x01"))
            return False
        properties = Properties(PacketTypes.CONNACK)  # type: ignore[no-untyped-call]
        for name, value in self.limits.items():
            setattr(properties, name, value)
        packed = properties.pack() if self.properties is None else self.properties  # type: ignore[no-untyped-call]
        answer = packet(0x20, b"\0\0" + (packed if is_5 else b""))
        for place in range(len(answer)) if self.drips_s else ():
            sock.sendall(answer[place : place + 1])
            time.sleep(self.drips_s)
        if not self.drips_s:
            sock.sendall(answer)
        return not self.kicks

    def _take(self, sock: socket.socket, kind: int, body: bytes, *, is_5: bool) -> None:
        end = 2 + int.from_bytes(body[:2], "big")
        topic, qos, mid = body[2:end].decode(), kind >> 1 & 3, b""
        if qos:
            mid, end = body[end : end + 2], end + 2
        if is_5:
            end += Properties(PacketTypes.PUBLISH).unpack(body[end:])[1]  # type: ignore[no-untyped-call]
        self.heard.append(Heard(topic, body[end:], qos, bool(kind & 1)))
        if self.disconnect is not None:
            sock.sendall(packet(0xE0, bytes([self.disconnect])))
            sock.shutdown(socket.SHUT_RDWR)
            return
        if is_5 and self.puback:
            mid += bytes([self.puback])
        if not qos:
            return
        self._held += 1
        self.most_under_way = max(self.most_under_way, self._held)
        if self.acknowledges:  # after a while, so that what is sent meanwhile can be counted
            timer = threading.Timer(0.05, self._acknowledge, (sock, mid))
            self._listener.threads.append(timer)
            timer.start()

    def _acknowledge(self, sock: socket.socket, mid: bytes) -> None:
        self._held -= 1
        with suppress(OSError):
            sock.sendall(packet(0x40, mid))

    def _answer(self, sock: socket.socket, body: bytes, *, is_5: bool) -> None:
        if self.ends_at in body:
            raise EOFError
        if self.subscribing is None:
            return
        at, codes = 2 + (1 + body[2] if is_5 else 0), []
        while at < len(body):
            end = at + 2 + int.from_bytes(body[at : at + 2], "big")
            codes.append(0x87 if self.refused in body[at:end] else self.subscribing)
            at = end + 1
        said = codes[:-1] if self.says_less else codes
        sock.sendall(packet(0x90, body[:2] + (b"\0" if is_5 else b"") + bytes(said)))
        if self.greeting:
            sock.sendall(self.greeting)


def _read(stream: BinaryIO) -> tuple[int, bytes]:
    """Return header and body of the next packet; raise ``EOFError`` at the end."""

    def exactly(count: int) -> bytes:
        data = stream.read(count)
        if len(data) < count:
            raise EOFError
        return data

    kind, length, shift = exactly(1)[0], 0, 0
    while True:
        byte = exactly(1)[0]
        length |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            return kind, exactly(length)
