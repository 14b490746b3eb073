from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tests.controller.outputs.faulty import wait

from sirend.call.state import CallState
from sirend.client import Call
from sirend.controller.outputs import Report
from sirend.controller.outputs.command import Command

if TYPE_CHECKING:
    import pytest


APPROACHES = ("north", "west")


def call(state: str, approach: str = "north") -> Call:
    return Call("main-5th", approach, CallState(state), "siren", datetime.now(UTC), None)


def test_the_command_is_told_each_change_in_its_environment(tmp_path: Path) -> None:
    told = tmp_path / "told"
    words = f'echo "$SIREND_SITE $SIREND_APPROACH $SIREND_STATE $SIREND_REASON" >> {told}'
    with Command(words, 10.0, APPROACHES) as output:
        for state in ("approaching", "clear"):
            output.act(call(state))
            output.beat()
            wait(lambda: output.report("north") == Report(True, None, None))
    assert told.read_text() == "main-5th north approaching siren\nmain-5th north clear siren\n"


def test_a_command_that_fails_is_a_problem_until_it_succeeds(tmp_path: Path) -> None:
    with Command(f"cat {tmp_path}/there", 10.0, APPROACHES) as output:
        output.act(call("approaching"))
        failed = Report(False, None, "the command ended with exit code 1")
        wait(lambda: output.report("north") == failed)
        (tmp_path / "there").touch()
        output.act(call("clear"))
        wait(lambda: output.report("north") == Report(True, None, None))


def test_what_a_failed_command_left_running_is_killed(tmp_path: Path) -> None:
    """It is run again for as long as it fails, and each time left another one."""
    pids = tmp_path / "pids"
    pids.touch()
    words = f"[ $SIREND_STATE = clear ] && exit; sleep 613 & echo $! >> {pids}; sleep 0.1; exit 1"
    with Command(words, 10.0, APPROACHES) as output:
        output.act(call("approaching"))
        wait(lambda: len(pids.read_text().split()) >= 3)
    wait(lambda: not any(runs(int(pid)) for pid in pids.read_text().split()))


def runs(pid: int) -> bool:
    """Return whether a process does, and is not merely waiting for its parent to take note of its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_command_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    with Command(f"(sleep 2; touch {tmp_path}/late) & wait", 1.0, APPROACHES) as output:
        output.act(call("approaching"))
        killed = Report(False, None, "the command was killed after 1 s")
        wait(lambda: output.report("north") == killed)
        time.sleep(1.3)
    assert not (tmp_path / "late").exists()


def test_of_changes_that_wait_only_the_last_counts_and_what_is_overtaken_is_killed(tmp_path: Path) -> None:
    told = tmp_path / "told"
    words = f'while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; echo "$SIREND_APPROACH $SIREND_STATE" >> {told}'
    with Command(words, 60.0, APPROACHES) as output:
        output.act(call("clear"))
        time.sleep(0.1)  # it runs now
        for state in ("approaching", "clear", "approaching"):
            output.act(call(state))
        assert output.report("north") == Report(None, None, None)
        overtaken = Report(False, None, "the command was killed because something newer came")
        wait(lambda: output.report("north") == overtaken, output)
        (tmp_path / "go").touch()
        wait(lambda: output.report("north") == Report(True, None, None), output)
        assert told.read_text() == "north approaching\n"
    assert told.read_text() == "north approaching\nnorth clear\n"


def test_leaving_tells_those_that_are_not_clear_why(tmp_path: Path) -> None:
    words = f'echo "$SIREND_APPROACH $SIREND_STATE $SIREND_REASON" >> {tmp_path}/told'
    with Command(words, 10.0, APPROACHES) as output:
        for approach, state in (("north", "clear"), ("west", "approaching")):
            output.act(call(state, approach))
            wait(lambda approach=approach: output.report(approach) == Report(True, None, None))  # type: ignore[misc]
    assert (tmp_path / "told").read_text().splitlines() == [
        "north clear siren",
        "west approaching siren",
        "west clear shutdown",
    ]


def test_what_a_message_says_is_no_part_of_the_command(tmp_path: Path) -> None:
    evil = Call("s", "north", CallState.CLEAR, f"$(touch {tmp_path}/evil)", datetime.now(UTC), None)
    with Command('echo "$SIREND_REASON" > ' + f"{tmp_path}/told", 10.0, APPROACHES) as output:
        output.act(evil)
        wait(lambda: output.report("north") == Report(True, None, None))
    assert (tmp_path / "told").read_text() == f"$(touch {tmp_path}/evil)\n"
    assert not (tmp_path / "evil").exists()


def test_a_shell_that_is_missing_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr("subprocess.Popen", fail)
    with Command("true", 1.0, APPROACHES) as output:
        output.act(call("clear"))
        missing = Report(False, None, "the command cannot be run: No such file or directory")
        wait(lambda: output.report("north") == missing)
