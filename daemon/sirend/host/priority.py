"""Priority of what is not the detection: it comes after the thread that listens."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

LOWER = 10


def recede() -> None:
    """Lower the calling thread, and what it starts from now on; where the system forbids that, it stays as it is.

    Under a ``nice`` of more it stays there: a privileged process would rise otherwise.
    """
    thread = threading.get_native_id()
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, thread, max(LOWER, os.getpriority(os.PRIO_PROCESS, thread)))
