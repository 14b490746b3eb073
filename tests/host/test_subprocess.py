from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from tests.conftest import PATIENCE_S

from sirend.host import subprocess as helper
from sirend.host.subprocess import Helper

if TYPE_CHECKING:
    from pathlib import Path

ECHO = "import pickle, sys\nprint(sorted(pickle.load(sys.stdin.buffer)))\n"
SLEEP = "import pathlib, time\npathlib.Path('began').touch()\ntime.sleep(1000)\n"
TURN = """import pathlib, sys, time
assert not pathlib.Path("busy").exists()
pathlib.Path("busy").touch()
time.sleep(0.1)
pathlib.Path("busy").unlink()
"""


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("echo", ECHO), ("sleeps", SLEEP), ("turn", TURN), ("fails", "raise SystemExit(3)\n")):
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))


def test_a_module_gets_what_is_given_and_its_words_come_back() -> None:
    assert Helper().run("echo", {"b", "a"}) == b"['a', 'b']\n"


def test_a_failure_is_told_and_the_next_has_its_turn() -> None:
    made = Helper()
    with pytest.raises(subprocess.CalledProcessError):
        made.run("fails", None)
    assert made.run("echo", "x") == b"['x']\n"


def test_what_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helper, "RUN_S", 0.2)
    with pytest.raises(subprocess.TimeoutExpired):
        Helper().run("sleeps", None)


def test_one_runs_at_a_time() -> None:
    made = Helper()
    failures: list[Exception] = []

    def run() -> None:
        try:
            made.run("turn", None)
        except subprocess.SubprocessError as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert failures == []


def test_closing_gives_up_what_runs_and_what_would_come(tmp_path: Path) -> None:
    made = Helper()
    ends: list[type[Exception]] = []

    def run() -> None:
        try:
            made.run("sleeps", None)
        except subprocess.SubprocessError as error:
            ends.append(type(error))

    thread = threading.Thread(target=run)
    thread.start()
    limit = time.monotonic() + PATIENCE_S
    while not (tmp_path / "began").exists():
        assert time.monotonic() < limit
        time.sleep(0.01)
    made.close()
    thread.join(PATIENCE_S)
    assert ends == [subprocess.CalledProcessError]
    with pytest.raises(subprocess.CalledProcessError):
        made.run("sleeps", None)


def test_what_cannot_be_pickled_starts_nothing() -> None:
    with pytest.raises((pickle.PicklingError, AttributeError)):
        Helper().run("echo", lambda: None)
