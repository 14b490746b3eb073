"""The monitor in a pseudo terminal, reading a real server."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pytest
from rich.console import Console
from tests.conftest import PATIENCE_S, free_port
from tests.observe.test_snapshot import feed, setup
from tests.selftest.test_runner import serve

from sirend.audio.stream import Samples, Score, Window
from sirend.call.state import CallState
from sirend.cli import main as cli
from sirend.config.settings import WebConfig
from sirend.detect.motion import Motion
from sirend.detect.tracker import Track
from sirend.errors import DeviceError
from sirend.observe.monitor import METER, Monitor, Screen, picture, words_of
from sirend.observe.snapshot import View

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS, ROWS = 80, 24


class Terminal:
    """``sirend monitor`` as a person in an SSH session runs it."""

    def __init__(self, config: Path) -> None:
        self._words = [sys.executable, "-m", "sirend", "monitor", "--config", str(config)]
        self._said = ""

    def __enter__(self) -> Self:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": os.pathsep.join(sys.path)}
        self.process = subprocess.Popen(
            self._words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)
        os.close(self._ours)

    def until(self, text: str) -> None:
        """Read until ``text`` was shown, colours aside."""
        limit = time.monotonic() + PATIENCE_S
        while text not in self._said:
            ready, _, _ = select.select([self._ours], [], [], 0.1)
            if ready:
                shown = os.read(self._ours, 65_536).decode(errors="replace")
                self._said += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
            assert time.monotonic() < limit, self._said[-3_000:]
        self._said = self._said.partition(text)[2]


def test_a_call_is_seen_a_loss_is_told_and_ctrl_c_ends(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("open sesame\n")
    port, view = free_port(), View(setup("north", "south"))
    file = tmp_path / "sirend.yaml"
    file.write_text(f"site: main-5th\nweb: {{enabled: true, port: {port}, token_file: token}}\n")
    web = WebConfig(enabled=True, port=port, token_file=tmp_path / "token")
    view.health = {"state": "degraded", "reasons": ["broker: gone"]}
    with serve(web, view) as first, Terminal(file) as terminal:
        terminal.until("main-5th")
        terminal.until("DEGRADED")
        terminal.until("broker: gone")
        feed(view, 2)
        terminal.until("north")
        terminal.until("clear")
        end = Samples(80_000)
        view.add_window(Window(end, np.ones((2, 32_000), dtype=np.float32), 4_000))
        for name in ("north", "south"):
            track = Track(end, name, 0.9, end, 0.0, Motion.UNKNOWN)
            view.add_score(Score(end, name, 0.9, 0.0), track, CallState.APPROACHING, end)
        terminal.until("EMERGENCY APPROACHING")
        first.__exit__()
        terminal.until("cannot be reached: Connection refused")
        with serve(web, view):
            terminal.until("No sound has been scored for")
            terminal.process.send_signal(signal.SIGINT)
            assert terminal.process.wait(PATIENCE_S) == 0


def test_the_time_to_go_is_shown_while_it_is_told_and_not_of_old() -> None:
    shown = {"approach": "north", "score": 0.9, "evidence": 0.9, "level_dbfs": -30.0, "floor_dbfs": -50.0}
    called = {**shown, "call": "approaching", "eta_s": 6.0, "eta_low_s": 4.2, "eta_high_s": 9.0}

    def lines(heard: dict[str, Any], now: float) -> str:
        scene = Screen()
        scene.take("moments", [{"heard": [heard]}])
        scene.heard_at = 100.0
        console = Console(width=COLUMNS)
        with console.capture() as text:
            console.print(picture(scene, now))
        return text.get()

    assert "EMERGENCY APPROACHING  nearest in 6 s (4 to 9)" in lines(called, 100.5)
    assert "nearest" not in lines(called, 104.0)
    assert "nearest" not in lines({**called, "eta_s": None}, 100.5)
    assert "nearest" not in lines({**called, "call": "clear"}, 100.5)


def test_what_is_missing_is_told_and_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "sirend.yaml"
    file.write_text("site: main-5th\n")
    assert cli.main(["monitor", "--config", str(file)]) == 78
    assert "web.enabled: the monitor reads the page of the running daemon: set it to true" in capsys.readouterr().err
    file.write_text(f"site: main-5th\nweb: {{enabled: true, port: {free_port()}}}\n")
    assert cli.main(["monitor", "--config", str(file)]) == 69
    assert "cannot be reached: Connection refused; is `sirend run` running with web.enabled?" in capsys.readouterr().err


@pytest.mark.parametrize("said", [b'data: {"a": 1', b"data: \xff\n"])
def test_a_message_that_breaks_off_is_a_lost_connection(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4_096)
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nevent: health\n" + said)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with pytest.raises(DeviceError, match="broke off in the middle of a message"):
            Monitor(WebConfig(enabled=True, port=server.getsockname()[1])).run(threading.Event())
        thread.join(PATIENCE_S)


def test_a_missing_extra_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    (tmp_path / "sirend.yaml").write_text("site: main-5th\nweb: {enabled: true}\n")
    assert cli.main(["monitor", "--config", str(tmp_path / "sirend.yaml")]) == 64
    assert "sudo make install EXTRAS=monitor, or make venv EXTRAS=monitor" in capsys.readouterr().err


def shown(scene: Screen, now: float = 0.0) -> str:
    console = Console(width=COLUMNS, height=ROWS, force_terminal=False)
    with console.capture() as capture:
        console.print(picture(scene, now))
    return capture.get()


def test_the_meter_has_level_peak_floor_and_clipping() -> None:
    scene = Screen(problem="", about={"enter": 0.8, "exit": 0.4})
    heard = {
        "approach": "main", "score": 0.25, "evidence": 0.5, "level_dbfs": -50.0, "floor_dbfs": -75.0,
        "peak_dbfs": -25.0, "hop_dbfs": -50.0, "clipped": True, "motion": "unknown", "call": "clear",
    }  # fmt: skip
    scene.take("moments", [{"seq": 1, "heard": [heard]}])
    text = shown(scene)
    assert "█" * (METER // 4) + "┊" + "█" * (METER // 4 - 1) + "─" * (METER // 4) + "|" in text
    assert "-50 dBFS, peak -25, floor -75" in text
    assert " 70 dB SPL, peak 95, floor 45" in shown(replace(scene, about={**scene.about, "full_scale_spl_db": 120.0}))
    assert "CLIPPING" in text
    assert "▄ 0.50" in text
    assert "enter 0.8, exit 0.4; score 0.25" in text


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"tone": "wail"}, "EMERGENCY APPROACHING: wail"),
        ({"tone": "mixed"}, "EMERGENCY APPROACHING"),
        ({"tone": "yelp", "motion": "departing"}, "EMERGENCY DRIVING AWAY: yelp"),
        ({"call": "clear"}, "siren heard, not called"),
        ({"call": "clear", "evidence": 0.7}, "clear"),
    ],
)
def test_a_card_names_what_is_heard(more: dict[str, Any], words: str) -> None:
    """It said that one approached which drove away, and that nothing was heard where a siren was."""
    heard = {"call": "approaching", "motion": "unknown", "evidence": 0.9, **more}
    assert words_of(heard, {"enter": 0.8}) == words
    if heard["call"] == "clear":
        assert words_of(heard, {"enter": 0.8, "has_array": True}) == "clear"


def test_the_last_events_are_listed_newest_first() -> None:
    scene = Screen(problem="")
    cleared = {"approach": "main", "state": "clear", "reason": "quiet", "confidence": 0.5}
    scene.take("events", [{"at": f"t{number}", **cleared} for number in range(7)])
    lines = [line for line in shown(scene).splitlines() if "cleared: quiet" in line]
    assert [line.split()[1] for line in lines] == ["t6", "t5", "t4", "t3", "t2"]


def test_silence_is_counted_from_the_last_score_and_not_before_the_first() -> None:
    scene = Screen(problem="")
    assert "No sound has been scored" not in shown(scene, now=3_000.0)
    assert "no sound yet" in shown(scene, now=3_000.0)
    scene.take("moments", [{"seq": 1, "heard": []}])
    assert "No sound has been scored for 30 s. What you see is old." in shown(scene, now=scene.heard_at + 30.0)
