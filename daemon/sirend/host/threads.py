"""Threads that end by a bug: they are remembered, or what they did would be missed by nobody."""

from __future__ import annotations

import logging
import threading
from typing import Self

_log = logging.getLogger(__name__)


class ThreadWatcher:
    """Takes note, inside its ``with`` block, of every thread of the process that ends by an exception."""

    def __init__(self) -> None:
        """Start with none."""
        self._ended: dict[str, str] = {}
        self._before = threading.excepthook

    @property
    def problems(self) -> list[str]:
        """Return what ended, in words: reasons of health."""
        return [f"{name} ended by a bug, {what}; the log has it" for name, what in list(self._ended.items())]

    def __enter__(self) -> Self:
        """Begin to watch."""
        self._before, threading.excepthook = threading.excepthook, self._note
        return self

    def __exit__(self, *_: object) -> None:
        """Leave it to whoever watched before."""
        threading.excepthook = self._before

    def _note(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_value is None or isinstance(args.exc_value, SystemExit):
            return
        name = "a thread" if args.thread is None else args.thread.name
        self._ended[name] = args.exc_type.__name__
        _log.error("%s ended by a bug", name, exc_info=(args.exc_type, args.exc_value, args.exc_traceback))
