"""The live daemon while it is reconfigured, starved of the processor, and held up: nothing is lost in silence."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import TypeAlias

    from tests.conftest import Broker, Subscriber
    from tests.e2e.conftest import Daemon, PulseAudio

    Run: TypeAlias = Callable[[str, Mapping[str, str]], Daemon]

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
TOPIC = "sirend/main-5th"
LEGS = ("north", "east", "south", "west")
WINDOWS_HZ = 4
"""A window holds all approaches of the device and counts once."""
LOADED_S = 5.0
FROZEN_S = 14.0
"""The drive-by is loud by then."""
HELD_UP_S = 6.0
"""Longer than what the ring holds, 4 s."""
UNTIL_TOLD_S = 120.0
"""Long after the first report, on a slow machine."""
LATE_S = 1.0
"""So much may be on its way; what is missing beyond it, and stays so, has been lost."""
BUFFERED_S = 8.0
"""The ring, two hops, and what PortAudio and the sound server hold: later than this, samples are lost, not late."""


def events_until(subscriber: Subscriber, state: str) -> dict[str, Any]:
    """Return the next event of this state."""
    event: dict[str, Any] = {}
    while event.get("state") != state:
        event = json.loads(subscriber.until(f"{TOPIC}/main/event")[-1].payload)
    return event


def report(subscriber: Subscriber, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return the next health message that is as wanted."""
    while True:
        found: dict[str, Any] = json.loads(subscriber.until(f"{TOPIC}/health")[-1].payload)
        if wanted(found):
            return found


def complains(found: dict[str, Any]) -> bool:
    """Return whether a health message speaks of a wrong configuration."""
    return "the configuration file is wrong; the one before it is in force" in found["reasons"]


def tells_of_loss(found: dict[str, Any]) -> bool:
    """Return whether a health message says that samples are missing or late."""
    told = ("dropped", "cannot keep up", "fewer samples", "no samples arrive", "input lost")
    return found["state"] != "ok" and any(word in reason for reason in found["reasons"] for word in told)


def missing_s(first: dict[str, Any], found: dict[str, Any]) -> float:
    """Return how much less was scored than time has passed between two health messages."""
    scored_s = (found["windows_scored"] - first["windows_scored"]) / WINDOWS_HZ
    return float(found["uptime_s"] - first["uptime_s"] - scored_s)


def caught_up(first: dict[str, Any], found: dict[str, Any]) -> bool:
    """Return whether a health message was made after the daemon was held up, and nothing is missing in it."""
    is_after = found["uptime_s"] > first["uptime_s"] + LOADED_S + HELD_UP_S
    return is_after and missing_s(first, found) < LATE_S


def test_a_hang_up_changes_a_standing_call_and_a_wrong_file_changes_nothing(
    run: Run, pulse: PulseAudio, broker: Broker, drive_by: Path
) -> None:
    mqtt = f"site: main-5th\nmqtt: {{port: {broker.port}}}\n"
    with broker.subscribe() as subscriber:
        daemon = run(mqtt, pulse.environment)
        daemon.until_logged("the first window is scored")
        pulse.play(drive_by)
        call = events_until(subscriber, "approaching")

        daemon.reload(
            f"site: main-5th\nmqtt: {{port: {broker.port}, keepalive_s: 30}}\n"
            "call: {min_duration_s: 1, max_presence_s: 5}\n"
        )
        cleared = events_until(subscriber, "clear")
        assert (cleared["reason"], cleared["boot_id"]) == ("max_presence", call["boot_id"])
        daemon.until_logged("configuration reloaded: call.min_duration_s, call.max_presence_s")
        daemon.until_logged("these need a restart to take effect: mqtt.keepalive_s")

        daemon.reload("site: main-5th\ncall: {max_presence_s: much}\n")
        daemon.until_logged("the configuration was not reloaded, the old one stays in force")
        report(subscriber, complains)
        daemon.reload(mqtt + "call: {min_duration_s: 1, max_presence_s: 30}\n")  # to leave one out is refused
        healthy = report(subscriber, lambda found: not complains(found))
        assert healthy["boot_id"] == call["boot_id"]
        assert daemon.stop() == 0


def test_four_channels_under_full_load_lose_nothing_in_silence(run: Run, pulse: PulseAudio, broker: Broker) -> None:
    approaches = ", ".join(f"{{name: {name}, channel: {channel}}}" for channel, name in enumerate(LEGS))
    configuration = (
        f"site: main-5th\naudio: {{channels: 4}}\napproaches: [{approaches}]\nmqtt: {{port: {broker.port}}}\n"
    )
    with broker.subscribe(f"{TOPIC}/health") as subscriber, ExitStack() as busy:
        daemon = run(configuration, pulse.environment)
        reports = [report(subscriber, lambda found: found["windows_scored"] > 0)]
        for _ in range(2 * (os.cpu_count() or 1)):
            burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            busy.callback(burner.wait)
            busy.callback(burner.kill)
        time.sleep(LOADED_S)
        # Held up for longer than its ring is long. What the sound server keeps of it comes late; the rest is lost.
        daemon.send(signal.SIGSTOP)
        time.sleep(HELD_UP_S)
        daemon.send(signal.SIGCONT)
        while not (tells_of_loss(reports[-1]) or caught_up(reports[0], reports[-1])):
            reports.append(report(subscriber, lambda _: True))
            assert reports[-1]["uptime_s"] < reports[0]["uptime_s"] + UNTIL_TOLD_S, reports
        assert daemon.stop() == 0
        reports.append(report(subscriber, lambda found: "stopped" in found["reasons"]))
    for found in reports:
        # A report that fell due while it was held up comes before what was lost meanwhile is counted.
        assert missing_s(reports[0], found) < BUFFERED_S + HELD_UP_S or tells_of_loss(found)


def test_a_siren_that_passed_while_the_process_was_frozen_is_not_called(
    run: Run, pulse: PulseAudio, broker: Broker, loud_drive_by: Path
) -> None:
    """The sound server had kept it, and it was called as of now, half a minute after it had passed."""
    with broker.subscribe(f"{TOPIC}/main/event") as subscriber:
        daemon = run(f"site: main-5th\nmqtt: {{port: {broker.port}}}\n", pulse.environment)
        daemon.until_logged("the first window is scored")
        daemon.send(signal.SIGSTOP)
        pulse.play(loud_drive_by)
        time.sleep(FROZEN_S)
        pulse.hush()
        daemon.send(signal.SIGCONT)
        # On waking, the worker may look before the device's thread has delivered: then nothing arrived for 5 s.
        daemon.until_logged("; opening it again")
        assert re.search("held up for .* what came meanwhile is old|nothing arrived for 5 s", daemon.log.read_text())
        daemon.until_logged("microphone: opened again")
        time.sleep(2.0)
        assert not subscriber.waiting
        pulse.play(loud_drive_by)
        assert events_until(subscriber, "approaching")["reason"] == "siren"
        assert daemon.stop() == 0
