"""A set that several change at once, and that a person edited."""

from __future__ import annotations

import errno
import shutil
import threading
from typing import TYPE_CHECKING

import pytest

from sirend.errors import InputError
from sirend.evidence import street_set
from sirend.evidence.street_set import COLUMNS, StreetSet

if TYPE_CHECKING:
    from pathlib import Path

ROW = dict.fromkeys(COLUMNS, "") | {"class": "review", "label": "nearly_called", "seconds": "4.00"}


def added(street: StreetSet, *names: str) -> list[str]:
    for name in names:
        street.add(name, b"sound", ROW)
    return [row["path"] for row in street.rows]


def test_what_is_labelled_while_it_records_stays_and_so_does_what_is_recorded_meanwhile(tmp_path: Path) -> None:
    recording = StreetSet(tmp_path, 10**6)
    added(recording, "a")
    labelling = StreetSet(tmp_path, 10**6)
    added(recording, "b")
    assert labelling.label("audio/a.flac", "other")
    assert labelling.label("audio/b.flac", "emergency")
    added(recording, "c")
    rows = StreetSet(tmp_path, 10**6).rows
    assert [(row["path"], row["class"]) for row in rows] == [
        ("audio/a.flac", "other"),
        ("audio/b.flac", "emergency"),
        ("audio/c.flac", "review"),
    ]


def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    sets = [StreetSet(tmp_path, 10**6) for _ in range(4)]
    threads = [
        threading.Thread(target=added, args=(street, *(f"{one}{number}" for number in range(10))))
        for one, street in zip("abcd", sets, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(StreetSet(tmp_path, 10**6).rows) == 40


def test_columns_and_marks_of_a_spreadsheet_are_kept(tmp_path: Path) -> None:
    added(StreetSet(tmp_path, 10**6), "a")
    head, first = (tmp_path / "clips.csv").read_text().splitlines()
    (tmp_path / "clips.csv").write_text(f"\ufeff{head},tone\r\n{first},wail\r\n", encoding="utf-8")
    street = StreetSet(tmp_path, 10**6)
    added(street, "b")
    assert street.label("audio/a.flac", "emergency")
    assert [row["tone"] for row in StreetSet(tmp_path, 10**6).rows] == ["wail", ""]


@pytest.mark.parametrize("line", ["audio/b.flac,street", "a,b,c,d,e,f,g,h,i,j"])
def test_a_torn_or_overlong_line_is_named_and_nothing_of_the_table_is_lost(tmp_path: Path, line: str) -> None:
    street = StreetSet(tmp_path, 10**6)
    added(street, "a")
    table = tmp_path / "clips.csv"
    table.write_text(table.read_text() + line)
    before = table.read_bytes()
    for change in (lambda: StreetSet(tmp_path, 10**6), lambda: added(street, "c")):
        with pytest.raises(InputError, match="line 3 has not the 8 cells"):
            change()
    assert table.read_bytes() == before
    assert [file.name for file in (tmp_path / "audio").iterdir()] == ["a.flac"]


@pytest.mark.parametrize("path", ["../precious.flac", "audio/../../precious.flac", "{}/precious.flac"])
def test_a_path_out_of_the_folder_is_neither_handed_out_nor_removed(tmp_path: Path, path: str) -> None:
    precious = tmp_path / "precious.flac"
    precious.write_bytes(b"x" * 1000)
    named = path.format(tmp_path)
    folder = tmp_path / "street"
    added(StreetSet(folder, 10**6), "a")
    table = folder / "clips.csv"
    table.write_text(table.read_text().replace("audio/a.flac", named))
    street = StreetSet(folder, 5)
    assert street.sound(named) is None
    assert added(street, "b", "c") == [named, "audio/c.flac"]
    assert precious.exists()


def test_a_folder_that_was_removed_is_begun_anew(tmp_path: Path) -> None:
    street = StreetSet(tmp_path / "street", 10**6)
    added(street, "a")
    shutil.rmtree(tmp_path / "street")
    assert added(street, "b") == ["audio/b.flac"]


def test_a_clip_that_the_table_has_no_room_for_leaves_no_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    street = StreetSet(tmp_path, 10**6)
    added(street, "a")

    def replace(path: Path, content: bytes) -> None:
        if path.name == "clips.csv":
            raise OSError(errno.ENOSPC, "No space left on device")
        path.write_bytes(content)

    monkeypatch.setattr(street_set, "replace_file", replace)
    with pytest.raises(OSError, match="No space left"):
        added(street, "b")
    assert [file.name for file in (tmp_path / "audio").iterdir()] == ["a.flac"]
    monkeypatch.undo()
    assert added(street, "c") == ["audio/a.flac", "audio/c.flac"]
