"""Two threads behind whatever keeps something of a view: one looks, the other writes; nobody ever waits for them."""

from __future__ import annotations

import logging
import queue
import threading
from typing import TYPE_CHECKING, Generic, Self, TypeVar

import numpy as np

from sirend.audio.stream import Samples, to_samples
from sirend.evidence.clip import Hop
from sirend.host.priority import recede

if TYPE_CHECKING:
    from collections.abc import Callable

    from sirend.observe.snapshot import View

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Follower(Generic[T]):
    """Looks every ``poll_s`` and writes what is offered, inside its ``with`` block. A bug in either ends neither."""

    def __init__(  # noqa: PLR0913  what is done, and three bounds
        self,
        name: str,
        *,
        look: Callable[[], None],
        write: Callable[[T], None],
        failed: Callable[[str], None],
        poll_s: float,
        waiting: int,
        close_s: float,
    ) -> None:
        """Prepare threads of ``name``; ``failed`` gets the words for a bug, on the thread that has it.

        At most ``waiting`` things wait for the writer; the end may take twice ``close_s``.
        """
        self._look = look
        self._write = write
        self._failed = failed
        self._poll_s = poll_s
        self._close_s = close_s
        self._queue: queue.Queue[T | None] = queue.Queue(waiting)
        self._stop = threading.Event()
        self._looker = threading.Thread(target=self._look_on, name=name, daemon=True)
        self._writer = threading.Thread(target=self._write_on, name=f"{name}-disk", daemon=True)

    def __enter__(self) -> Self:
        """Begin to look."""
        self._looker.start()
        self._writer.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look a last time and write what was offered, as far as the time allows."""
        self._stop.set()
        self._looker.join(self._close_s)
        try:
            self._queue.put(None, timeout=self._close_s)
        except queue.Full:
            return
        self._writer.join(self._close_s)

    @property
    def is_ending(self) -> bool:
        """Whether there is time for the necessary only."""
        return self._stop.is_set()

    def offer(self, item: T) -> bool:
        """Hand ``item`` to the writer; return False when it is so far behind that there is no room."""
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            return False
        return True

    def _look_on(self) -> None:
        recede()
        while not self._stop.wait(self._poll_s):
            self._guarded(self._look)
        self._guarded(self._look)

    def _write_on(self) -> None:
        recede()
        while (item := self._queue.get()) is not None:
            self._guarded(self._write, item)

    def _guarded(self, do: Callable[..., None], *words: T) -> None:
        try:
            do(*words)
        except Exception:  # noqa: BLE001  a bug here must not end the keeping in silence
            self._failed("a bug; the log has it")
            _log.exception("%s", threading.current_thread().name)


def new_hops(view: View, seen: int) -> tuple[int, list[Hop]]:
    """Return the number of the latest window of ``view``, and what came after window ``seen``: a hop an approach."""
    news, hop = view.since(seen), to_samples(view.setup.hop_s)
    hops = []
    for moment in news.moments:
        seen = moment.seq
        if news.window is None:
            continue
        until = news.window.pcm.shape[1] - (news.window.end - moment.end)
        if until >= hop:
            hops += [
                Hop(Samples(heard.end), np.array(news.window.pcm[row, until - hop : until]), heard)
                for row, heard in enumerate(moment.heard)
                if heard.end is not None
            ]
    return seen, hops
