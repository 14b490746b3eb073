import errno
import json
import os
import threading
import time
from pathlib import Path

import pytest

from sirend.audio.stream import Samples
from sirend.call.clock import ReplayClock
from sirend.call.event import Event, to_json
from sirend.call.machine import Transition
from sirend.call.scribe import Scribe
from sirend.call.state import CallState, Reason
from sirend.detect.motion import Motion
from sirend.publish.journal import WAITING, Journal

MANY = 1_000_000


def _events(count: int) -> list[Event]:
    scribe = Scribe(site="s", boot_id="b", mode="replay", model="m", clock=ReplayClock(), valid_for_s=5.0)
    state = (CallState.APPROACHING, Reason.SIREN), (CallState.CLEAR, Reason.QUIET)
    return [
        scribe.write(
            Transition(
                "main",
                state[i % 2][0],
                Samples(i),
                Samples(0),
                0.9,
                -40.0,
                Motion.UNKNOWN,
                state[i % 2][1],
                refresh=False,
            )
        )
        for i in range(count)
    ]


def _seqs(path: Path) -> list[int]:
    return [json.loads(line)["seq"] for line in path.read_text().splitlines()]


def test_every_change_of_state_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "var" / "events.jsonl"
    events = _events(3)
    with Journal(path, MANY) as journal:
        for event in events:
            journal.publish(event)
    assert path.read_text() == "".join(to_json(event) + "\n" for event in events)
    assert (journal.failures, journal.torn, journal.problem) == (0, 0, None)
    assert path.stat().st_mode & 0o007 == 0


def test_a_repetition_is_not_recorded(tmp_path: Path) -> None:
    scribe = Scribe(site="s", boot_id="b", mode="replay", model="m", clock=ReplayClock(), valid_for_s=5.0)
    with Journal(tmp_path / "j", MANY) as journal:
        journal.publish(scribe.initial("main"))
    assert (tmp_path / "j").read_text() == ""


def test_a_later_run_appends(tmp_path: Path) -> None:
    first, second = _events(2)
    for event in (first, second):
        with Journal(tmp_path / "j", MANY) as journal:
            journal.publish(event)
    assert _seqs(tmp_path / "j") == [1, 2]


def test_an_event_is_on_the_disk_as_soon_as_the_disk_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_size))
    with Journal(tmp_path / "j", MANY) as journal:
        synced.clear()
        for event in _events(2):
            journal.publish(event)
            assert journal.settle(60.0)
            assert synced[-1] == (tmp_path / "j").stat().st_size
    assert len(synced) == 2


def test_a_full_file_becomes_the_older_one_and_replaces_the_one_before(tmp_path: Path) -> None:
    path, older = tmp_path / "j", tmp_path / "j.1"
    events = _events(7)
    size = len(to_json(events[0])) + 40
    with Journal(path, 3 * size) as journal:
        for event in events:
            journal.publish(event)
    assert _seqs(older) == [4, 5, 6]
    assert _seqs(path) == [7]
    assert journal.failures == 0


def test_a_line_cut_off_by_a_power_cut_is_closed_kept_and_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "j"
    first, second = _events(2)
    path.write_text(to_json(first) + "\n" + to_json(second)[:50])
    with Journal(path, MANY) as journal:
        assert journal.torn == 1
        journal.publish(second)
    assert path.read_text().splitlines() == [to_json(first), to_json(second)[:50], to_json(second)]
    assert caplog.messages == [f"the last line of the journal {path} was cut off; it is left as it is"]
    with Journal(path, MANY) as journal:
        assert journal.torn == 0


def _nearly_full(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """Let writes end after ``room`` bytes, as on a full disk."""
    write = os.write

    def limited(handle: int, data: bytes) -> int:
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(handle, data[:room])

    monkeypatch.setattr(os, "write", limited)


@pytest.mark.parametrize("room", [0, 20])
def test_a_full_disk_costs_the_record_only(tmp_path: Path, caplog: pytest.LogCaptureFixture, room: int) -> None:
    path = tmp_path / "j"
    events = _events(5)
    with Journal(path, MANY) as journal:
        journal.publish(events[0])
        assert journal.settle(60.0)
        with pytest.MonkeyPatch.context() as patch:
            _nearly_full(patch, room)
            for event in events[1:4]:
                journal.publish(event)
            assert journal.settle(60.0)
        problem = f"the journal {path} cannot be written: No space left on device"
        assert (journal.failures, journal.problem) == (3, problem)
        assert _seqs(path) == [1]
        journal.publish(events[4])
        assert journal.settle(60.0)
        assert (journal.failures, journal.problem, journal.torn) == (3, None, 0)
    assert _seqs(path) == [1, 5]
    assert caplog.messages == [f"{problem}; events go on without it"]


def test_a_journal_that_cannot_be_written_says_so_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with Journal(tmp_path / "file" / "j", MANY) as journal:
        journal.publish(_events(1)[0])
    assert journal.failures == 1
    assert journal.problem is not None
    assert journal.problem.endswith("cannot be written: File exists")


def test_a_folder_in_its_place_is_a_problem_not_a_crash(tmp_path: Path) -> None:
    with Journal(tmp_path, MANY) as journal:
        assert journal.problem == f"the journal {tmp_path} cannot be written: Is a directory"


def test_a_pipe_or_device_in_its_place_is_told_at_the_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with Journal(path, MANY) as journal:
            assert journal.problem == f"the journal {path} cannot be written: it is no regular file"


def test_a_file_that_someone_took_away_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, MANY) as journal:
        for event in _events(2):
            journal.publish(event)
            assert journal.settle(60.0)
            path.rename(tmp_path / "elsewhere")
    assert _seqs(tmp_path / "elsewhere") == [2]
    assert journal.failures == 0


def test_a_disk_that_hangs_holds_nobody_up_is_told_of_and_loses_no_more_than_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "j"
    fsync, hung = os.fsync, threading.Event()

    def hanging(handle: int) -> None:
        hung.wait(60.0)
        fsync(handle)

    events = _events(WAITING + 11)
    with Journal(path, MANY) as journal:
        monkeypatch.setattr(os, "fsync", hanging)
        began = time.monotonic()
        journal.publish(events[0])
        while not path.stat().st_size:  # it is at the disk with the first
            time.sleep(0.001)
        for event in events[1:]:
            journal.publish(event)
        assert time.monotonic() - began < 1.0
        assert journal.failures == 10
        monkeypatch.setattr("sirend.publish.journal.SLOW_S", 0.0)
        assert journal.problem == f"the journal {path} cannot be written: its disk does not answer"
        hung.set()
        assert journal.settle(60.0)
        assert journal.problem is None
    assert _seqs(path) == list(range(1, WAITING + 2))


def test_the_end_does_not_wait_for_a_disk_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hung = threading.Event()
    with Journal(tmp_path / "j", MANY) as journal:
        monkeypatch.setattr(os, "fsync", lambda _: hung.wait(60.0))
        began = time.monotonic()
        journal.publish(_events(1)[0])
    assert time.monotonic() - began < 10.0  # 2 s where nothing else runs
    assert caplog.messages == [f"the journal {tmp_path / 'j'}: 1 events never reached the disk"]
    hung.set()
