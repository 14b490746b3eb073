from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from sirend.host.signals import ENDING, STOPPING, heeding

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 20.0
HEEDED = sorted(ENDING - {signal.SIGPIPE, signal.SIGXFSZ})
"""Those two are ignored by every Python."""


def wait(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.001)


@pytest.mark.parametrize("number", HEEDED)
def test_every_signal_that_would_end_the_process_is_an_end_in_order(number: int) -> None:
    stop = threading.Event()
    started_with = signal.getsignal(number)
    if started_with is signal.SIG_IGN:  # what the tests were started to ignore, as nohup has it, would stay ignored
        signal.signal(number, signal.SIG_DFL)
    try:
        before = signal.getsignal(number)
        with heeding(stop.set):
            os.kill(os.getpid(), number)
            assert stop.wait(PATIENCE_S)
        assert signal.getsignal(number) is before
    finally:
        signal.signal(number, started_with)


def test_what_is_meant() -> None:
    assert {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGABRT, signal.SIGRTMAX} <= ENDING
    assert ENDING.isdisjoint({signal.SIGHUP, signal.SIGSEGV, signal.SIGKILL, signal.SIGCHLD, signal.SIGTSTP})


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGPIPE, signal.SIGWINCH, *sorted(STOPPING)])
def test_a_hang_up_and_what_would_halt_it_do_nothing(number: int) -> None:
    stop = threading.Event()
    with heeding(stop.set):
        os.kill(os.getpid(), number)
        assert not stop.wait(0.05)


def test_a_hang_up_reloads() -> None:
    stop, asked = threading.Event(), threading.Event()
    with heeding(stop.set, asked.set):
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGHUP)
            assert asked.wait(PATIENCE_S)
            asked.clear()
    assert not stop.is_set()


FLOODED = """
import os, signal, sys, threading
from sirend.host.signals import heeding
stop, asked, count = threading.Event(), threading.Event(), 0
with heeding(stop.set, asked.set):
    print("ready", flush=True)
    while not stop.is_set():  # every moment of it is inside one of the two events
        asked.set()
        asked.clear()
    print("clean", flush=True)
"""


def test_a_flood_of_hang_ups_neither_ends_nor_locks_it_and_the_end_comes_through() -> None:
    with subprocess.Popen([sys.executable, "-c", FLOODED], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        for _ in range(3_000):
            process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        out, error = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out, error) == (0, b"clean\n", b"")


def test_an_end_is_heard_although_the_descriptor_is_full() -> None:
    """The thread is held up while a flood fills the descriptor, so the number of the end never fits in."""
    stop, go = threading.Event(), threading.Event()
    with heeding(stop.set, go.wait):
        for _ in range(20_000):
            os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        go.set()
        wait(stop.is_set)


def test_what_the_process_was_started_to_ignore_stays_ignored() -> None:
    before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        stop = threading.Event()
        with heeding(stop.set):
            os.kill(os.getpid(), signal.SIGUSR2)
            assert not stop.wait(0.05)
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_what_c_code_handles_stays_with_it() -> None:
    code = """
import signal, threading
from sirend.host.signals import heeding
with heeding(threading.Event().set):
    print(signal.getsignal(signal.SIGABRT))
"""
    words = [sys.executable, "-X", "faulthandler", "-c", code]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "None\n", "")
