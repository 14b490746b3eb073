"""What accepts loopback connections and serves each on a thread of its own; all end with the ``with`` block."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from tests.conftest import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable


class Listener:
    """Serves every connection by the same function, and closes it afterwards."""

    def __init__(self, serve: Callable[[socket.socket], None], port: int = 0) -> None:
        """Listen on ``port``, 0 for any that is free, from the ``with`` block on."""
        self._serve_one = serve
        self.port = port
        self.sockets: list[socket.socket] = []
        """All that were accepted, the newest last."""
        self.threads: list[threading.Thread] = []
        """What is waited for at the end; whoever serves may add to it."""

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._start(threading.Thread(target=self._accept))
        return self

    def __exit__(self, *_: object) -> None:
        for sock in (self._listener, *self.sockets):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(PATIENCE_S)
        for sock in (self._listener, *self.sockets):
            sock.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.sockets.append(sock)
                self._start(threading.Thread(target=self._serve, args=(sock,)))

    def _start(self, thread: threading.Thread) -> None:
        self.threads.append(thread)
        thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, suppress(OSError, EOFError):
            self._serve_one(sock)
