from __future__ import annotations

import dataclasses
import json
import logging
import socket
import threading
import time
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
import pytest
from tests.bundles import MODEL

from sirend.audio import devices
from sirend.audio.microphone import POLL_S
from sirend.audio.stream import Block, Gap, GapReason, Samples
from sirend.call.clock import LiveClock
from sirend.config.geometry import KNOWN
from sirend.config.settings import (
    Approach,
    ArrayConfig,
    AudioConfig,
    CallConfig,
    Config,
    HomeAssistantConfig,
    Inhibit,
    MqttConfig,
)
from sirend.errors import ConfigError, DeviceError
from sirend.publish.mqtt.home_assistant import discovery
from sirend.publish.mqtt.session import Session
from sirend.service import daemon as service
from sirend.service import inputs
from sirend.service.daemon import Service
from sirend.service.limits_file import LimitsFile
from sirend.service.rereading import Rereading
from sirend.simulate import array_scene as simulated
from sirend.simulate.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    from tests.conftest import Broker, Received

    from sirend.detect.bundle import Bundle
    from sirend.detect.features import Spectrogram

ROOT = "sirend/main-5th"
DEAD = -1
"""A column of silence."""


class Siren:
    """A classifier that hears a siren in everything, until it breaks."""

    def __init__(self, _bundle: Bundle, approaches: int) -> None:
        self._approaches = approaches
        self._left = 20

    def score(self, _spectrogram: Spectrogram) -> npt.NDArray[np.float32]:
        self._left -= 1
        if not self._left:
            raise ZeroDivisionError("a bug")
        return np.full(self._approaches, 0.99, dtype=np.float32)


class FakeMicrophone:
    """A microphone that delivers 5 s of noise, then whatever the test wants; where it has a broker, once that is there.

    They take no time, and the daemon would be done before the broker has answered.
    """

    dropped = 0
    is_seeking = False
    problem = None
    notice = None
    uses_portaudio = True
    seconds = 5
    broker: Broker | None = None

    def __init__(self, then: list[Block | Gap], error: Exception | None = None) -> None:
        self._then = then
        self._error = error

    def try_out(self) -> Iterator[Block]:
        return iter(())

    def __enter__(self) -> Self:
        if self._error is not None:
            raise self._error
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def arrived(self) -> int:
        return 0

    def __iter__(self) -> Iterator[Block | Gap]:
        if self.broker is not None:
            with self.broker.subscribe(f"{ROOT}/availability") as reader:
                reader.until(f"{ROOT}/availability", "online")
        pcm = np.random.default_rng(1).standard_normal((16_000, 1)).astype(np.float32)
        for second in range(self.seconds):
            yield Block(Samples(second * 16_000), 0.1 * pcm)
        yield from self._then


def install(monkeypatch: pytest.MonkeyPatch, microphone: FakeMicrophone, broker: Broker | None = None) -> None:
    microphone.broker = broker
    monkeypatch.setattr(devices, "Microphone", lambda *_: microphone)
    monkeypatch.setattr(inputs, "Classifier", Siren)


def states(received: list[Received]) -> list[tuple[str, str]]:
    payloads = [json.loads(message.payload) for message in received if message.topic == f"{ROOT}/main/event"]
    return [(payload["state"], payload["reason"]) for payload in payloads]


def last_health(received: list[Received]) -> dict[str, Any]:
    payloads: list[dict[str, Any]] = [json.loads(each.payload) for each in received if each.topic == f"{ROOT}/health"]
    return payloads[-1]


def run(broker: Broker, error: type[Exception] | None = None) -> list[Received]:
    config = Config(mqtt=MqttConfig(port=broker.port))
    with broker.subscribe() as subscriber:
        with pytest.raises(error) if error else nullcontext():
            Service(config, MODEL, threading.Event()).run()
        return subscriber.until(f"{ROOT}/availability", "offline")


@pytest.mark.system
def test_an_input_that_ends_in_order_clears_with_shutdown(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeMicrophone([]), broker)
    received = run(broker)
    assert states(received) == [("approaching", "siren"), ("clear", "shutdown")]
    assert last_health(received)["reasons"] == ["stopped"]


@pytest.mark.system
def test_an_input_that_is_lost_clears_at_once(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeMicrophone([Gap(Samples(80_000), GapReason.STALLED)]), broker)
    received = run(broker)
    assert states(received) == [("approaching", "siren"), ("clear", "input_lost")]
    assert last_health(received)["reasons"] == ["stopped", "input lost: stalled"]


@pytest.mark.system
def test_a_bug_clears_the_call_before_it_ends_the_daemon(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    pcm = np.full((48_000, 1), 0.1, dtype=np.float32)
    install(monkeypatch, FakeMicrophone([Block(Samples(80_000), pcm)]), broker)
    received = run(broker, ZeroDivisionError)
    assert states(received) == [("approaching", "siren"), ("clear", "input_lost")]
    assert (last_health(received)["state"], last_health(received)["reasons"]) == ("failed", ["a bug"])


def test_the_daemon_does_not_outlive_the_thread_that_speaks_to_the_broker(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It listened and was well for ever, and nobody heard of a call."""

    def run_into_a_bug(_session: Session, wakened: socket.socket) -> None:
        wakened.close()
        raise SystemError("a bug")

    monkeypatch.setattr(Session, "_run", run_into_a_bug)
    monkeypatch.setattr(service, "POLL_S", 0.0)  # the fake microphone is done before the daemon would look again
    install(monkeypatch, FakeMicrophone([]))
    with pytest.raises(DeviceError, match="the thread that speaks to the broker has ended by a bug"):
        Service(Config(), MODEL, threading.Event()).run()
    assert "sirend-mqtt ended by a bug" in caplog.text


def test_the_daemon_does_not_outlive_it_where_it_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a library, in the system, or in a lock: it raises nothing, and nobody hears of a call."""
    is_over = threading.Event()

    def hang(_session: Session, wakened: socket.socket) -> None:
        with wakened:
            is_over.wait(60.0)

    monkeypatch.setattr(Session, "_run", hang)
    monkeypatch.setattr("sirend.publish.mqtt.session.HANGS_S", -1.0)  # the fake microphone is soon done
    monkeypatch.setattr(service, "POLL_S", 0.0)
    install(monkeypatch, FakeMicrophone([]))
    with pytest.raises(DeviceError, match="the thread that speaks to the broker hangs"):
        Service(Config(), MODEL, threading.Event()).run()
    is_over.set()


@pytest.mark.system
def test_a_missing_input_is_left_behind_as_health(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeMicrophone([], DeviceError("there is no audio input")))
    received = run(broker, DeviceError)
    assert states(received) == []
    assert last_health(received)["reasons"][:2] == ["there is no audio input", "no window scored yet"]


@dataclasses.dataclass
class Wall:
    """A wall clock that can be set, at first at 2001-09-09T01:46:40Z."""

    offset_s: float = 0.0
    began_s: float = dataclasses.field(default_factory=time.monotonic)

    def time(self) -> float:
        return time.monotonic() - self.began_s + 1e9 + self.offset_s

    def now(self, _zone: object = None) -> datetime:
        return datetime.fromtimestamp(self.time(), UTC)


class Stepping(FakeMicrophone):
    """A microphone beside which someone sets the clock, hours forth and back, while a siren sounds."""

    def __init__(self, wall: Wall) -> None:
        super().__init__([])
        self._wall = wall

    def __iter__(self) -> Iterator[Block | Gap]:
        for second, block in enumerate(super().__iter__()):
            self._wall.offset_s = {3: 10_800.0, 4: -7_200.0}.get(second, self._wall.offset_s)
            yield block


@pytest.mark.system
def test_a_clock_set_by_hours_neither_ends_nor_prolongs_a_call_and_is_counted(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall = Wall()
    install(monkeypatch, Stepping(wall))
    monkeypatch.setattr(service, "POLL_S", 0.0)  # its steps are between two items
    monkeypatch.setattr(
        "sirend.service.health.time",
        SimpleNamespace(time=wall.time, monotonic=time.monotonic, process_time=time.process_time),
    )
    monkeypatch.setattr("sirend.publish.mqtt.publisher.datetime", wall)
    monkeypatch.setattr(service, "LiveClock", lambda arrived: LiveClock(arrived, wall.now))
    received = run(broker)
    assert states(received) == [("approaching", "siren"), ("clear", "shutdown")]
    call, end = (json.loads(each.payload) for each in received if each.topic == f"{ROOT}/main/event")
    assert call["at"].startswith("2001-09-09T01:")
    span = datetime.fromisoformat(end["at"]) - datetime.fromisoformat(call["at"])
    assert span == pytest.approx(timedelta(hours=-2), abs=timedelta(seconds=60.0))
    assert last_health(received)["clock_steps"] == 2


class Asking(FakeMicrophone):
    """A microphone that asks for a new configuration, and begins when it has been read."""

    def __init__(self, rereading: Rereading) -> None:
        super().__init__([])
        self._rereading = rereading

    def __iter__(self) -> Iterator[Block | Gap]:
        self._rereading.ask()
        assert self._rereading._background.settle(60.0)  # noqa: SLF001
        return super().__iter__()


def reread(monkeypatch: pytest.MonkeyPatch, read: Callable[[], Config], port: int) -> Service:
    """Run a daemon that is asked to read its configuration again."""
    rereading = Rereading(read)
    install(monkeypatch, Asking(rereading))
    daemon = Service(Config(mqtt=MqttConfig(port=port)), MODEL, threading.Event(), rereading)
    daemon.run()
    assert rereading.take() is None
    return daemon


@pytest.mark.system
def test_a_new_configuration_is_taken_up_as_far_as_it_can_be(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    new = Config(
        mqtt=MqttConfig(port=broker.port, keepalive_s=30), call=CallConfig(max_calls_per_hour=1, inhibit=(Inhibit(),))
    )
    with broker.subscribe() as subscriber:
        reread(monkeypatch, lambda: new, broker.port)
        received = subscriber.until(f"{ROOT}/availability", "offline")
    assert states(received) == []  # a siren sounds, but calls are inhibited all day now
    assert "configuration reloaded: call.max_calls_per_hour, call.inhibit" in caplog.messages
    assert "these need a restart to take effect: mqtt.keepalive_s" in caplog.messages


@pytest.mark.system
@contextmanager
def manager(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Be the service manager; yield what it was told, which is complete when the block is left."""
    told: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ears:
        ears.bind(str(folder / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "notify"))

        def hear() -> None:
            while (said := ears.recv(4_096)) != b"over":
                told.append(said.decode())

        thread = threading.Thread(target=hear)
        thread.start()
        yield told
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"over", str(folder / "notify"))
        thread.join()


@pytest.mark.system
def test_a_wrong_new_configuration_changes_nothing_and_is_told(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def read() -> Config:
        raise ConfigError("sirend.yaml", ["site is 3"])

    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    with broker.subscribe() as subscriber, manager(tmp_path, monkeypatch) as told:
        reread(monkeypatch, read, broker.port)
        received = subscriber.until(f"{ROOT}/availability", "offline")
    assert (tmp_path / "reload").read_text().splitlines()[1:] == ["sirend.yaml: site is 3"]
    begun = next(text for text in told if text.startswith("RELOADING=1\nMONOTONIC_USEC="))
    assert 0 < int(begun.rpartition("=")[2]) < time.monotonic_ns() // 1000
    assert told[told.index(begun) + 1] == "READY=1"
    assert states(received) == [("approaching", "siren"), ("clear", "shutdown")]
    assert "the configuration file is wrong; the one before it is in force" in last_health(received)["reasons"]


@pytest.mark.system
def test_a_self_test_asked_for_on_the_page_is_told_on_its_topic_alone(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    microphone = FakeMicrophone([])
    install(monkeypatch, microphone)
    made: list[Service] = []

    class Proving(Service):
        def __init__(self, config: Config, model: Bundle, stop: threading.Event) -> None:
            super().__init__(config, model, stop)
            self._view.selftest = {"schema": "sirend/selftest/1", "passed": True}
            made.append(self)

    monkeypatch.setattr(f"{__name__}.Service", Proving)
    received = run(broker)
    assert len(made) == 1
    told = [(each.topic, each.retain) for each in received if "selftest/1" in each.payload]
    assert told == [(f"{ROOT}/selftest", True)]


class Told:
    """A service manager that remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def send(self, *assignments: str) -> None:
        self.said += assignments


def test_health_is_seen_to_every_tenth_of_a_second_and_not_at_each_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks come 50 times a second: it cost twice as much as to hear."""
    seen: list[float] = []
    keep = LimitsFile.keep

    def counted(limits: LimitsFile) -> None:
        seen.append(time.monotonic())
        keep(limits)

    monkeypatch.setattr(LimitsFile, "keep", counted)
    pcm = 0.1 * np.random.default_rng(1).standard_normal((320, 1)).astype(np.float32)
    microphone = FakeMicrophone([Block(Samples(start), pcm) for start in range(0, 80_000, 320)])
    microphone.seconds = 0
    install(monkeypatch, microphone)
    began = time.monotonic()
    Service(Config(mqtt=MqttConfig(port=1)), MODEL, threading.Event()).run()
    at_open_and_close = 2
    assert 1 <= len(seen) - at_open_and_close <= 1 + (time.monotonic() - began) / POLL_S


@pytest.mark.parametrize("is_seeking", [True, False])
def test_the_watchdog_is_fed_while_a_lost_input_is_sought_and_by_scores_but_not_by_mere_turns(
    monkeypatch: pytest.MonkeyPatch, *, is_seeking: bool
) -> None:
    nothing = Block(Samples(0), np.zeros((0, 1), dtype=np.float32))
    microphone = FakeMicrophone([nothing] * 7)
    microphone.is_seeking = is_seeking
    microphone.seconds = 0
    install(monkeypatch, microphone)
    manager = Told()
    monkeypatch.setattr(service, "Notifier", lambda: manager)
    monkeypatch.setattr(service, "POLL_S", 0.0)  # here items come faster than time passes
    Service(Config(mqtt=MqttConfig(port=1)), MODEL, threading.Event()).run()
    assert manager.said.count("WATCHDOG=1") == (7 if is_seeking else 0)
    microphone.seconds = 3
    microphone.is_seeking = False
    Service(Config(mqtt=MqttConfig(port=1)), MODEL, threading.Event()).run()
    assert manager.said.count("WATCHDOG=1") == (7 if is_seeking else 0) + 2


def test_of_several_devices_each_must_make_progress_before_the_watchdog_is_fed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = [FakeMicrophone([]), FakeMicrophone([])]
    for each in both:
        each.seconds = 0
    spare = iter(both)
    monkeypatch.setattr(devices, "Microphone", lambda *_: next(spare))
    monkeypatch.setattr(inputs, "Classifier", Siren)
    manager = Told()
    monkeypatch.setattr(service, "Notifier", lambda: manager)
    monkeypatch.setattr(service, "POLL_S", 0.0)  # here items come faster than time passes
    pcm = 0.1 * np.random.default_rng(1).standard_normal((64_000, 1)).astype(np.float32)
    second = [Block(Samples(start), pcm[start : start + 16_000]) for start in range(0, 64_000, 16_000)]
    fed = []

    def turns(_rig: object) -> Iterator[tuple[int, Block | Gap]]:
        for number, item in [(0, second[0]), (0, second[1]), (0, second[2]), (1, second[0]), (1, second[1])]:
            yield number, item
            fed.append(manager.said.count("WATCHDOG=1"))
        yield 0, second[3]
        fed.append(manager.said.count("WATCHDOG=1"))
        both[1].is_seeking = True
        yield 0, Block(Samples(64_000), pcm[:16_000])

    monkeypatch.setattr(devices.Devices, "__iter__", turns)
    approaches = (Approach("north"), Approach("south", device="usb:1-1"))
    Service(Config(mqtt=MqttConfig(port=1), approaches=approaches), MODEL, threading.Event()).run()
    # Device 0 scores alone until device 1 does too; and while device 1 is sought, it is not waited for.
    assert fed == [0, 0, 0, 0, 1, 1]
    assert manager.said.count("WATCHDOG=1") == 2


@pytest.mark.system
def test_home_assistant_is_told_where_it_is_enabled(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeMicrophone([]))
    config = Config(mqtt=MqttConfig(port=broker.port), home_assistant=HomeAssistantConfig(enabled=True))
    with broker.subscribe("homeassistant/#") as reader:
        Service(config, MODEL, threading.Event()).run()
        topics = [message.topic for message in reader.take(len(discovery(config)))]
    assert topics == list(discovery(config))


def test_a_key_that_cannot_be_read_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeMicrophone([]))
    mqtt = dataclasses.replace(MqttConfig(), sign_key_file=tmp_path / "key")
    with pytest.raises(ConfigError, match="the secret cannot be read: No such file or directory"):
        Service(Config(mqtt=mqtt), MODEL, threading.Event())


class ArrayMicrophone(FakeMicrophone):
    """An array that a siren passes, of which the test has ``broken`` something, for five seconds."""

    def __init__(self, broken: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]) -> None:
        super().__init__([])
        scene = Scene(siren="hilo", profile="de", start_m=120.0, speed_kmh=50.0, pass_m=4.0, snr_db=25.0, seed=2)
        pcm = simulated.render_at_array(scene, KNOWN["respeaker-4"], bearing_deg=10.0).pcm[32_000:112_000]
        self._pcm = broken(pcm)[:, :5]

    def __iter__(self) -> Iterator[Block | Gap]:
        for start in range(0, len(self._pcm), 8_000):
            yield Block(Samples(start), np.ascontiguousarray(self._pcm[start : start + 8_000]))


@pytest.mark.system
@pytest.mark.parametrize(
    ("columns", "said", "called"),
    [
        ([0, 1, 2, 3, 4, 5], None, "north"),
        ([0, 1, 2, DEAD, 4, 5], "the microphone in column 3 is silent", "main"),
        ([0, 2, 1, 3, 4, 5], "two channels swapped", "main"),
        ([1, 1, 1, 1, 1, 1], "as of a mono device", "main"),
    ],
)
def test_a_broken_array_is_named_within_five_seconds_of_a_siren_and_main_is_called(
    broker: Broker,
    monkeypatch: pytest.MonkeyPatch,
    columns: list[int],
    said: str | None,
    called: str,
) -> None:
    install(monkeypatch, ArrayMicrophone(lambda pcm: np.pad(pcm, ((0, 0), (0, 1)))[:, columns]))
    legs = tuple(
        Approach(name, bearing_deg=deg, width_deg=90.0)
        for name, deg in {"north": 0.0, "east": 90.0, "south": 180.0, "west": 270.0}.items()
    )
    config = Config(
        mqtt=MqttConfig(port=broker.port),
        audio=AudioConfig(channels=5),
        approaches=(*legs, Approach("main")),
        array=ArrayConfig(unknown_leg="main"),
    )
    with broker.subscribe() as subscriber:
        Service(config, MODEL, threading.Event()).run()
        received = subscriber.until(f"{ROOT}/availability", "offline")
    reasons = [each for each in last_health(received)["reasons"] if each.startswith("array: ")]
    assert [said in each for each in reasons] == [True] if said is not None else reasons == []
    events = [json.loads(each.payload) for each in received if each.topic.endswith("/event")]
    assert {event["approach"] for event in events if event["state"] == "approaching"} == {called}
