"""A folder of one's own street in the very form that ``sirend train`` and ``evaluate`` read: clips.csv and its sound.

What was nearly called is of the class ``review`` until somebody listened to it, and no training reads that. One process
may record while another has it labelled and a person edits the table: each change begins with what is there by then.
"""

from __future__ import annotations

import csv
import fcntl
import io
import os
import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sirend.errors import DeviceError, InputError
from sirend.host.outfile import remove_unfinished, replace_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TABLE = "clips.csv"
SOUND = "audio"
COLUMNS = ("path", "set", "class", "label", "group", "licence", "seconds", "score")
REVIEW = "review"
_CLIP = re.compile(r".+\.flac")
_OURS = re.compile(rf"{SOUND}/[^/\0]+\.flac")
"""Paths in the table that are handed out and tidied away; others a person wrote there, and they are left alone."""
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
            self._make()
            folder.chmod(0o700)
            remove_unfinished(folder / SOUND, _CLIP)
        except OSError as error:
            raise DeviceError(f"{folder}: cannot be made: {error.strerror}; name another with --out") from error
        self._columns: tuple[str, ...] = COLUMNS
        self.rows: list[dict[str, str]] = []
        """One for each clip, oldest first."""
        self.read()

    def _make(self) -> None:
        (self._folder / SOUND).mkdir(mode=0o700, parents=True, exist_ok=True)

    def read(self) -> None:
        """Take the table as it is now into ``rows``; raise ``InputError``, and keep them, when it is none."""
        table = self._folder / TABLE
        try:
            with table.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file)
                columns: tuple[str, ...] = tuple(reader.fieldnames or ())
                if set(COLUMNS) - set(columns):
                    raise InputError(f"{table}: is not of a street that was recorded here; name another with --out")
                rows = []
                for row in reader:
                    if None in row or None in row.values():
                        raise InputError(
                            f"{table}: line {reader.line_num} has not the {len(columns)} cells of the first"
                        )
                    rows.append(row)
        except FileNotFoundError:
            columns, rows = COLUMNS, []
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{table}: cannot be read: {error}") from error
        self._columns, self.rows = columns, rows

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Keep others from changing the table, read it, and write what the block made of it."""
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            self.read()
            yield
            self._save()
        finally:
            os.close(folder)

    def add(self, name: str, flac: bytes, row: dict[str, str]) -> None:
        """Keep a clip called ``name``; raise ``OSError`` or ``InputError`` when that is impossible."""
        self._make()
        path = f"{SOUND}/{name}.flac"
        try:
            with self._changing():
                replace_file(self._folder / path, flac)
                self.rows.append({**dict.fromkeys(self._columns, ""), **row, "path": path})
                self._tidy()
        except OSError:  # what the table does not name would take its room for ever
            with suppress(OSError):
                (self._folder / path).unlink(missing_ok=True)
            raise

    def label(self, path: str, kind: str) -> bool:
        """Give the clip at ``path`` one of the classes of ``LABELS``; return whether there is one.

        Raises ``OSError`` or ``InputError`` when that is impossible.
        """
        with self._changing():
            for row in self.rows:
                if row["path"] == path:
                    row |= {"class": kind, "label": LABELS[kind]}
                    return True
        return False

    def sound(self, path: str) -> Path | None:
        """Return the file of the clip at ``path``, if there is one."""
        is_there = _OURS.fullmatch(path) and any(row["path"] == path for row in self.rows)
        return self._folder / path if is_there else None

    def _tidy(self) -> None:
        """Take the oldest away until the rest has room."""
        clips = [row for row in self.rows if _OURS.fullmatch(row["path"])]
        sizes = [self._size(row) for row in clips]
        total, gone = sum(sizes), 0
        while total > self._max_bytes and gone < len(clips):
            (self._folder / clips[gone]["path"]).unlink(missing_ok=True)
            self.rows.remove(clips[gone])
            total -= sizes[gone]
            gone += 1

    def _size(self, row: dict[str, str]) -> int:
        try:
            return (self._folder / row["path"]).stat().st_size
        except OSError:
            return 0

    def _save(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        replace_file(self._folder / TABLE, text.getvalue().encode())
