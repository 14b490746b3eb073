from __future__ import annotations

import math
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from tests.observe.test_snapshot import events, feed, setup

from sirend.config.settings import ClipsConfig
from sirend.errors import ConfigError
from sirend.evidence import recorder as clips
from sirend.evidence.recorder import Calendar, Clips, prune
from sirend.host import subprocess as helper
from sirend.host.subprocess import Helper
from sirend.observe.snapshot import View

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def until(what: Callable[[], bool]) -> None:
    limit = time.monotonic() + helper.RUN_S  # what draws gives way to everything else on the machine
    while not what():
        assert time.monotonic() < limit
        time.sleep(0.02)


def endings(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir())


def call(view: View) -> None:
    """Let a call begin and end in ``view``."""
    start, end = events(2)
    feed(view, 4, first=view.windows + 1)
    view.add_event(start)
    time.sleep(0.1)
    feed(view, 2, first=view.windows + 1)
    view.add_event(end)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "POLL_S", 0.02)


@pytest.mark.parametrize(("keep", "kept"), [("audio", ".flac"), ("features", ".npz")])
def test_a_call_is_kept_for_its_owner_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: str, kept: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    folder, view = tmp_path / "clips", View(setup())
    with Clips(ClipsConfig(enabled=True, path=folder, keep=keep), view, Helper()) as recorder:
        call(view)
        until(lambda: folder.is_dir() and ".png" in endings(folder))
        assert (recorder.problem, recorder.lost) == (None, 0)
    assert endings(folder) == sorted([kept, ".json", ".png"])
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    if keep == "audio":
        (flac,) = folder.glob("*.flac")
        pcm, _ = soundfile.read(flac)
        assert len(pcm) == 6 * 4_000
    (png,) = folder.glob("*.png")
    assert png.read_bytes().startswith(b"\x89PNG")


def test_what_is_at_hand_is_kept_at_the_end(tmp_path: Path) -> None:
    folder, view = tmp_path / "clips", View(setup())
    with Clips(ClipsConfig(enabled=True, path=folder), view, Helper()):
        call(view)
    assert endings(folder)[:2] == [".flac", ".json"]


def test_a_folder_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    view = View(setup())
    with Clips(ClipsConfig(enabled=True, path=tmp_path / "file" / "clips"), view, Helper()) as recorder:
        call(view)
        until(lambda: recorder.problem is not None)
        assert recorder.problem == f"clips: {tmp_path / 'file' / 'clips'} cannot be written: Not a directory"
        assert recorder.lost == 1


def test_a_picture_that_fails_costs_the_picture_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    folder, view = tmp_path / "clips", View(setup())
    with Clips(ClipsConfig(enabled=True, path=folder), view, Helper()) as recorder:
        call(view)
        until(lambda: recorder.problem is not None)
        assert "has no picture" in str(recorder.problem)
    assert endings(folder) == [".flac", ".json"]


def test_what_is_missing_is_told_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="name the folder"):
        Clips(ClipsConfig(enabled=True), View(setup()), Helper())
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"sudo make install EXTRAS=plot, or make venv EXTRAS=plot"):
        Clips(ClipsConfig(enabled=True, path=tmp_path), View(setup()), Helper())


@given(
    sizes=st.lists(st.integers(1, 100), max_size=8),
    ages=st.lists(st.integers(0, 100), min_size=8, max_size=8),
    bound=st.integers(0, 300),
)
def test_the_folder_stays_within_its_bounds_and_the_newest_stay(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], ages: list[int], bound: int
) -> None:
    folder = tmp_path_factory.mktemp("clips")
    stranger = folder / "notes.txt"
    stranger.write_bytes(bytes(1_000))
    os.utime(stranger, (0, 0))
    rng = np.random.default_rng(1)
    for size, age in zip(sizes, ages, strict=False):
        path = folder / f"20260101T000000Z-main-{rng.bytes(4).hex()}.flac"
        path.write_bytes(bytes(size))
        os.utime(path, (1_000 - age, 1_000 - age))
    before = {path: path.stat() for path in folder.glob("*.flac")}
    prune(folder, max_bytes=bound, oldest_s=950)
    left = set(folder.glob("*.flac"))
    assert stranger.exists()
    assert sum(before[path].st_size for path in left) <= bound
    assert all(before[path].st_mtime >= 950 for path in left)
    gone = [path for path in before if path not in left and before[path].st_mtime >= 950]
    for path in gone:
        newer = [stat.st_size for stat in before.values() if stat.st_mtime >= before[path].st_mtime]
        assert sum(newer) > bound


def test_a_folder_that_is_not_there_needs_no_tidying(tmp_path: Path) -> None:
    prune(tmp_path / "none", max_bytes=1, oldest_s=0.0)
    assert list(tmp_path.iterdir()) == []


@dataclass
class Clocks:
    """A wall clock and one that nobody sets."""

    host_s: float = 1_000.0
    offset_s: float = 1.8e9

    def calendar(self) -> Calendar:
        return Calendar(lambda: self.host_s + self.offset_s, lambda: self.host_s)


YEAR_S = 365 * 86_400.0


def test_a_clock_that_is_a_year_ahead_for_a_moment_makes_nothing_old() -> None:
    clocks = Clocks()
    calendar = clocks.calendar()
    looks = []
    for minute in range(400):
        clocks.host_s = 1_000.0 + 60.0 * minute
        clocks.offset_s = 1.8e9 + (YEAR_S if 100 <= minute < 110 else 0.0)
        looks.append(calendar.now_s())
    assert looks[:60] == [-math.inf] * 60
    assert looks[60:100] == [1.8e9 + 1_000.0 + 60.0 * minute for minute in range(60, 100)]
    assert looks[100:170] == [-math.inf] * 70
    assert looks[170:] == [1.8e9 + 1_000.0 + 60.0 * minute for minute in range(170, 400)]


def test_a_clock_that_is_slewed_is_believed() -> None:
    clocks = Clocks()
    calendar = clocks.calendar()
    for minute in range(120):
        clocks.host_s, clocks.offset_s = 1_000.0 + 60.0 * minute, 1.8e9 + 0.03 * minute
        believed = calendar.now_s()
    assert believed == clocks.host_s + clocks.offset_s


def test_clips_stay_when_the_clock_is_a_year_ahead_while_one_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, view = tmp_path / "clips", View(setup())
    folder.mkdir()
    old = folder / "20260101T000000Z-main-00000000.flac"
    old.write_bytes(b"sound")
    monkeypatch.setattr(clips, "PRUNE_S", 0.05)
    wall = time.time
    with Clips(ClipsConfig(enabled=True, path=folder), view, Helper()):
        monkeypatch.setattr(time, "time", lambda: wall() + YEAR_S)
        call(view)
    assert old.exists()
    assert ".json" in endings(folder)


def test_what_a_run_before_left_unfinished_is_removed_and_nothing_else(tmp_path: Path) -> None:
    left = [tmp_path / f".20260101T000000Z-main-00000000.{ending}.part" for ending in ("flac", "npz", "png", "json")]
    others = [tmp_path / ".notes.part", tmp_path / "20260101T000000Z-main-00000000.flac.part"]
    for path in (*left, *others):
        path.write_bytes(b"half")
    with Clips(ClipsConfig(enabled=True, path=tmp_path), View(setup()), Helper()):
        until(lambda: not any(path.exists() for path in left))
    assert all(path.exists() for path in others)


def test_a_full_disk_leaves_no_unfinished_file(tmp_path: Path) -> None:
    folder, view = tmp_path / "clips", View(setup())
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with Clips(ClipsConfig(enabled=True, path=folder), view, Helper()) as recorder:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limit[1]))  # a file that grows no further, as on a full disk
        try:
            call(view)
            until(lambda: recorder.problem is not None)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
            signal.signal(signal.SIGXFSZ, before)
        assert recorder.problem == f"clips: {folder} cannot be written: File too large"
    assert not list(folder.glob(".*"))


def test_a_bug_while_following_is_told_and_the_next_call_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, view = tmp_path / "clips", View(setup())
    with Clips(ClipsConfig(enabled=True, path=folder), view, Helper()) as recorder:
        with monkeypatch.context() as broken:
            broken.setattr(View, "events", lambda _: 1 / 0)
            until(lambda: recorder.problem is not None)
            assert recorder.problem == "clips: a bug; the log has it"
        call(view)
    assert ".json" in endings(folder)
