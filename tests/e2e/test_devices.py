"""Two microphones at one junction: two sound devices, whose clocks are their own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.e2e.conftest import PulseAudio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import TypeAlias

    from tests.conftest import Broker, Subscriber
    from tests.e2e.conftest import Daemon

    Run: TypeAlias = Callable[[str, Mapping[str, str]], Daemon]

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
ROOT = "sirend/main-5th"
CONFIGURATION = """
site: main-5th
audio: {{device: west-mic, stall_s: 2}}
approaches:
  - {{name: west}}
  - {{name: east, device: east-mic}}
mqtt: {{port: {port}}}
"""


@pytest.fixture
def pulse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PulseAudio]:
    """Return a running sound server with two devices."""
    server = PulseAudio(tmp_path_factory.mktemp("pulse"), ["west-mic", "east-mic"])
    server.start()
    yield server
    server.hush()
    server.stop()


def health(subscriber: Subscriber, is_told: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait for health of which ``is_told`` is true; a busy machine may have more to complain of."""
    while True:
        report: dict[str, Any] = json.loads(subscriber.until(f"{ROOT}/health")[-1].payload)
        if is_told(report):
            return report


def both_heard(report: dict[str, Any]) -> bool:
    """Return whether both devices have been heard and none is lost."""
    return None not in report["levels_dbfs"].values() and not any("lost" in reason for reason in report["reasons"])


def event(subscriber: Subscriber, approach: str) -> tuple[str, str]:
    """Wait for the next event of an approach; nobody else may have one meanwhile."""
    received = subscriber.until(f"{ROOT}/{approach}/event")
    assert [each.topic for each in received if each.topic.endswith("/event")] == [f"{ROOT}/{approach}/event"]
    told = json.loads(received[-1].payload)
    return told["state"], told["reason"]


def test_each_is_heard_for_itself_and_one_that_is_lost_ends_only_its_own_calls(
    run: Run, pulse: PulseAudio, broker: Broker, drive_by: Path
) -> None:
    with broker.subscribe() as subscriber:
        daemon = run(CONFIGURATION.format(port=broker.port), pulse.environment)
        daemon.until_logged("the first window is scored")
        pulse.play(drive_by, "east-mic")
        assert event(subscriber, "east") == ("approaching", "siren")
        pulse.suspend("east-mic", yes=True)
        assert event(subscriber, "east") == ("clear", "input_lost")
        report = health(subscriber, lambda report: "east-mic: input lost: stalled" in report["reasons"])
        assert report["state"] == "degraded"
        pulse.hush()
        pulse.play(drive_by, "west-mic")
        assert event(subscriber, "west") == ("approaching", "siren")
        pulse.suspend("east-mic", yes=False)
        health(subscriber, both_heard)
        assert daemon.stop() == 0
        assert event(subscriber, "west") == ("clear", "shutdown")
    assert "microphone 'east-mic': opened again" in daemon.log.read_text()


def test_one_that_is_missing_at_the_start_is_waited_for_while_the_other_is_heard(
    run: Run, pulse: PulseAudio, broker: Broker, drive_by: Path
) -> None:
    pulse.unplug("west-mic")
    with broker.subscribe() as subscriber:
        daemon = run(CONFIGURATION.format(port=broker.port), pulse.environment)
        report = health(subscriber, lambda report: "west-mic: input lost: device_lost" in report["reasons"])
        assert (report["state"], report["levels_dbfs"]["west"]) == ("degraded", None)
        daemon.until_logged("the first window is scored")
        pulse.play(drive_by, "east-mic")
        assert event(subscriber, "east") == ("approaching", "siren")
        pulse.plug("west-mic")
        health(subscriber, both_heard)
        assert daemon.stop() == 0
