"""A small server on a thread of its own with an event loop, at a lower priority than the one that listens."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from sirend.host.priority import recede

if TYPE_CHECKING:
    import logging

START_S, CLOSE_S = 10.0, 2.0


class Server(ABC):
    """Serves inside its ``with`` block. A port that cannot be had costs what it serves, never the detection."""

    def __init__(self, what: str, bind: str, port: int, log: logging.Logger) -> None:
        """Prepare to serve ``what``, a word for the log and health, on ``bind`` and ``port``."""
        self._what = what
        self._place = f"{bind}:{port}"
        self._log = log
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sirend-{what}", daemon=True)
        self.problem: str | None = None
        """Why nothing is served, or None."""

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._thread.start()
        if not self._started.wait(START_S):
            self.problem = f"{self._what}: the server did not start in time"
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        if self._loop is not None and self._stop is not None:
            with suppress(RuntimeError):  # it ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        recede()
        try:
            asyncio.run(self._begin())
        except OSError as error:
            self.problem = f"{self._what}: {self._place} cannot be listened on: {error.strerror or error}"
            self._log.error("%s; detection goes on without", self.problem)
        except Exception:  # noqa: BLE001  a bug here must not end the detection
            self.problem = f"{self._what}: the server ended by a bug; the log has it"
            self._log.exception("%s", self.problem)
        finally:
            self._started.set()

    async def _begin(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await self._serve(self._stop)

    @abstractmethod
    async def _serve(self, stop: asyncio.Event) -> None:
        """Listen, set ``_started``, and serve until ``stop`` is set."""
