from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.call.test_machine import RULES, _tracks

from sirend.audio.stream import Samples
from sirend.call.machine import State, step
from sirend.call.watch import ApproachWatch
from sirend.config.settings import Config, JournalConfig
from sirend.detect.tracker import Tracker
from sirend.host.boottime import boottime_s
from sirend.service import limits_file
from sirend.service.limits_file import SCHEMA, LimitsFile, limits_path

if TYPE_CHECKING:
    from collections.abc import Callable

LATEST_S = 60.0


def watches() -> dict[str, ApproachWatch]:
    return {"main": ApproachWatch(Tracker("main", Samples(4_000)), RULES, lambda _: False)}


def hear(watch: ApproachWatch, seconds: float) -> None:
    for track in _tracks([0.9] * round(seconds / 0.25)):
        watch.state, _ = step(RULES, watch.state, track)


def remembered(path: Path) -> State:
    """Return what a run begins with that finds the file."""
    found = watches()
    with LimitsFile(path, found):
        return found["main"].state


def test_a_run_goes_on_where_the_one_before_was_killed(tmp_path: Path) -> None:
    path, first = tmp_path / "state" / "limits.json", watches()
    with LimitsFile(path, first) as limits:
        hear(first["main"], 31.0)
        limits.keep()
        assert limits._background.settle(LATEST_S)  # noqa: SLF001
        state = remembered(path)
    assert state.spent == 30 * 16_000
    assert [start / 16_000 for start in state.calls] == pytest.approx([-30.0], abs=5.0)
    assert not [file for file in path.parent.iterdir() if file != path]


def test_time_passes_by_the_hosts_own_clock_whatever_the_wall_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, first = tmp_path / "limits.json", watches()
    with LimitsFile(path, first):
        hear(first["main"], 31.0)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    uptime_s = boottime_s()
    for later_s, calls in ((3_500.0, 1), (3_700.0, 0), (-1e6, 1)):
        monkeypatch.setattr(limits_file, "boottime_s", lambda later_s=later_s: uptime_s + later_s)
        content = path.read_bytes()
        assert len(remembered(path).calls) == calls
        path.write_bytes(content)
    monkeypatch.setattr(limits_file, "_boot", lambda: "another")
    for since_boot_s, calls in ((60.0, 1), (3_700.0, 0)):
        monkeypatch.setattr(limits_file, "boottime_s", lambda since_boot_s=since_boot_s: since_boot_s)
        path.write_bytes(content)
        assert len(remembered(path).calls) == calls


NOW = {"schema": SCHEMA, "boot": limits_file._boot()}  # noqa: SLF001
GOOD = {"ages_s": [1.0], "spent_s": 0.0, "armed": False, "is_leaving": False}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b"null",
        json.dumps({"schema": "sirend/limits/2", "uptime_s": 1.0, "approaches": {"main": GOOD}}).encode(),
        json.dumps({"schema": "sirend/limits/0", "approaches": {"main": GOOD}}).encode(),
        json.dumps({"schema": SCHEMA, "uptime_s": "1", "approaches": {"main": GOOD}}).encode(),
        json.dumps({"schema": SCHEMA, "uptime_s": 1.0, "approaches": {"main": {}}}).encode(),
        json.dumps({**NOW, "uptime_s": 10**400, "approaches": {"main": GOOD}}).encode(),
        json.dumps({"schema": SCHEMA, "uptime_s": 1.0, "approaches": {"main": {**GOOD, "spent_s": 10**400}}}).encode(),
        json.dumps({"schema": SCHEMA, "uptime_s": 1.0, "approaches": {"main": GOOD}}).encode()[:-3],
    ],
)
def test_a_broken_file_or_one_of_another_version_is_told_and_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    path = tmp_path / "limits.json"
    path.write_bytes(content)
    assert remembered(path).armed
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"{path}: the limits of the run before are not known, they begin anew: ")
    assert json.loads(path.read_bytes())["schema"] == SCHEMA


def test_a_pipe_in_place_of_the_file_holds_nobody_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The start waited without end for somebody who writes to it."""
    os.mkfifo(tmp_path / "limits.json")
    assert remembered(tmp_path / "limits.json").calls == ()
    assert "they begin anew: it is no regular file" in caplog.text


def test_an_approach_that_is_no_more_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    path.write_text(json.dumps({"schema": SCHEMA, "boot": "", "uptime_s": 1.0, "approaches": {"north": GOOD}}))
    assert remembered(path).armed
    assert list(json.loads(path.read_bytes())["approaches"]) == ["main"]


def test_a_folder_that_cannot_be_written_is_a_problem_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "limits.json"
    with LimitsFile(path, watches()) as limits:
        assert limits.problem == f"the limits of calls would not outlast a restart: {path}: File exists"


def test_a_disk_that_hangs_holds_nobody_up_and_the_latest_is_written_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, found, hung = tmp_path / "limits.json", watches(), threading.Event()
    fsync: Callable[[int], None] = os.fsync

    def hanging(handle: int) -> None:
        hung.wait(LATEST_S)
        fsync(handle)

    with LimitsFile(path, found) as limits:
        monkeypatch.setattr(os, "fsync", hanging)
        began = time.monotonic()
        for track in _tracks([0.9] * 124):
            found["main"].state, _ = step(RULES, found["main"].state, track)
            limits.keep()
        assert time.monotonic() - began < LATEST_S / 6
        monkeypatch.setattr(limits_file, "SLOW_S", 0.0)
        while limits.problem is None:
            time.sleep(0.001)
        assert limits.problem == f"the limits of calls would not outlast a restart: the disk of {path} does not answer"
        hung.set()
        assert limits._background.settle(LATEST_S)  # noqa: SLF001
    assert json.loads(path.read_bytes())["approaches"]["main"]["spent_s"] == pytest.approx(30.0, abs=1.0)


@pytest.mark.parametrize(
    ("variables", "journal", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/sirend:/x", "RUNTIME_DIRECTORY": "/run/sirend"}, "/j/l", "/var/lib/sirend"),
        ({"RUNTIME_DIRECTORY": "/run/sirend"}, None, "/run/sirend"),
        ({}, "/var/log/site/events.jsonl", "/var/log/site"),
        ({"XDG_STATE_HOME": "/home/a/state"}, None, "/home/a/state/sirend"),
        ({"HOME": "/home/a"}, None, "/home/a/.local/state/sirend"),
    ],
)
def test_the_file_lies_where_state_lies(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], journal: str | None, expected: str
) -> None:
    for name in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    config = Config(journal=JournalConfig(path=None if journal is None else Path(journal)))
    assert limits_path(config) == Path(expected) / f"limits-{config.site}.json"
