from __future__ import annotations

import fcntl
import io
import logging
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sirend.host.log import MOST_LINES, Lines, LogHandler, unblock

if TYPE_CHECKING:
    from collections.abc import Iterator

LATEST_S = 60.0


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    log = logging.Logger("sirend.test", logging.INFO)  # noqa: LOG001  one that nobody else has a handler at
    yield log
    log.handlers.clear()


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_what_would_steer_a_terminal_is_written_as_its_code() -> None:
    stream = io.StringIO()
    with Lines(stream, "log") as lines:
        lines.put("a\x1b[2J\x07b\x9bc.wav\tä\nnext")
    assert stream.getvalue() == "a\\x1b[2J\\x07b\\x9bc.wav\tä\nnext\n"


def test_an_error_that_repeats_itself_is_one_line_a_minute_with_a_count(log: logging.Logger) -> None:
    stream, clock = io.StringIO(), Clock()
    with Lines(stream, "log") as lines:
        handler = LogHandler(lines, clock)
        log.addHandler(handler)
        for second in range(150):
            clock.now_s = 100.0 + second
            log.error("the disk is full")
            log.info("call %d", second // 100)
        handler.close()
    written = stream.getvalue().splitlines()
    assert [line for line in written if "disk" in line] == [
        "the disk is full",
        "the disk is full (59 times more)",
        "the disk is full",
        "the disk is full (59 times more)",
        "the disk is full",
        "the disk is full (29 times more)",
    ]
    assert sum("call" in line for line in written) == 150


def test_what_others_complain_of_counts_as_one_whatever_addresses_it_names() -> None:
    stream = io.StringIO()
    other = logging.Logger("asyncio")  # noqa: LOG001
    with Lines(stream, "log") as lines:
        handler = LogHandler(lines)
        other.addHandler(handler)
        for port in range(1000):
            other.error("socket.accept() failed for %s", port)
        handler.close()
    assert stream.getvalue().splitlines() == [
        "socket.accept() failed for 0",
        "socket.accept() failed for 0 (999 times more)",
    ]


def test_a_pipe_that_nobody_reads_holds_nobody_up_and_what_is_lost_is_told(log: logging.Logger) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, Lines(stream, "log") as lines:
        log.addHandler(LogHandler(lines))
        began = time.monotonic()
        for number in range(20_000):
            log.info("%s", f"{number:0100d}")
        assert time.monotonic() - began < LATEST_S / 6
        assert lines.dropped > 20_000 - MOST_LINES - 65_536 // 101 - 1_000
        taken: list[bytes] = []

        def read() -> None:
            while data := os.read(reading, 65_536):
                taken.append(data)

        reader = threading.Thread(target=read)
        reader.start()
        while not lines._background.settle(1.0):  # noqa: SLF001
            pass
        dropped = lines.dropped
        log.info("the last")
        lines._background.settle(LATEST_S)  # noqa: SLF001
    reader.join()
    os.close(reading)
    written = b"".join(taken).decode().splitlines()
    assert written[-1] == "the last"
    told = [
        found for line in written if (found := re.fullmatch(r"\((\d+) lines were lost here, nobody took them\)", line))
    ]
    assert sum(int(found[1]) for found in told) == dropped  # in one place, or where a busy machine lost some before
    assert len(written) == 20_000 - dropped + len(told) + 1


def test_a_reader_that_has_left_is_told_once(log: logging.Logger) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ends: list[bool] = []
    with os.fdopen(writing, "w") as stream, Lines(stream, "out", lambda: ends.append(True)) as lines:
        log.addHandler(LogHandler(lines))
        log.info("one")
        log.info("two")
    assert ends == [True]


def test_a_line_is_not_lost_while_a_library_begins_with_the_standard_error_turned_to_nowhere(tmp_path: Path) -> None:
    """What sounddevice does while PortAudio begins, and we do while a network is loaded."""
    log = tmp_path / "log"
    with log.open("wb") as file:
        stream = os.fdopen(os.dup(file.fileno()), "w")
    with stream, Lines(stream, "log") as lines, open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        kept = os.dup(stream.fileno())
        os.dup2(nowhere.fileno(), stream.fileno())
        lines.put("there is no broker")
        assert lines._background.settle(LATEST_S)  # noqa: SLF001
        os.dup2(kept, stream.fileno())
        os.close(kept)
        lines.put("listening")
    assert log.read_text().splitlines() == ["there is no broker", "listening"]


def test_the_descriptor_of_the_lines_is_closed_with_them(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with (tmp_path / "log").open("w") as stream, Lines(stream, "log") as lines:
            lines.put("x")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_interpreter_ends_although_its_standard_error_is_full(tmp_path: Path) -> None:
    program = tmp_path / "full.py"
    program.write_text(
        "import logging, sys\n"
        "from sirend.host.log import Lines, LogHandler, unblock\n"
        "unblock(2)\n"
        "with Lines(sys.stderr, 'log') as lines:\n"
        "    logging.getLogger().addHandler(LogHandler(lines))\n"
        "    for number in range(10_000): logging.warning('%d' * 30, *[number] * 30)\n"
    )
    with subprocess.Popen([sys.executable, program], stderr=subprocess.PIPE) as process:
        assert process.wait(LATEST_S) == 0


def test_an_unblocked_pipe_refuses_what_does_not_fit_and_others_who_have_it_do_not_notice() -> None:
    reading, writing = os.pipe()
    shared = os.dup(writing)
    unblock(writing)
    os.write(writing, b"." * 65_536)
    with pytest.raises(BlockingIOError):
        os.write(writing, b".")
    assert not fcntl.fcntl(shared, fcntl.F_GETFL) & os.O_NONBLOCK
    for descriptor in (reading, writing, shared):
        os.close(descriptor)
