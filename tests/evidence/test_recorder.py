from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from tests.observe.test_snapshot import events, feed, post

from sirend.config.settings import ClipsConfig
from sirend.errors import ConfigError
from sirend.evidence import recorder as clips
from sirend.evidence.recorder import Clips, prune
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
    view.tell(start)
    time.sleep(0.1)
    feed(view, 2, first=view.windows + 1)
    view.tell(end)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "POLL_S", 0.02)


@pytest.mark.parametrize(("keep", "kept"), [("audio", ".flac"), ("features", ".npz")])
def test_a_call_is_kept_for_its_owner_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: str, kept: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    folder, view = tmp_path / "clips", View(post())
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
    folder, view = tmp_path / "clips", View(post())
    with Clips(ClipsConfig(enabled=True, path=folder), view, Helper()):
        call(view)
    assert endings(folder)[:2] == [".flac", ".json"]


def test_a_folder_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    view = View(post())
    with Clips(ClipsConfig(enabled=True, path=tmp_path / "file" / "clips"), view, Helper()) as recorder:
        call(view)
        until(lambda: recorder.problem is not None)
        assert recorder.problem == f"clips: {tmp_path / 'file' / 'clips'} cannot be written: Not a directory"
        assert recorder.lost == 1


def test_a_picture_that_fails_costs_the_picture_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    folder, view = tmp_path / "clips", View(post())
    with Clips(ClipsConfig(enabled=True, path=folder), view, Helper()) as recorder:
        call(view)
        until(lambda: recorder.problem is not None)
        assert "has no picture" in str(recorder.problem)
    assert endings(folder) == [".flac", ".json"]


def test_what_is_missing_is_told_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="name the folder"):
        Clips(ClipsConfig(enabled=True), View(post()), Helper())
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"sudo make install EXTRAS=plot, or make venv EXTRAS=plot"):
        Clips(ClipsConfig(enabled=True, path=tmp_path), View(post()), Helper())


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
