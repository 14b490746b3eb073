"""The daemon with a network microphone: a real RTSP server that a simulated drive-by is fed to."""

from __future__ import annotations

import json
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
