"""The log on a stream that may block or repeat itself: nothing that is logged holds anybody up.

Lines wait in a bounded queue for a thread that writes them. What repeats itself within a minute is written once and
then counted. They go through a descriptor of their own: libraries that cannot be told to be quiet (PortAudio, the
networks' runtime) are begun with the process's standard error turned to nowhere, and a line of that moment must not
go there with theirs.
"""

from __future__ import annotations

import fcntl
import io
import logging
import os
import select
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TextIO

from sirend.host.background_thread import Background

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_LINES = 1_000
"""Lines that wait for a stream that takes none; more are dropped and counted."""
REPEAT_S = 60.0
"""An error that repeats itself is told once in so long, with how often it came."""
MOST_REPEATS = 256
"""Different errors that are remembered."""
CLOSE_S = 1.0
_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""Characters that steer a terminal: a file's name or a broker's words may hold them."""


class Lines:
    """Writes lines of text to a stream from a thread of its own inside its ``with`` block, and counts what is lost."""

    def __init__(self, stream: TextIO, name: str, on_end: Callable[[], object] = lambda: None) -> None:
        """Write to ``stream``, which stays open, on a thread called ``name``.

        ``on_end`` is called on that thread when nobody will ever read the stream again.
        """
        self._stream = stream
        self._on_end = on_end
        self._is_over = False
        self._told = 0
        try:
            self._descriptor: int | None = os.dup(stream.fileno())
        except (AttributeError, io.UnsupportedOperation, ValueError, OSError):
            self._descriptor = None
        self._background: Background[str] = Background(name, self._write, MOST_LINES, close_s=CLOSE_S)

    @property
    def dropped(self) -> int:
        """Lines that found no room since the start."""
        return self._background.refused

    def __enter__(self) -> Self:
        """Begin."""
        self._background.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Write what waits; where nobody takes it within 1 s, it is lost."""
        self._background.__exit__()
        if self._descriptor is not None and self._background.is_done:  # else a write to it is still under way
            os.close(self._descriptor)

    def put(self, line: str) -> None:
        """Hand over a line, without its end."""
        self._background.put(line)

    def _write(self, line: str) -> None:
        if self._is_over:
            return
        if (dropped := self.dropped) > self._told:
            line = f"({dropped - self._told} lines were lost here, nobody took them)\n{line}"
            self._told = dropped
        try:
            self._put_through(line.translate(_ESCAPED) + "\n")
        except BrokenPipeError:
            self._is_over = True
            self._on_end()
        except (OSError, ValueError):  # a full disk, or a stream that somebody closed: nobody is left to tell
            self._background.refused += 1

    def _put_through(self, text: str) -> None:
        """Write all of ``text``; past Python's own buffer, whose lock would abort the interpreter at its end."""
        if self._descriptor is None:
            self._stream.write(text)
            self._stream.flush()
            return
        left = text.encode("utf-8", "backslashreplace")
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])


class LogHandler(logging.Handler):
    """Sends records to ``lines``; a warning or an error that repeats itself within a minute is counted instead."""

    def __init__(self, lines: Lines, now: Callable[[], float] = time.monotonic) -> None:
        """Send to ``lines``; ``now`` is the clock, s."""
        super().__init__()
        self._lines = lines
        self._now = now
        self._repeats: dict[tuple[str, ...], Repeat] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record, from any thread; return at once."""
        try:
            text = self.format(record)
            now = self._now()
            self._tell_repeats(now)
            if record.levelno >= logging.WARNING:
                # Of our own code a repetition has the same words; others write addresses and objects into theirs.
                is_ours = record.name.partition(".")[0] == "sirend"
                key = (record.name, record.levelname, record.getMessage() if is_ours else str(record.msg))
                if key in self._repeats:
                    self._repeats[key].count += 1
                    return
                if len(self._repeats) < MOST_REPEATS:
                    self._repeats[key] = Repeat(now, text.partition("\n")[0])
            self._lines.put(text)
        except Exception:  # noqa: BLE001  as every handler: a record that cannot be formatted ends nothing
            self.handleError(record)

    def close(self) -> None:
        """Tell what was counted and not told yet."""
        self.acquire()
        try:
            self._tell_repeats(float("inf"))
        finally:
            self.release()
        super().close()

    def _tell_repeats(self, now: float) -> None:
        """Forget what was first told over a minute ago; say how often it came since."""
        for key in [key for key, repeat in self._repeats.items() if now - repeat.at >= REPEAT_S]:
            repeat = self._repeats.pop(key)
            if repeat.count:
                self._lines.put(f"{repeat.text} ({repeat.count} times more)")


@dataclass(slots=True)
class Repeat:
    """An error that was told."""

    at: float
    """When, by the handler's clock, s."""
    text: str
    """Its first line."""
    count: int = 0
    """How often it came again."""


def unblock(descriptor: int) -> None:
    """Let writes to ``descriptor`` fail rather than wait, for libraries in C write to it as well (ALSA to stderr).

    A pipe or terminal is opened anew, so that others who have it open do not notice; a socket, which the service
    manager made for this service alone, is set itself. Where neither is possible it stays as it is.
    """
    with suppress(OSError):
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISSOCK(mode):
            fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_NONBLOCK)
        elif stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            again = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            os.dup2(again, descriptor)
            os.close(again)
