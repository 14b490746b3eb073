"""What the process is told by signals, on a thread of its own: a handler of Python's does nothing.

``threading.Event.set`` in a handler waits for ever when the signal came while the main thread was inside the same
event, and handlers written in Python pile up in a flood of signals. Here the interpreter's wake-up descriptor hands the
numbers to a thread, which may do what it likes.
"""

from __future__ import annotations

import signal
import socket
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

FAULTS = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL})
"""The process is broken: a handler that returned would only meet the same fault again."""
HARMLESS = frozenset({signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH})
"""Those that the system ignores by itself."""
STOPPING = frozenset({signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
"""They would halt the process with everything as it stands; here they do nothing."""
ENDING = frozenset(
    signal.valid_signals() - FAULTS - HARMLESS - STOPPING - {signal.SIGHUP, signal.SIGKILL, signal.SIGSTOP}
)
"""Everything else that ends a process which does not heed it, the real-time signals too."""
LOOK_S = 1.0
"""How often the thread looks without being woken: in a flood the descriptor may be full when an ending signal comes."""


@contextmanager
def heeding(end: Callable[[], object], reload: Callable[[], object] | None = None) -> Iterator[None]:
    """Call ``end`` at every signal that would end the process, and ``reload`` at SIGHUP; both on another thread.

    ``end`` may come more than once, ``reload`` once for several hang-ups; without ``reload`` a hang-up does nothing.
    SIGKILL, SIGSTOP and ``FAULTS`` stay as they are, and so does what the process was started to ignore or what C code
    handles, SIGTERM and SIGINT apart. To be entered on the main thread, before outputs are opened.
    """
    ending: dict[int, FrameType | None] = {}
    ours, interpreters = socket.socketpair()
    interpreters.setblocking(False)
    ours.settimeout(LOOK_S)

    def attend() -> None:
        while (numbers := _numbers(ours)) is not None:
            if ending or not numbers.isdisjoint(ENDING):
                ending.clear()
                end()
            if signal.SIGHUP in numbers and reload is not None:
                reload()

    thread = threading.Thread(target=attend, name="sirend-signals", daemon=True)
    # Both handlers are written in C, so no signal interrupts them: one notes the number, one does nothing.
    note, overlook = ending.setdefault, dict[int, "FrameType | None"]().get
    handlers = {number: note for number in sorted(ENDING) if _is_ours(number)}
    handlers |= dict.fromkeys((signal.SIGHUP, *STOPPING), overlook)
    with ours, ExitStack() as restored:
        thread.start()
        restored.callback(thread.join)
        restored.callback(interpreters.close)  # which ends the thread
        restored.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(interpreters.fileno(), warn_on_full_buffer=False))
        for number, handler in handlers.items():
            before = signal.signal(number, handler)
            if before is not None:  # nobody can put a handler of C back
                restored.callback(signal.signal, number, before)
        yield


def _is_ours(number: int) -> bool:
    known = (None, signal.SIG_IGN)  # None: a handler of C, such as faulthandler's of SIGABRT
    return number in (signal.SIGTERM, signal.SIGINT) or signal.getsignal(number) not in known


def _numbers(waiting: socket.socket) -> set[int] | None:
    """Return the signals that came, perhaps none, after ``LOOK_S`` at the latest; None when nothing more will come."""
    try:
        return set(waiting.recv(4_096)) or None
    except TimeoutError:
        return set()
