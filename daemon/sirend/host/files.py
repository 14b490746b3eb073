"""What is where a name says, for names that ``Path.is_file`` and ``Path.exists`` raise for, and names as text.

They raise for one that is too long and for one in a folder that is closed to the user.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


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
