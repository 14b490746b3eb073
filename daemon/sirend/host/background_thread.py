"""What may block, on a thread of its own behind a bounded queue: a disk, a terminal, a pipe that nobody reads."""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
CLOSE_S = 2.0
"""How long the end waits for what is still queued."""

_log = logging.getLogger(__name__)


class Background(Generic[T]):
    """Does ``work`` for one item after the other inside its ``with`` block; whoever hands one over never waits.

    The queue is a ``SimpleQueue``, which may be put into while it is put into: a log line that a garbage collection
    writes in the middle of another locks nothing. An error of ``work`` is a bug: it is logged, and the next item is
    taken up.
    """

    def __init__(self, name: str, work: Callable[[T], None], most: int, *, close_s: float = CLOSE_S) -> None:
        """Prepare a thread called ``name``; ``most`` items may wait, more are refused and counted."""
        self._work = work
        self._most = most
        self._close_s = close_s
        self._queue: queue.SimpleQueue[tuple[T, float] | threading.Event | None] = queue.SimpleQueue()
        self._oldest: float | None = None
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.refused = 0
        """Items that found no room since the start."""
        self.bug: str | None = None
        """The latest error of ``work`` that it should not have raised, or None."""

    @property
    def waiting(self) -> int:
        """About how many items wait, the one at work included."""
        return max(0, self._queue.qsize() - self._is_ending) + (self._oldest is not None)

    @property
    def late_s(self) -> float:
        """How long ago the item at work was handed over, s; 0 where there is none."""
        return 0.0 if (oldest := self._oldest) is None else time.monotonic() - oldest

    @property
    def is_done(self) -> bool:
        """Whether its thread is not there, so that nothing is at work."""
        return not self._thread.is_alive()

    def put(self, item: T) -> bool:
        """Hand over ``item``, from any thread; return whether there was room for it."""
        if self._queue.qsize() >= self._most:
            self.refused += 1
            return False
        self._queue.put((item, time.monotonic()))
        return True

    def settle(self, timeout_s: float) -> bool:
        """Wait until what was handed over before is done, at most ``timeout_s``; return whether it is."""
        done = threading.Event()
        self._queue.put(done)
        return done.wait(timeout_s)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Work off what waits; a thread that is still blocked after ``close_s`` is left to itself."""
        self._is_ending = True
        self._queue.put(None)
        self._thread.join(self._close_s)

    def _run(self) -> None:
        while (taken := self._queue.get()) is not None:
            if isinstance(taken, threading.Event):
                taken.set()
                continue
            item, self._oldest = taken
            try:
                self._work(item)
            except Exception as error:  # noqa: BLE001  a bug must not end what follows
                self.bug = str(error) or type(error).__name__
                _log.exception("%s: a bug; going on", self._thread.name)
            finally:
                self._oldest = None
