"""An output file that is there whole or not at all."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self, TextIO

from sirend.errors import DeviceError
from sirend.host.files import is_other

if TYPE_CHECKING:
    import re
    from types import TracebackType


class OutFile:
    """A UTF-8 text file that takes its name when the ``with`` block ends without an error, and vanishes otherwise.

    What is no regular file (a device, a pipe) is written to directly.
    """

    stream: TextIO
    """The open file, inside the ``with`` block."""

    def __init__(self, path: Path) -> None:
        """Name the file; nothing is touched yet."""
        self._path = path
        self._place = path.resolve()
        self._is_regular = not is_other(path)
        self._part = self._place.with_name(f".{self._place.name}.{os.getpid()}") if self._is_regular else self._place

    def __enter__(self) -> Self:
        """Open the file; raise ``DeviceError`` when that is impossible."""
        try:
            self.stream = self._part.open("w", encoding="utf-8", errors="surrogateescape", newline="\n")
        except OSError as error:
            raise self._unusable(error) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        """Give the file its name, or drop it; raise ``DeviceError`` when it could not be written."""
        try:
            self.stream.close()
            if kind is None and self._is_regular:
                self._part.replace(self._place)
        except OSError as error:
            if kind is None:
                raise self._unusable(error) from error
        finally:
            if self._is_regular:
                with suppress(OSError):
                    self._part.unlink(missing_ok=True)

    def write(self, text: str) -> None:
        """Write ``text``; raise ``DeviceError`` when that is impossible."""
        try:
            self.stream.write(text)
        except OSError as error:
            raise self._unusable(error) from error

    def write_bytes(self, data: bytes) -> None:
        """Write ``data`` as it is; raise ``DeviceError`` when that is impossible."""
        try:
            self.stream.flush()
            self.stream.buffer.write(data)
        except OSError as error:
            raise self._unusable(error) from error

    def mark(self) -> int:
        """Return the present end, for ``rewind``."""
        return self.stream.tell() if self._is_regular else 0

    def rewind(self, mark: int) -> None:
        """Forget what was written since ``mark``; what a device has taken stays there."""
        if self._is_regular:
            self.stream.seek(mark)
            self.stream.truncate()

    def _unusable(self, error: OSError) -> DeviceError:
        if isinstance(error, FileNotFoundError) and not self._place.parent.is_dir():
            return DeviceError(f"{self._path}: the folder {self._path.parent} is missing; make it, or name another")
        return DeviceError(f"{self._path}: cannot be written: {error.strerror}; free some space or name another file")


class StandardOutput:
    """The standard output where a file could be: what it got is gone, and nothing of it is taken back."""

    def __enter__(self) -> Self:
        """Nothing needs opening."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing needs closing."""

    def write(self, text: str) -> None:
        """Write ``text``; raise ``DeviceError`` when that is impossible, ``BrokenPipeError`` when nobody reads."""
        try:
            sys.stdout.write(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise DeviceError(f"the standard output cannot be written: {error.strerror}; free some space") from error

    def mark(self) -> int:
        """Return nothing to go back to."""
        return 0

    def rewind(self, _mark: int) -> None:
        """Keep what was written."""


def replace_file(path: Path, content: bytes, *, mode: int = 0o600, is_synced: bool = False) -> None:
    """Give ``path`` a new content, whole or not at all; raise ``OSError`` where that is impossible.

    What was half written is removed, for on a full disk it would take the room of the next. With ``is_synced`` the
    content and its name are on the disk when this returns. Several processes may replace the same file.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if is_synced:
                file.flush()
                os.fsync(handle)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if is_synced:
        sync_folder(path.parent)


def remove_unfinished(folder: Path, name: re.Pattern[str]) -> None:
    """Remove what ``replace_file`` left where it was killed, of files whose whole name ``name`` matches."""
    for part in folder.glob(".*.part"):
        named = part.name[1:-5]
        whole, _, process = named.rpartition(".")
        is_left = bool(name.fullmatch(whole)) and process.isdecimal() and not Path(f"/proc/{process}").exists()
        if is_left or name.fullmatch(named):  # an earlier version named no process
            part.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Put the names in ``folder`` on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
