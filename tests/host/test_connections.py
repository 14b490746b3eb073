from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest
from tests.conftest import free_port

from sirend.host.connections import Connections

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LATEST_S = 60.0
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Echo(asyncio.Protocol):
    """Says once that it was asked, and keeps the connection open."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.head = b""

    def data_received(self, data: bytes) -> None:
        self.head += data
        if self.head.endswith(b"\r\n\r\n"):
            self.transport.write(b"asked")


def serve(test: Callable[[Connections, int], Awaitable[None]], **bounds: float) -> None:
    """Run a test beside a server."""

    async def run() -> None:
        port = free_port()
        connections = Connections(Echo, **bounds)  # type: ignore[arg-type]
        await connections.listen("127.0.0.1", port)
        try:
            await asyncio.wait_for(test(connections, port), LATEST_S)
        finally:
            await connections.close()

    asyncio.run(run())


async def is_closed(reader: asyncio.StreamReader) -> bool:
    with contextlib.suppress(ConnectionError):
        while await reader.read(100):
            pass
    return True


def test_whoever_asks_at_once_is_served_while_hundreds_are_idle() -> None:
    async def test(connections: Connections, port: int) -> None:
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(300)]
        began = time.monotonic()
        for _ in range(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(REQUEST)
            assert await reader.readexactly(5) == b"asked"
            writer.close()
        assert time.monotonic() - began < 5.0
        assert len(connections.transports) <= 8
        for _, writer in idle:
            writer.close()

    serve(test, most=8)


async def asked(port: int, address: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection from ``address`` that has asked and was answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    writer.write(REQUEST)
    assert await reader.readexactly(5) == b"asked"
    return reader, writer


def held(connections: Connections) -> int:
    return sum(each.is_held for each in connections.transports.values())


def test_of_those_that_have_asked_the_quietest_makes_room() -> None:
    """32 connections of browsers, or of who wants nobody else to see the page, held it for 40 s."""

    async def test(_connections: Connections, port: int) -> None:
        old = [await asked(port) for _ in range(4)]
        old[0][1].write(REQUEST)  # and asks again
        assert await old[0][0].readexactly(5) == b"asked"
        new = await asked(port)
        assert await is_closed(old[1][0])
        await asyncio.sleep(0.1)
        assert [reader.at_eof() for reader, _ in (*old, new)] == [False, True, False, False, False]
        for _, writer in (*old, new):
            writer.close()

    serve(test, most=4)


def test_who_has_most_connections_makes_room_first() -> None:
    async def test(_connections: Connections, port: int) -> None:
        quiet = await asked(port, "127.0.0.2")
        crowd = [await asked(port) for _ in range(20)]
        assert not quiet[0].at_eof()
        quiet[1].write(REQUEST)
        assert await quiet[0].readexactly(5) == b"asked"
        for _, writer in (quiet, *crowd):
            writer.close()

    serve(test, most=4)


def test_streams_make_no_room_for_others_and_each_address_has_its_share_of_them() -> None:
    async def test(connections: Connections, port: int) -> None:
        async def stream(address: str) -> tuple[bool, asyncio.StreamReader, asyncio.StreamWriter]:
            reader, writer = await asked(port, address)
            return connections.hold(list(connections.transports)[-1], 4), reader, writer

        first = [await stream("127.0.0.1") for _ in range(4)]
        assert [is_held for is_held, _, _ in first] == [True] * 4
        others = [await stream("127.0.0.2") for _ in range(2)]
        assert [is_held for is_held, _, _ in others] == [True, True]
        assert await is_closed(first[0][1])
        assert await is_closed(first[1][1])
        refused = [await stream(address) for address in ("127.0.0.2", "127.0.0.1")]
        assert [is_held for is_held, _, _ in refused] == [False, False]
        for _ in range(20):
            (await asked(port))[1].close()
        assert held(connections) == 4
        for _, _, writer in (*first, *others, *refused):
            writer.close()

    serve(test, most=6)


@pytest.mark.parametrize("drip", [b"", b"G"])
def test_a_request_that_does_not_come_whole_in_time_is_given_up(drip: bytes) -> None:
    async def test(_connections: Connections, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        began = time.monotonic()

        async def feed() -> None:
            with contextlib.suppress(ConnectionError):
                while drip:
                    writer.write(drip)
                    await writer.drain()
                    await asyncio.sleep(0.05)

        feeding = asyncio.create_task(feed())
        assert await is_closed(reader)
        assert 0.4 < time.monotonic() - began < 10.0
        feeding.cancel()
        writer.close()

    serve(test, request_s=0.5)


def test_an_answer_has_its_time_and_a_stream_is_held() -> None:
    async def test(connections: Connections, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        await reader.readexactly(5)
        held_reader, held_writer = await asyncio.open_connection("127.0.0.1", port)
        held_writer.write(REQUEST)
        await held_reader.readexactly(5)
        assert connections.hold(list(connections.transports)[-1], 1)
        assert await is_closed(reader)
        await asyncio.sleep(1.0)
        assert not held_reader.at_eof()
        for each in (writer, held_writer):
            each.close()

    serve(test, request_s=0.2, answer_s=0.8)


def test_a_head_without_end_is_cut() -> None:
    async def test(_connections: Connections, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000)
        assert await is_closed(reader)
        writer.close()

    serve(test, request_s=LATEST_S)


def test_a_port_that_is_taken_is_an_error() -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
            await Connections(Echo).listen("127.0.0.1", taken.getsockname()[1])

    asyncio.run(run())


def test_a_name_server_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon waited 10 s for page and metrics each before it listened to the street."""
    silence = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [] if silence.wait(60.0) else None)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="the name server does not answer"):
        asyncio.run(Connections(Echo).listen("page.example", free_port()))
    silence.set()
    assert time.monotonic() - began < 5.0
