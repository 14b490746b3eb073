"""The live daemon: PulseAudio plays, PortAudio records, mosquitto delivers."""

from __future__ import annotations

import json
import signal
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jsonschema
import numpy as np
import pytest
import soundfile

from sirend.audio.stream import to_samples
from sirend.call import schemas
from sirend.config.settings import DetectConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import TypeAlias

    from tests.conftest import Broker, Received, Subscriber
    from tests.e2e.conftest import Command, Daemon, PulseAudio

    Run: TypeAlias = Callable[[str, Mapping[str, str]], Daemon]

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
ROOT = "sirend/main-5th"
HOP = to_samples(DetectConfig().hop_s)
"""Events lie that far apart, or multiples of it."""


def configuration(port: int, stall_s: float = 5.0) -> str:
    return f"site: main-5th\naudio: {{stall_s: {stall_s}}}\nmqtt: {{port: {port}}}\njournal: {{path: journal.jsonl}}\n"


def payloads(received: list[Received], topic: str) -> list[dict[str, Any]]:
    return [json.loads(message.payload) for message in received if message.topic == topic and message.payload]


def test_a_siren_in_the_microphone_calls_as_a_replay_of_it_does(  # noqa: PLR0913, PLR0917  all that is real
    sirend: Command, run: Run, pulse: PulseAudio, broker: Broker, loud_drive_by: Path, tmp_path: Path
) -> None:
    placed = _placed(loud_drive_by, tmp_path)
    replayed = [json.loads(line) for line in sirend("replay", *placed).stdout.splitlines()]
    assert [event["state"] for event in replayed] == ["approaching", "clear"] * len(placed)
    with broker.subscribe() as subscriber:
        daemon = run(configuration(broker.port), pulse.environment)
        opening = subscriber.until(f"{ROOT}/main/emergency")
        while not opening[-1].payload:
            opening += subscriber.until(f"{ROOT}/main/emergency")
        assert json.loads(opening[-1].payload)["state"] == "clear"
        pulse.play(loud_drive_by)
        received = subscriber.until(f"{ROOT}/main/event")
        received += subscriber.until(f"{ROOT}/main/event")
        assert daemon.stop() == 0
        ending = subscriber.until(f"{ROOT}/availability", "offline")
    live = payloads(received, f"{ROOT}/main/event")
    assert [event["state"] for event in live] == ["approaching", "clear"]
    assert live[1]["reason"] in ("quiet", "departed")
    lasted = [end["sample"] - begin["sample"] for begin, end in zip(replayed[::2], replayed[1::2], strict=True)]
    assert min(lasted) - HOP <= live[1]["sample"] - live[0]["sample"] <= max(lasted) + HOP
    for event in live:
        jsonschema.validate(event, schemas.event_schema())
        assert event["mode"] == "live"
    states = payloads(received, f"{ROOT}/main/emergency")
    assert [state["state"] for state in states] == ["approaching"] * (len(states) - 1) + ["clear"]
    assert len(states) - 1 == pytest.approx((live[1]["sample"] - live[0]["sample"]) / 16_000, abs=1.0)
    health = payloads(opening + received + ending, f"{ROOT}/health")
    for report in health:
        jsonschema.validate(report, schemas.health_schema())
    assert "ok" in {report["state"] for report in health}
    assert (health[-1]["state"], health[-1]["reasons"]) == ("failed", ["stopped"])
    assert [json.loads(line) for line in (sirend.folder / "journal.jsonl").read_text().splitlines()] == live


def _placed(recording: Path, folder: Path) -> list[Path]:
    """Return ``recording`` after 3 s of a quiet room and a part of the half second from which the network counts.

    Patches end at multiples of that, counted from the stream's first sample: where a sound lies between them decides by
    up to a hop or two when it is called, and when it ends. Nobody knows where the live one lies: of 64 places the call
    lasts 21.75 s in 6, 22 s in 44, 22.25 s in 13 and 21.5 s in one, so eight of them may miss a hop on either side.
    """
    pcm, rate_hz = soundfile.read(recording, dtype="float32")
    out = []
    for part in range(8):
        room = 3e-4 * np.random.default_rng(part).standard_normal(3 * rate_hz + part * rate_hz // 16)
        out.append(folder / f"placed-{part}.wav")
        soundfile.write(out[-1], np.concatenate((room.astype(np.float32), pcm)), rate_hz, subtype="FLOAT")
    return out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_clears_the_standing_call_and_says_offline(
    run: Run, pulse: PulseAudio, broker: Broker, drive_by: Path, number: signal.Signals
) -> None:
    with broker.subscribe() as subscriber:
        daemon = run(configuration(broker.port), pulse.environment)
        daemon.until_logged("the first window is scored")
        pulse.play(drive_by)
        assert json.loads(subscriber.until(f"{ROOT}/main/event")[-1].payload)["state"] == "approaching"
        assert daemon.stop(number) == 0
        received = subscriber.until(f"{ROOT}/availability", "offline")
    (cleared,) = payloads(received, f"{ROOT}/main/event")
    assert (cleared["state"], cleared["reason"]) == ("clear", "shutdown")
    assert payloads(received, f"{ROOT}/main/emergency")[-1]["event_id"] == cleared["event_id"]


def test_a_stalled_input_clears_the_call_and_comes_back(
    run: Run, pulse: PulseAudio, broker: Broker, drive_by: Path
) -> None:
    with broker.subscribe() as subscriber:
        daemon = run(configuration(broker.port, stall_s=3.0), pulse.environment)
        daemon.until_logged("the first window is scored")
        pulse.play(drive_by)
        assert json.loads(subscriber.until(f"{ROOT}/main/event")[-1].payload)["state"] == "approaching"
        pulse.suspend(yes=True)
        received = subscriber.until(f"{ROOT}/main/event")
        cleared = json.loads(received[-1].payload)
        assert (cleared["state"], cleared["reason"]) == ("clear", "input_lost")
        report = json.loads(subscriber.until(f"{ROOT}/health")[-1].payload)
        while "input lost: stalled" not in report["reasons"]:
            report = json.loads(subscriber.until(f"{ROOT}/health")[-1].payload)
        assert report["state"] == "failed"
        pulse.hush()
        pulse.suspend(yes=False)
        while report["state"] != "ok":
            report = json.loads(subscriber.until(f"{ROOT}/health")[-1].payload)
        assert report["gaps"] >= 1
        assert daemon.stop() == 0


def until_reasons(subscriber: Subscriber, *reasons: str) -> dict[str, Any]:
    """Return the first health message with these reasons and no others."""
    report: dict[str, Any] = {}
    while report.get("reasons") != list(reasons):
        report = json.loads(subscriber.until(f"{ROOT}/health")[-1].payload)
    return report


def test_a_microphone_that_is_unplugged_is_told_at_once_and_is_back_without_a_restart(
    run: Run, pulse: PulseAudio, broker: Broker
) -> None:
    with broker.subscribe(f"{ROOT}/health") as subscriber:
        daemon = run(configuration(broker.port), pulse.environment)
        boot_id = until_reasons(subscriber)["boot_id"]
        began = time.monotonic()
        pulse.unplug()
        report = json.loads(subscriber.next().payload)
        while report["state"] != "failed":
            report = json.loads(subscriber.next().payload)
        assert time.monotonic() - began < 10.0  # under 5 s where nothing else runs
        assert report["reasons"][0] in ("no samples arrive", "the device is gone")
        daemon.until_logged("microphone: still lost")
        pulse.plug()
        report = until_reasons(subscriber)
        assert report["boot_id"] == boot_id
        assert report["gaps"] >= 1
        assert daemon.stop() == 0


@pytest.mark.parametrize("form", ["rate=48000 channels=2 format=s16le", "rate=44100 channels=1 format=s16le"])
def test_a_microphone_that_comes_back_at_another_rate_is_heard_as_before(
    run: Run, pulse: PulseAudio, broker: Broker, drive_by: Path, form: str
) -> None:
    """Another make in the same socket, or a sound server that was set up anew: a siren must keep its pitch."""
    with broker.subscribe(f"{ROOT}/health", f"{ROOT}/main/event") as subscriber:
        daemon = run(configuration(broker.port), pulse.environment)
        until_reasons(subscriber)
        pulse.unplug()
        daemon.until_logged("microphone: still lost")
        pulse.plug(form=form)
        until_reasons(subscriber)
        pulse.play(drive_by)
        call = json.loads(subscriber.until(f"{ROOT}/main/event")[-1].payload)
        assert call["state"] == "approaching"
        assert daemon.stop() == 0


def test_digital_silence_is_told_and_the_ear_stays_open(run: Run, pulse: PulseAudio, broker: Broker) -> None:
    silence = "main: digital silence, the microphone is dead or off"
    with broker.subscribe(f"{ROOT}/health") as subscriber:
        daemon = run(configuration(broker.port), pulse.environment)
        until_reasons(subscriber)
        began = time.monotonic()
        pulse.still()
        report = json.loads(subscriber.next().payload)
        while silence not in report["reasons"]:
            report = json.loads(subscriber.next().payload)
        assert time.monotonic() - began < 10.0  # under 5 s where nothing else runs
        assert report["state"] == "failed"
        pulse.murmur()
        until_reasons(subscriber)
        assert daemon.stop() == 0


def test_a_sound_server_that_dies_is_waited_for(run: Run, pulse: PulseAudio, broker: Broker) -> None:
    with broker.subscribe() as subscriber:
        daemon = run(configuration(broker.port), pulse.environment)
        daemon.until_logged("the first window is scored")
        pulse.stop()
        daemon.until_logged("still lost: there is no audio input")
        pulse.start()
        daemon.until_logged("microphone: opened again")
        report = json.loads(subscriber.until(f"{ROOT}/health")[-1].payload)
        while report["state"] != "ok" or not report["gaps"]:
            report = json.loads(subscriber.until(f"{ROOT}/health")[-1].payload)
        assert daemon.stop() == 0


def test_a_broker_that_comes_late_is_waited_for(run: Run, pulse: PulseAudio, make_broker: Callable[[], Broker]) -> None:
    broker = make_broker()
    daemon = run(configuration(broker.port), pulse.environment)
    daemon.until_logged(
        f"sirend: warning: MQTT broker 127.0.0.1:{broker.port}: cannot be reached: Connection refused; "
        "trying again until it works"
    )
    daemon.until_logged("the first window is scored")
    broker.start()
    with broker.subscribe() as subscriber:
        report = json.loads(subscriber.until(f"{ROOT}/health")[-1].payload)
        while report["state"] != "ok":
            report = json.loads(subscriber.until(f"{ROOT}/health")[-1].payload)
        assert daemon.stop() == 0
        subscriber.until(f"{ROOT}/availability", "offline")


def test_systemd_is_told_of_readiness_life_and_the_end(
    run: Run, pulse: PulseAudio, broker: Broker, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(120.0)
        environment = {**pulse.environment, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        daemon = run(configuration(broker.port), environment)
        said = [manager.recv(4_096).decode()]
        while said[-1] != "WATCHDOG=1":
            said.append(manager.recv(4_096).decode())
        assert said[0] == "READY=1\nSTATUS=listening"
        assert daemon.stop() == 0
        while said[-1] != "STOPPING=1":
            said.append(manager.recv(4_096).decode())
        assert manager.recv(4_096).decode() == "STATUS=failed; stopped"
    assert any(status.startswith("STATUS=degraded; no window scored yet") for status in said)


def test_without_an_input_the_daemon_says_so_and_leaves_health_behind(
    run: Run, broker: Broker, tmp_path: Path, pulse: PulseAudio
) -> None:
    nowhere = {**pulse.environment, "PULSE_SERVER": f"unix:{tmp_path / 'nowhere'}"}
    with broker.subscribe() as subscriber:
        daemon = run(configuration(broker.port), nowhere)
        assert daemon.wait() == 69
        report = json.loads(subscriber.until(f"{ROOT}/health")[-1].payload)
    problem = "there is no audio input; PortAudio finds no device at all: connect a microphone, see `arecord -l`"
    assert daemon.log.read_text().splitlines()[-1] == f"sirend: error: {problem}"
    assert (report["state"], report["reasons"][0]) == ("failed", problem)


def test_devices_are_listed_with_their_names(sirend: Command, pulse: PulseAudio) -> None:
    listed = replace(sirend, environment=pulse.environment)("devices")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout == "'default': 32 channels, 44100 Hz\n"


def test_an_unknown_device_is_answered_with_those_there_are(run: Run, pulse: PulseAudio, broker: Broker) -> None:
    daemon = run(f"site: main-5th\naudio: {{device: webcam}}\nmqtt: {{port: {broker.port}}}\n", pulse.environment)
    assert daemon.wait() == 69  # it may not have been enumerated yet: systemd tries again
    assert daemon.log.read_text().splitlines()[-1] == (
        "sirend: error: audio.device 'webcam' fits no input; there are 'default': plug it in, or choose one of these"
    )


def test_a_missing_portaudio_is_told_by_run_and_not_needed_by_replay(
    sirend: Command, run: Run, broker: Broker, drive_by: Path
) -> None:
    fake = sirend.folder / "fake"
    fake.mkdir()
    (fake / "sounddevice.py").write_text('raise OSError("PortAudio library not found")\n')
    without = {"PYTHONPATH": str(fake)}
    daemon = run(configuration(broker.port), without)
    assert daemon.wait() == 69
    assert daemon.log.read_text().splitlines()[-1] == (
        "sirend: error: cannot load PortAudio (PortAudio library not found): sudo apt-get install libportaudio2"
    )
    replayed = replace(sirend, environment=without)("replay", drive_by)
    assert (replayed.returncode, replayed.stderr) == (0, "")
    assert len(replayed.stdout.splitlines()) == 2
