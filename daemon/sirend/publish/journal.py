"""The local record of events: JSON Lines, append-only, each on the disk as soon as the disk takes it.

A thread of its own writes, so that a disk that is full, slow or hung costs the record, never the detection: what could
not be written is counted and told of through ``failures`` and ``problem``. A power cut loses what the disk has not yet
acknowledged: as a rule nothing older than one fsync(2), at worst the ``WAITING`` events that may wait for a hung disk.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from typing import TYPE_CHECKING, Self

from sirend.call.event import to_json
from sirend.host.background_thread import Background
from sirend.host.outfile import sync_folder

if TYPE_CHECKING:
    from pathlib import Path

    from sirend.call.event import Event

WAITING = 256
"""Changes of state that may wait for the disk; more are not recorded and counted."""
OPEN_S = 2.0
"""How long the start waits to learn whether the journal can be written."""
SLOW_S = 2.0
"""A disk that takes longer for one event is a problem of health."""

_log = logging.getLogger(__name__)


class Journal:
    """A sink that appends each change of state to a file.

    The file is opened for each event, which come by the hour: a disk that was unmounted, filled or rotated by someone
    else meanwhile is found again, and no handle keeps it busy.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Write to ``path``; at ``max_bytes`` it becomes ``path.1``, which replaces the older one."""
        self._path = path
        self._rotated = path.with_name(path.name + ".1")
        self._max_bytes = max_bytes
        self._failures = 0
        self._torn = 0
        self._problem: str | None = None
        self._background: Background[bytes] = Background("sirend-journal", self._record, WAITING)

    @property
    def failures(self) -> int:
        """Events that could not be written."""
        return self._failures + self._background.refused

    @property
    def torn(self) -> int:
        """Lines found cut off, by a power cut or a full disk; each was closed with a line end and left as it was."""
        return self._torn

    @property
    def problem(self) -> str | None:
        """What keeps the journal from being written now, or None."""
        if self._background.late_s > SLOW_S:
            return f"the journal {self._path} cannot be written: its disk does not answer"
        if self._background.bug is not None:
            return f"the journal {self._path} could not be written by a bug; the log has it"
        return self._problem

    def __enter__(self) -> Self:
        """Mend the file's end and find out whether it can be written."""
        self._background.__enter__()
        self._background.put(b"")
        self._background.settle(OPEN_S)
        return self

    def __exit__(self, *_: object) -> None:
        """Write what waits, within 2 s; nothing is left open."""
        self._background.__exit__()
        if waiting := self._background.waiting:
            _log.error("the journal %s: %d events never reached the disk", self._path, waiting)

    def publish(self, event: Event) -> None:
        """Hand ``event`` to the disk unless it only repeats a standing state; return at once."""
        if not event.refresh:
            self._background.put(to_json(event).encode() + b"\n")

    def settle(self, timeout_s: float) -> bool:
        """Wait until the disk has what was published, at most ``timeout_s``; return whether it has."""
        return self._background.settle(timeout_s)

    def _record(self, line: bytes) -> None:
        """Write a line, on the journal's thread; an empty one only mends the file's end."""
        if not self._append(line) and line:
            self._failures += 1

    def _append(self, line: bytes) -> bool:
        """Write ``line`` through to the disk; return whether it is there."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if line and self._size() and self._size() + len(line) > self._max_bytes:
                self._path.replace(self._rotated)
            is_new = not self._path.exists()
            self._write(line)
            if is_new:
                sync_folder(self._path.parent)
        except OSError as error:
            problem = f"the journal {self._path} cannot be written: {error.strerror or error}"
            if problem != self._problem:
                _log.error("%s; events go on without it", problem)
            self._problem = problem
            return False
        if self._problem is not None:
            _log.info("the journal %s can be written again; %d events are missing in it", self._path, self._failures)
        self._problem = None
        return True

    def _size(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0

    def _write(self, line: bytes) -> None:
        """Append ``line`` whole or not at all, after closing a line that was cut off."""
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            state = os.fstat(handle)
            if not stat.S_ISREG(state.st_mode):
                raise OSError(errno.EINVAL, "it is no regular file")
            size = state.st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":
                line = b"\n" + line
                self._torn += 1
                _log.warning("the last line of the journal %s was cut off; it is left as it is", self._path)
            if not line:
                return
            try:
                written = os.write(handle, line)
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, size)
                raise
            if written < len(line):
                os.ftruncate(handle, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(handle)
