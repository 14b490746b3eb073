"""The live daemon on a disk that takes seconds for everything, with a log that nobody reads."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from tests.e2e.conftest import Command

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Broker
    from tests.e2e.conftest import PulseAudio

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
STATE = "sirend/main-5th/main/emergency"
SLOW_S = 6.0
SLOW_DISK = f"""
import os, time
fsync = os.fsync
def slow(handle):
    time.sleep({SLOW_S})
    fsync(handle)
os.fsync = slow
"""


def full_pipe() -> tuple[int, int]:
    """Return the ends of a pipe that takes nothing more; its writers wait."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"." * 4_096)
    except BlockingIOError:
        os.set_blocking(writing, True)
    return reading, writing


def test_neither_a_slow_disk_nor_a_log_that_nobody_reads_holds_up_a_call(
    sirend: Command, pulse: PulseAudio, broker: Broker, drive_by: Path
) -> None:
    (sirend.folder / "sitecustomize.py").write_text(SLOW_DISK)
    (sirend.folder / "sirend.yaml").write_text(
        f"site: main-5th\nmqtt: {{port: {broker.port}}}\njournal: {{path: journal.jsonl}}\n"
    )
    slow = Command(sirend.folder, {**pulse.environment, "PYTHONPATH": str(sirend.folder)})
    reading, writing = full_pipe()
    words = [*slow.words, "run", "--config", "sirend.yaml"]
    states: list[tuple[float, str]] = []
    with (
        broker.subscribe(STATE) as subscriber,
        subprocess.Popen(words, cwd=slow.folder, env=slow.variables, stderr=writing) as process,
    ):
        try:
            while not subscriber.next().payload:
                pass
            pulse.play(drive_by)
            while not states or states[-1][1] != "clear":
                state = json.loads(subscriber.next().payload)["state"]
                states.append((time.monotonic(), state))
            process.send_signal(signal.SIGTERM)
            assert process.wait(60.0) == 0
        finally:
            process.kill()
            os.close(reading)
            os.close(writing)
    assert len(states) > SLOW_S + 1
    pauses = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(states)]
    assert max(pauses) < 3.0  # 1 s where nothing else runs, and a state is valid for 5
    journal = (sirend.folder / "journal.jsonl").read_text().splitlines()
    assert [json.loads(line)["state"] for line in journal] == ["approaching", "clear"]
