"""The end of the process, when threads may still be inside foreign code."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from typing import NoReturn

GRACE_S = 0.5
"""How long threads that nobody waits for have to end by themselves."""


def end_process(code: int) -> NoReturn:
    """End the process with the exit code ``code``.

    A daemon thread may be inside a library (a camera's decoder, the resolver) that calls back into Python, and a call
    into an interpreter that is being taken down ends with SIGSEGV. Where one is left after ``GRACE_S`` the interpreter
    is not taken down at all: what it would still do, everybody's ``with`` block has done before.
    """
    until = time.monotonic() + GRACE_S
    others = [thread for thread in threading.enumerate() if thread.daemon]
    for thread in others:
        thread.join(max(0.0, until - time.monotonic()))
    if any(thread.is_alive() for thread in others):
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # nobody reads it, or it is closed: nobody is left to tell
                stream.flush()
        os._exit(code)
    sys.exit(code)
