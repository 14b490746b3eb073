"""What is where a name says, for names that ``Path.is_file`` and ``Path.exists`` raise for, and names as text.

They raise for one that is too long and for one in a folder that is closed to the user.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO


def is_there(path: Path) -> bool:
    """Return whether ``path`` is a file that can be seen."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_other(path: Path) -> bool:
    """Return whether there is something else than a file: a folder, a device, a pipe."""
    try:
        return path.exists() and not path.is_file()
    except OSError:
        return False


def as_text(name: str) -> str:
    """Return ``name``, of a file, as text that is Unicode: what is not stands there as its bytes in hexadecimal."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def open_regular(path: Path) -> BinaryIO:
    """Return the file ``path`` open to be read; raise ``OSError`` when it is no regular one.

    A pipe that nobody writes to would be waited for without end, by the only thread that reads a new configuration.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    raise OSError(errno.EINVAL, "it is no regular file")


def read_regular(path: Path, most: int = -1) -> bytes:
    """Return what the regular file ``path`` holds, at most its first ``most`` bytes; raise ``OSError`` as it opens."""
    with open_regular(path) as file:
        return file.read(most)
