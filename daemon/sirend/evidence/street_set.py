"""A folder of one's own street in the very form that ``sirend train`` and ``evaluate`` read: clips.csv and its sound.

What was nearly called is of the class ``review`` until somebody listened to it, and no training reads that.
"""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

from sirend.errors import DeviceError, InputError
from sirend.host.outfile import remove_unfinished, replace_file

if TYPE_CHECKING:
    from pathlib import Path

TABLE = "clips.csv"
SOUND = "audio"
COLUMNS = ("path", "set", "class", "label", "group", "licence", "seconds", "score")
REVIEW = "review"
_CLIP = re.compile(r".+\.flac")
LABELS = {"emergency": "siren", "other": "street", REVIEW: "nearly_called"}
"""The classes that a person may give, and what the clip is called then."""


class StreetSet:
    """The folder and its table. Everything in it is for its owner only."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Open or begin the set in ``folder``; the oldest clips go where it would hold more than ``max_bytes``.

        Raises ``DeviceError`` when the folder cannot be made, ``InputError`` when its table is none.
        """
        self._folder = folder
        self._max_bytes = max_bytes
        try:
            (folder / SOUND).mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
            remove_unfinished(folder / SOUND, _CLIP)
        except OSError as error:
            raise DeviceError(f"{folder}: cannot be made: {error.strerror}; name another with --out") from error
        self.rows = self._read()
        """One for each clip, oldest first."""

    def _read(self) -> list[dict[str, str]]:
        table = self._folder / TABLE
        if not table.exists():
            return []
        try:
            with table.open(newline="", encoding="utf-8") as file:
                reader = csv.DictReader(file)
                if set(COLUMNS) - set(reader.fieldnames or ()):
                    raise InputError(f"{table}: is not of a street that was recorded here; name another with --out")
                return list(reader)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{table}: cannot be read: {error}") from error

    def add(self, name: str, flac: bytes, row: dict[str, str]) -> None:
        """Keep a clip called ``name``; raise ``OSError`` when that is impossible."""
        path = f"{SOUND}/{name}.flac"
        replace_file(self._folder / path, flac)
        self.rows.append({**row, "path": path})
        self._tidy()
        self._save()

    def label(self, path: str, kind: str) -> bool:
        """Give the clip at ``path`` one of the classes of ``LABELS``; return whether there is one."""
        for row in self.rows:
            if row["path"] == path:
                row |= {"class": kind, "label": LABELS[kind]}
                self._save()
                return True
        return False

    def sound(self, path: str) -> Path | None:
        """Return the file of the clip at ``path``, if there is one."""
        return self._folder / path if any(row["path"] == path for row in self.rows) else None

    def _tidy(self) -> None:
        """Take the oldest away until the rest has room."""
        sizes = [self._size(row) for row in self.rows]
        total, gone = sum(sizes), 0
        while total > self._max_bytes and gone < len(self.rows):
            (self._folder / self.rows[gone]["path"]).unlink(missing_ok=True)
            total -= sizes[gone]
            gone += 1
        del self.rows[:gone]

    def _size(self, row: dict[str, str]) -> int:
        try:
            return (self._folder / row["path"]).stat().st_size
        except OSError:
            return 0

    def _save(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        replace_file(self._folder / TABLE, text.getvalue().encode())
