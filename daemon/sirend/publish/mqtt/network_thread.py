"""A thread that serves a connection, and the pipe by which others wake it where it waits in ``select``."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class NetworkThread:
    """Runs a function that is given the readable end of the pipe, which it owns."""

    def __init__(self, name: str, run: Callable[[socket.socket], None]) -> None:
        """Prepare to call ``run`` on a thread called ``name``."""
        self._name = name
        self._run = run
        self._thread: threading.Thread | None = None
        self._waker: socket.socket | None = None

    def start(self) -> None:
        """Start the thread."""
        wakened, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        self._thread = threading.Thread(target=self._run, args=(wakened,), name=self._name, daemon=True)
        self._thread.start()

    @property
    def has_died(self) -> bool:
        """Whether it was started and is not there any more."""
        return self._thread is not None and not self._thread.is_alive()

    def wake(self) -> None:
        """Wake the thread; it is awake anyway where the pipe is full, and gone where the pipe is closed."""
        if self._waker is not None:
            with suppress(OSError):
                self._waker.send(b"\0")

    def join(self, timeout_s: float) -> bool:
        """Wait for its end, at most ``timeout_s``; return whether it ended, or never began."""
        if self._thread is None or self._waker is None:
            return True
        self._thread.join(timeout_s)
        self._waker.close()
        return not self._thread.is_alive()
