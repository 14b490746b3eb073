"""What accepts connections and is no broker: it is told in the log and in health within seconds, and tried again."""

from __future__ import annotations

import socket
import struct
import time
from typing import TYPE_CHECKING

import pytest
from tests.publish.mqtt.listener import Listener
from tests.publish.mqtt.test_session import BOTH, is_up, made, wait

from sirend.publish.mqtt.session import ANSWER_S

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.system
WITHIN_S = ANSWER_S + 3.0


def silent(sock: socket.socket) -> None:
    while sock.recv(4096):
        pass


def hangs_up(_sock: socket.socket) -> None:
    pass


def resets(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def echoes(sock: socket.socket) -> None:
    while data := sock.recv(4096):
        sock.sendall(data)


def saying(data: bytes, *, hangs_up: bool) -> Callable[[socket.socket], None]:
    """Return one that sends ``data`` to whoever comes, and hangs up or waits."""

    def say(sock: socket.socket) -> None:
        sock.sendall(data)
        if not hangs_up:
            silent(sock)

    return say


PEERS = {
    "silent": silent,
    "hangs up": hangs_up,
    "resets": resets,
    "echoes": echoes,
    "a web server": saying(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", hangs_up=True),
    "a secure shell": saying(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", hangs_up=False),
    "wants TLS": saying(bytes.fromhex("15030100020246"), hangs_up=False),
    "noise": saying(bytes(range(255, -1, -1)) * 64, hangs_up=False),
    "zeros": saying(bytes(4096), hangs_up=False),
    "half a CONNACK": saying(b"\x20\x03\x00", hangs_up=False),
    "an empty CONNACK": saying(b"\x20\x00", hangs_up=False),
    "a CONNACK of a length without end": saying(b"\x20\xff\xff\xff\xff\xff\xff", hangs_up=False),
    "a CONNACK with a property that there is not": saying(b"\x20\x05\x00\x00\x02\xfe\x01", hangs_up=False),
    "a CONNACK with an unknown reason": saying(b"\x20\x03\x00\xfe\x00", hangs_up=False),
    "pings": saying(b"\xd0\x00" * 1000, hangs_up=False),
    "publishes before it took us in": saying(b"\x30\x07\x00\x04nope\x00" * 100, hangs_up=False),
    "a DISCONNECT": saying(b"\xe0\x02\x8b\x00", hangs_up=False),
}


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_that_is_no_broker_is_told_within_seconds_and_tried_again(
    kind: str, peer: str, caplog: pytest.LogCaptureFixture
) -> None:
    began_at = time.monotonic()
    with Listener(PEERS[peer]) as listener, made(kind, listener.port) as party:
        wait(lambda: "trying again until it works" in caplog.text, WITHIN_S)
        assert time.monotonic() - began_at < WITHIN_S
        assert party.problem not in (None, "not connected yet")
        assert not is_up(party)
        wait(lambda: len(listener.sockets) >= 2)
    assert "by a bug" not in caplog.text
    assert "Traceback" not in caplog.text
