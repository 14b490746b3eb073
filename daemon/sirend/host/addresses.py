"""The addresses of a host by its name, without waiting for a name server that does not answer."""

from __future__ import annotations

import logging
import queue
import socket
import threading
import weakref
from typing import TypeAlias

LOOKUP_S = 2.0
"""So long a new lookup is waited for; it goes on behind that, and the next question has its result."""
CONNECT_S = 5.0
LEAST_CONNECT_S = 2.0
"""One of several addresses has at least so long to answer: the first repetition of a lost SYN comes after 1 s."""
MOST_TRIED = 8
"""Of a name with hundreds of addresses so many are tried at a time, in 16 s; the others have their turn."""

Address: TypeAlias = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]

_log = logging.getLogger(__name__)


class Addresses:
    """Where a host is: looked up anew each time, and what was last known where nobody can say now.

    The system's resolver waits up to half a minute for a name server, and cannot be interrupted. It runs on a thread of
    its own, one at a time. A call must not wait for it while the host is known to be where it was. The thread is the
    same each time: to start one in need waits for ever where there is no memory for it.
    """

    def __init__(self, host: str, port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> None:
        """Prepare to look for ``host``, a name or an address of IPv4 or IPv6."""
        self._host, self._port, self._kind = host, port, kind
        self._questions: queue.SimpleQueue[_Lookup | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lookup: _Lookup | None = None
        self._known: list[Address] = []
        self._is_told = False

    def find(self) -> list[Address]:
        """Return where the host is, the best first; raise ``OSError`` when it was never known and cannot be told now.

        Waits ``LOOKUP_S`` at most, and not at all for a lookup that was waited for before. Not for several threads.
        """
        lookup, patience_s = self._lookup, 0.0
        if lookup is None or lookup.is_done.is_set():
            if lookup is not None:  # it may have come to an end behind our back
                self._take(lookup)
            lookup, patience_s = self._ask(), LOOKUP_S
        problem: OSError | None = TimeoutError("the name server does not answer")
        if lookup.is_done.wait(patience_s):
            self._take(lookup)
            problem = lookup.problem
        if problem is not None and not self._known:
            raise problem
        if problem is not None and not self._is_told:
            _log.warning("%s: %s; taking the address that it had before", self._host, problem.strerror or problem)
        self._is_told = problem is not None
        return self._known

    def _ask(self) -> _Lookup:
        self._lookup = _Lookup(self._host, self._port, self._kind)
        self._questions.put(self._lookup)
        if self._thread is None:
            self._thread = threading.Thread(target=_answer, args=(self._questions,), name="sirend-lookup", daemon=True)
            self._thread.start()
            weakref.finalize(self, self._questions.put, None)
        return self._lookup

    def _take(self, lookup: _Lookup) -> None:
        """Remember what was found: that which answered last first, those that were no good last."""
        if lookup.found:
            places = {each: place for place, each in enumerate(self._known)}
            self._known = sorted(lookup.found, key=lambda each: places.get(each, 0.5))

    def worked(self, address: Address) -> None:
        """Hear which one answered: it is the first next time."""
        self._known = sorted(self._known, key=lambda each: each != address)

    def doubt(self) -> None:
        """Hear that the one that answered last was no good in the end: the others come before it the next time."""
        self._known = [*self._known[1:], *self._known[:1]]

    def connect(self) -> socket.socket:
        """Return a connection of TCP to the first address that answers; raise ``OSError`` where none does."""
        found = self.find()[:MOST_TRIED]
        patience_s = max(LEAST_CONNECT_S, CONNECT_S / len(found))
        problem: OSError = OSError("it has no address")
        for address in found:
            sock = None
            try:
                sock = socket.socket(address[0], socket.SOCK_STREAM)
                sock.settimeout(patience_s)
                sock.connect(address[1])
            except OSError as error:
                problem = error
                if sock is not None:
                    sock.close()
            else:
                self.worked(address)
                return sock
        raise problem


class _Lookup:
    """One question to the resolver."""

    def __init__(self, host: str, port: int, kind: socket.SocketKind) -> None:
        self.found: list[Address] = []
        self.problem: OSError | None = None
        self.is_done = threading.Event()
        self._question = (host, port, kind)

    def run(self) -> None:
        """Ask it, and wait for its answer."""
        host, port, kind = self._question
        try:
            found = socket.getaddrinfo(host, port, type=kind)
            self.found = list(dict.fromkeys((each[0], each[4]) for each in found))
        except OSError as error:
            self.problem = error
        except UnicodeError:  # a label of no or more than 63 characters
            self.problem = OSError("no name of a host")
        except MemoryError:
            self.problem = OSError("no memory is left to look it up")
        finally:
            self.is_done.set()


def _answer(questions: queue.SimpleQueue[_Lookup | None]) -> None:
    """Answer one question after the other, until there is nobody who asks."""
    while (lookup := questions.get()) is not None:
        lookup.run()
