"""What the live daemon takes with everything switched on and strangers at every port, against what its unit grants."""

from __future__ import annotations

import configparser
import http.client
import json
import socket
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.conftest import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.conftest import Broker
    from tests.e2e.conftest import Daemon, PulseAudio

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
UNIT = Path(__file__).parents[2] / "systemd" / "sirend.service"
STATE = "sirend/main-5th/main/emergency"
IDLE = 300


def granted(key: str) -> int:
    """Return a number of the unit, in MB where it is a size."""
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(UNIT.read_text())
    return int(unit["Service"][key].rstrip("M"))


def descendants(pid: int) -> list[int]:
    """Return a process and those that it started."""
    found = [pid]
    with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += descendants(int(child))
    return found


def told(pid: int, file: str, key: str) -> int:
    """Return a number that the kernel tells of a process; 0 when it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1])
    return 0


def test_everything_at_once_stays_within_what_the_unit_grants(
    pulse: PulseAudio, broker: Broker, drive_by: Path, run: Callable[[str, Mapping[str, str]], Daemon]
) -> None:
    web, metrics = free_port(), free_port()
    limits = {"PYTHONDONTWRITEBYTECODE": "1"}
    with broker.subscribe(STATE) as subscriber, ExitStack() as idle:
        daemon = run(
            f"site: main-5th\nmqtt: {{port: {broker.port}}}\njournal: {{path: journal.jsonl}}\n"
            f"web: {{enabled: true, port: {web}}}\nmetrics: {{enabled: true, port: {metrics}}}\n"
            "clips: {enabled: true, path: clips}\n",
            {**pulse.environment, **limits},
        )
        daemon.until_logged("the first window is scored")
        for port in (web, metrics):
            for _ in range(IDLE):
                idle.enter_context(socket.create_connection(("127.0.0.1", port), 60.0))
        pulse.play(drive_by)
        while json.loads(subscriber.next().payload or "{}").get("state") != "approaching":
            pass
        with closing(http.client.HTTPConnection("127.0.0.1", web, timeout=60.0)) as page:
            page.request("POST", "/api/selftest", headers={"Content-Length": "0"})
            assert page.getresponse().status == 202
        most: dict[str, int] = {"tasks": 0, "MB, daemon": 0, "MB, all": 0, "descriptors": 0}
        until = time.monotonic() + 25.0
        while time.monotonic() < until:
            processes = descendants(daemon.pid)
            shared_kb = [told(pid, "smaps_rollup", "Pss") for pid in processes]  # what several share, in parts
            now = {
                "tasks": sum(told(pid, "status", "Threads") for pid in processes),
                "MB, daemon": shared_kb[0] // 1_000,
                "MB, all": sum(shared_kb) // 1_000,
                "descriptors": len(list(Path(f"/proc/{daemon.pid}/fd").iterdir())),
            }
            most = {key: max(most[key], now[key]) for key in most}
            time.sleep(0.1)
        assert daemon.stop() == 0
    print(most)  # noqa: T201  for whoever sets the bounds
    assert most["tasks"] <= granted("TasksMax") * 3 // 4
    assert most["MB, all"] <= granted("MemoryHigh")
    assert most["descriptors"] <= granted("LimitNOFILE") // 2
