"""The daemon with a network microphone: a real RTSP server that a simulated drive-by is fed to."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from tests.audio.test_rtsp import AAC, serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Broker
    from tests.e2e.conftest import Command, Daemon

pytestmark = pytest.mark.system
WATCHED = """
import atexit, runpy, threading
running = lambda: [each.name for each in threading.enumerate() if each.daemon]
atexit.register(lambda: print("taken down beside", running()))
runpy.run_module("sirend", run_name="__main__")
"""
"""Runs ``sirend`` and tells which threads run when the interpreter begins to be taken down."""


def test_a_drive_by_is_called_over_the_network_and_a_lost_camera_clears_and_is_back(
    run: Callable[..., Daemon], broker: Broker, loud_drive_by: Path
) -> None:
    pipeline = f"filesrc location={loud_drive_by} ! wavparse ! {AAC}"
    with serving(pipeline) as server, broker.subscribe() as subscriber:
        daemon = run(f"site: main\naudio: {{device: '{server.url}'}}\nmqtt: {{port: {broker.port}}}\n", {})
        received = subscriber.until("sirend/main/main/event")
        called = json.loads(received[-1].payload)
        assert (called["state"], called["reason"]) == ("approaching", "siren")
        server.kill()
        began_s = time.monotonic()
        cleared = json.loads(subscriber.until("sirend/main/main/event")[-1].payload)
        assert (cleared["state"], cleared["reason"]) == ("clear", "input_lost")
        report = json.loads(subscriber.until("sirend/main/health")[-1].payload)
        while "the stream has ended" not in report["reasons"]:
            report = json.loads(subscriber.until("sirend/main/health")[-1].payload)
        assert report["state"] == "failed"
        assert time.monotonic() - began_s < 10.0  # under 5 s where nothing else runs
        server.start()
        assert json.loads(subscriber.until("sirend/main/main/event")[-1].payload)["state"] == "approaching"
        assert daemon.stop() == 0


def test_a_url_is_tried_and_told_of_in_a_line_without_the_password(sirend: Command, loud_drive_by: Path) -> None:
    secret = sirend.folder / "camera.secret"
    secret.write_text("guest:pa55word\n")
    with serving(f"filesrc location={loud_drive_by} ! wavparse ! {AAC}", "--user", "guest:pa55word") as server:
        tried = sirend("devices", server.url, "--credentials", "camera.secret")
        assert (tried.returncode, tried.stderr) == (0, "")
        assert tried.stdout.startswith("aac, 44100 Hz, 2 channels, 23 ms a packet; the first sound came after ")
        secret.write_text("guest:password\n")
        wrong = sirend("devices", server.url, "--credentials", "camera.secret")
    assert (wrong.returncode, wrong.stdout) == (69, "")
    assert wrong.stderr == f"sirend: error: {server.url}: wrong name or password (audio.credentials_file)\n"
    url = server.url.replace("//", "//guest:pa55word@")
    assert (sirend("devices", url).returncode, sirend("devices", "http://192.0.2.20/").returncode) == (64, 64)


def test_the_interpreter_is_not_taken_down_while_a_camera_is_being_read(sirend: Command, loud_drive_by: Path) -> None:
    """The decoder asks Python every 100 ms whether to go on; once in a while that was a segmentation fault."""
    with serving(f"filesrc location={loud_drive_by} ! wavparse ! {AAC}") as server:
        (sirend.folder / "c.yaml").write_text(f"site: main\naudio: {{device: '{server.url}'}}\nmqtt: {{port: 1}}\n")
        words = [sys.executable, "-c", WATCHED, "run", "--config", "c.yaml"]
        with subprocess.Popen(
            words,
            cwd=sirend.folder,
            env=sirend.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as daemon:
            assert daemon.stderr is not None
            while "the first window is scored" not in daemon.stderr.readline():
                assert daemon.poll() is None
            server.send(signal.SIGSTOP)  # what the decoder waits for comes after 3 s at the earliest
            began_s = time.monotonic()
            daemon.terminate()
            out, _ = daemon.communicate(timeout=60.0)
            took_s = time.monotonic() - began_s
        server.send(signal.SIGCONT)
        tried = subprocess.run(
            [sys.executable, "-c", WATCHED, "devices", server.url],
            cwd=sirend.folder,
            env=sirend.variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=60.0,
        )
    assert (daemon.returncode, out) == (0, "")
    assert took_s < 3.0
    assert tried.returncode == 0
    assert tried.stdout.splitlines()[-1] == "taken down beside []"
