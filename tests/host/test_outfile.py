from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sirend.errors import DeviceError
from sirend.host.outfile import OutFile, remove_unfinished, replace_file


def test_a_file_appears_whole_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with OutFile(path) as out:
        out.write("näh\n")
        assert not path.exists()
    assert path.read_bytes() == "näh\n".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), OutFile(path) as out:
        out.write(str(1 // 0))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with OutFile(tmp_path / "link") as out:
        out.write("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_what_was_written_since_a_mark_can_be_forgotten(tmp_path: Path) -> None:
    with OutFile(tmp_path / "a") as out:
        out.write("kept\n")
        mark = out.mark()
        out.write("gone\n" * 10_000)
        out.rewind(mark)
        out.write("end\n")
    assert (tmp_path / "a").read_text() == "kept\nend\n"


def test_bytes_may_follow_text(tmp_path: Path) -> None:
    with OutFile(tmp_path / "a") as out:
        out.write("text")
        out.write_bytes(b"\xff\x00")
    assert (tmp_path / "a").read_bytes() == b"text\xff\x00"


@pytest.mark.parametrize("size", [1, 100_000])
def test_a_full_disk_is_told_whether_it_shows_early_or_late(size: int) -> None:
    with pytest.raises(DeviceError) as caught, OutFile(Path("/dev/full")) as out:
        out.write("x" * size)
    assert str(caught.value) == (
        "/dev/full: cannot be written: No space left on device; free some space or name another file"
    )
    assert Path("/dev/full").is_char_device()


def test_a_missing_folder_is_called_missing(tmp_path: Path) -> None:
    path = tmp_path / "none" / "a.csv"
    with pytest.raises(DeviceError, match=f"{path}: the folder {path.parent} is missing; make it, or name another"):
        OutFile(path).__enter__()


def test_a_file_is_replaced_whole_and_a_full_disk_leaves_neither_half_nor_less(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    replace_file(path, b"old", is_synced=True)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limit[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            replace_file(path, bytes(100_000), is_synced=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_left_unfinished_is_removed_by_its_name(tmp_path: Path) -> None:
    for name in (".a.flac.part", ".notes.part", "b.flac"):
        (tmp_path / name).touch()
    remove_unfinished(tmp_path, re.compile(r"[a-z]\.flac"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".notes.part", "b.flac"]


REPLACING = """
import sys
from pathlib import Path
from sirend.host.outfile import replace_file
for _ in range(300):
    replace_file(Path(sys.argv[1]), sys.argv[2].encode() * int(sys.argv[3]), is_synced=True)
"""


def test_several_processes_may_replace_the_same_file(tmp_path: Path) -> None:
    """Two listeners of one configuration, or a daemon beside the service: one took the other's half for its own."""
    path = tmp_path / "limits.json"
    words = [(letter, count) for letter, count in (("a", 200_000), ("b", 100))]
    processes = [
        subprocess.Popen([sys.executable, "-c", REPLACING, str(path), letter, str(count)], stderr=subprocess.PIPE)
        for letter, count in words
    ]
    whole = {letter.encode() * count for letter, count in words}
    while any(process.poll() is None for process in processes):
        if path.exists():
            assert path.read_bytes() in whole
    assert [process.communicate()[1] for process in processes] == [b"", b""]
    assert [each.name for each in tmp_path.iterdir()] == ["limits.json"]


def test_what_a_process_left_that_is_gone_is_removed_and_not_what_one_is_writing(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    for process in (gone.pid, os.getpid()):
        (tmp_path / f".a.json.{process}.part").touch()
    remove_unfinished(tmp_path, re.compile(r"a\.json"))
    assert [each.name for each in tmp_path.iterdir()] == [f".a.json.{os.getpid()}.part"]
