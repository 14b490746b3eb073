"""Thousands of connections that come to nothing, as in an hour at a broker in trouble: nothing of them stays."""

from __future__ import annotations

import gc
import socket
import threading
from pathlib import Path

import pytest
from tests.publish.mqtt.listener import Listener
from tests.publish.mqtt.test_session import BOTH, made, wait

from sirend.config.settings import TlsConfig
from sirend.publish.mqtt.backoff import Backoff

pytestmark = pytest.mark.system
AT_ONCE = Backoff(first_s=0.0005, cap_s=0.001)
WARM, MANY = 300, 2_000
MOST_KB = 4_000
"""Of the process's memory, in which the other end has its share."""


def answering(answer: bytes) -> Listener:
    def serve(sock: socket.socket) -> None:
        sock.settimeout(2.0)
        sock.recv(4_096)
        sock.sendall(answer)

    listener = Listener(serve)
    listener.sockets = _Forgetful()
    return listener


class _Forgetful(list[socket.socket]):
    """What was accepted is closed by whoever serves it; thousands are not kept for the end."""

    def append(self, _: socket.socket) -> None:
        """Forget it."""


def kept() -> tuple[int, int, int]:
    """Return descriptors, threads and memory, kB, of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count(), 4 * pages


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("answer", "tls"),
    [
        (b"\x20\x03\0\0\0", None),  # taken in, and hung up on
        (b"\x20\x03\0\x87\0", None),
        (b"\xff" * 50, None),
        (b"\xff" * 50, TlsConfig()),
    ],
    ids=["kicked", "refused", "garbage", "no TLS"],
)
def test_thousands_of_connections_leave_nothing(kind: str, answer: bytes, tls: TlsConfig | None) -> None:
    with answering(answer) as listener, made(kind, listener.port, AT_ONCE, tls=tls) as party:
        session = party._session  # noqa: SLF001
        wait(lambda: session._number >= WARM)  # noqa: SLF001
        listener.threads.clear()
        descriptors, threads, memory_kb = kept()
        wait(lambda: session._number >= MANY)  # noqa: SLF001
        listener.threads.clear()
        found = kept()
    assert found[0] <= descriptors + 6
    assert found[1] <= threads + 6
    assert found[2] <= memory_kb + MOST_KB
