"""TCP connections of a small asyncio server, bounded in number and time, so that they cost the detection nothing.

Descriptors that idle connections hold are missing elsewhere: at the broker, at the journal. Of more than ``most``
one makes room, so that whoever comes is served even while others flood the port or keep what they have: of those that
have not sent a whole request, or else of those that were not held, one of the address that has most of them, and of
these the one that has been quiet for longest.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import socket
from collections import Counter
from typing import TYPE_CHECKING, Self

from sirend.host.addresses import Addresses

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

MOST = 32
SHARE = 8
"""At most this part of the descriptors that the process may have."""
REQUEST_S = 5.0
"""Within so long a request's head must have come, the handshake of TLS included."""
ANSWER_S = 40.0
"""So long a connection may last after that, unless it is held."""
HEAD_BYTES = 32_768
"""Longer than any head that is meant well."""
PAUSE_S = 1.0
"""How long to wait where the system has no descriptor left."""
BACKLOG = 64
_END_OF_HEAD = b"\r\n\r\n"

_log = logging.getLogger(__name__)


class WatchedConnection(asyncio.Protocol):
    """One connection: passes on what comes to the protocol that answers, and knows how far it has come."""

    def __init__(self, inner: asyncio.Protocol, place: Connections, address: str) -> None:
        """Pass on to ``inner`` what comes from ``address``."""
        self.address = address
        self.is_held = False
        """Whether it is a stream, which lasts."""
        self._inner = inner
        self._place = place
        self._beginning: asyncio.Task[None] | None = None
        self._tail = b""
        self._received = 0
        self.transport: asyncio.BaseTransport | None = None
        """None until the handshake of TLS is over, where there is one."""
        self.has_asked = False
        """Whether the head of a request has come."""

    async def begin(self, accepted: socket.socket, tls: ssl.SSLContext | None, request_s: float) -> None:
        """Shake hands with who is at the other end of ``accepted``, and begin."""
        self._beginning = asyncio.current_task()
        try:
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(request_s):
                await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: self,
                    accepted,
                    ssl=tls,
                    ssl_handshake_timeout=None if tls is None else request_s,
                )
        except (OSError, TimeoutError, asyncio.CancelledError):
            accepted.close()
            self._place.forget(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, after the handshake of TLS where there is one."""
        self.transport = transport
        self._place.begin(self, transport)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        self._place.touch(self)
        if not self.has_asked:
            self._received += len(data)
            seen = self._tail + data
            self._tail = seen[-len(_END_OF_HEAD) :]
            if _END_OF_HEAD in seen:
                self.has_asked = True
                self._place.extend(self)
            elif self._received > HEAD_BYTES:
                self.cut()
                return
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Take the end of what the other side sends."""
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        """Stop writing."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Go on writing."""
        self._place.touch(self)
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._place.forget(self)
        self._inner.connection_lost(exc)

    def cut(self) -> None:
        """Close at once, whatever is under way."""
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()
        elif self._beginning is not None:
            self._beginning.cancel()


class Connections:
    """Takes connections at a port inside its ``async with`` block."""

    def __init__(
        self,
        answer: Callable[[], asyncio.Protocol],
        tls: ssl.SSLContext | None = None,
        *,
        most: int = MOST,
        request_s: float = REQUEST_S,
        answer_s: float = ANSWER_S,
    ) -> None:
        """Have each connection answered by a protocol that ``answer`` returns."""
        self._answer = answer
        self._tls = tls
        self._most = max(2, min(most, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // SHARE))
        self._request_s = request_s
        self._answer_s = answer_s
        self._open: dict[WatchedConnection, asyncio.TimerHandle | None] = {}  # the quietest first
        self._beginning: set[asyncio.Task[None]] = set()
        self._sockets: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self.transports: dict[asyncio.BaseTransport, WatchedConnection] = {}
        """Those past their handshake."""

    async def listen(self, host: str, port: int) -> Self:
        """Begin to take connections at every address of ``host``; raise ``OSError`` when the port cannot be had."""
        loop = asyncio.get_running_loop()
        found = await asyncio.to_thread(Addresses(host, port).find)  # which waits for no name server
        try:
            for family, address in found:
                try:
                    listening = socket.socket(family, socket.SOCK_STREAM)
                except OSError:  # a family that this system lacks
                    continue
                self._sockets.append(listening)
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listening.bind(address)
                listening.listen(BACKLOG)
                listening.setblocking(False)
        except OSError:
            await self.close()
            raise
        if not self._sockets:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        self._accepting = [loop.create_task(self._accept(listening)) for listening in self._sockets]
        return self

    async def close(self) -> None:
        """Cut every connection and take no more."""
        for task in self._accepting:
            task.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        for listening in self._sockets:
            listening.close()
        for each in list(self._open):
            self._cut(each)
        await asyncio.gather(*self._beginning, return_exceptions=True)

    def hold(self, transport: asyncio.BaseTransport | None, most: int) -> bool:
        """Let a connection last: a stream, which its handler ends when nobody reads it.

        Of more than ``most`` streams, the oldest of the address that has most of them ends. Return False where each
        address has its share: then another has to wait.
        """
        connection = None if transport is None else self.transports.get(transport)
        if connection is None:
            return False
        held = [each for each in self._open if each.is_held]
        if len(held) >= most:
            address, count = Counter(each.address for each in held).most_common(1)[0]
            if count <= 1 + sum(each.address == connection.address for each in held):
                return False
            self._cut(next(each for each in held if each.address == address))
        connection.is_held = True
        if (timer := self._open.get(connection)) is not None:
            timer.cancel()
        return True

    def touch(self, connection: WatchedConnection) -> None:
        """Take note that a connection is not quiet; a stream stays where it was, for the oldest of them ends first."""
        if connection in self._open and not connection.is_held:
            self._open[connection] = self._open.pop(connection)

    def begin(self, connection: WatchedConnection, transport: asyncio.BaseTransport) -> None:
        """Give a connection past its handshake the time to ask."""
        self.transports[transport] = connection
        self._open[connection] = self._in(self._request_s, connection)

    def extend(self, connection: WatchedConnection) -> None:
        """Give a connection that has asked the time to be answered."""
        if (timer := self._open.get(connection)) is not None:
            timer.cancel()
            self._open[connection] = self._in(self._answer_s, connection)

    def forget(self, connection: WatchedConnection) -> None:
        """Take note that a connection is over."""
        if connection.transport is not None:
            self.transports.pop(connection.transport, None)
        if (timer := self._open.pop(connection, None)) is not None:
            timer.cancel()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(listening)
            except OSError as error:
                _log.warning("no connection can be taken: %s", error.strerror or error)
                await asyncio.sleep(PAUSE_S)
                continue
            if not self._make_room():
                accepted.close()
                continue
            connection = WatchedConnection(self._answer(), self, str(address[0]))
            self._open[connection] = None
            task = loop.create_task(connection.begin(accepted, self._tls, self._request_s))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)
            await asyncio.sleep(0)  # let it go on before the next is taken

    def _make_room(self) -> bool:
        """Cut one where there are too many; return whether there is room."""
        if len(self._open) < self._most:
            return True
        waiting = [each for each in self._open if not each.has_asked]
        cuttable = waiting or [each for each in self._open if not each.is_held]
        if not cuttable:
            return False
        address = Counter(each.address for each in cuttable).most_common(1)[0][0]
        self._cut(next(each for each in cuttable if each.address == address))
        return True

    def _cut(self, connection: WatchedConnection) -> None:
        connection.cut()
        self.forget(connection)

    def _in(self, seconds: float, connection: WatchedConnection) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, connection.cut)
