"""Whether a file is where a name says."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def is_there(path: Path) -> bool:
    """Return whether ``path`` is a file that can be seen.

    ``Path.is_file`` raises for a name that is too long and for one in a folder that is closed to the user.
    """
    try:
        return path.is_file()
    except OSError:
        return False
