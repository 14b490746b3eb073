from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from sirend.errors import DeviceError
from sirend.host import verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAEMON = """
import signal, sys
from sirend.host import verdict
from sirend.host.signals import heeding
answers = iter(sys.argv[1:])
with heeding(lambda: None, lambda: verdict.write_verdict(next(answers) or None)):
    print("ready", flush=True)
    sys.stdin.read()
"""


@contextmanager
def daemon(*answers: str) -> Iterator[int]:
    """Run a daemon that answers reloads; yield its process id."""
    words = [sys.executable, "-c", DAEMON, *answers]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid


def ask(pid: int) -> tuple[int, str]:
    """Reload as the unit does; return exit code and what it says."""
    words = [sys.executable, "-m", "sirend.host.verdict", str(pid)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60.0)
    return done.returncode, done.stderr


def test_a_reload_ends_as_the_daemon_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    with daemon("", "c.yaml: site is 3: allowed is ...", "") as pid:
        assert ask(pid) == (0, "")
        assert ask(pid) == (78, "sirend: error: not reloaded: c.yaml: site is 3: allowed is ...\n")
        assert ask(pid) == (0, "")


def test_what_an_earlier_reload_became_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    verdict.write_verdict(None)
    with subprocess.Popen(["sh", "-c", "trap '' HUP; echo; read x"], stdin=-1, stdout=-1) as deaf:
        assert deaf.stdout is not None
        deaf.stdout.readline()
        with pytest.raises(DeviceError, match=r"did not say within 0\.3 s what became of the reload"):
            verdict.reload(deaf.pid, 0.3)
    with pytest.raises(DeviceError, match="cannot be asked: No such process"):
        verdict.reload(deaf.pid, 0.3)


def test_without_a_runtime_directory_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    verdict.write_verdict("a problem")
    with daemon("") as pid:
        verdict.reload(pid)
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/nowhere/at/all")
    verdict.write_verdict("a problem")
    assert os.environ["RUNTIME_DIRECTORY"] == "/nowhere/at/all"
