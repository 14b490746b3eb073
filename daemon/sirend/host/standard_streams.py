"""The three standard streams of a process that was started without them."""

from __future__ import annotations

import os
import sys

STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))
"""Their names in ``sys`` and how they are open, in the order of their descriptors."""


def fill_standard_streams() -> None:
    """Put /dev/null where a standard stream is closed.

    Else the next file or socket takes its number, such as the broker's, and whatever a library writes to the standard
    error goes there.
    """
    for number, (name, mode) in enumerate(STREAMS):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            os.dup2(opened, number)  # which children inherit
            if opened == number:
                os.set_inheritable(number, True)
            else:
                os.close(opened)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
