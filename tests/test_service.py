from __future__ import annotations

import dataclasses
import json
import os
import signal
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
import pytest

from sirend import service
from sirend.audio import Block, Gap, GapReason, Samples
from sirend.bundle import Bundle, Calibration, OperatingPoint
from sirend.errors import ConfigError, DeviceError
from sirend.features import Features, FeatureSpec
from sirend.home_assistant import discovery
from sirend.service import Service, stopping
from sirend.settings import Config, HomeAssistantConfig, MqttConfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from tests.conftest import Broker, Received

ROOT = "sirend/main-5th"
MODEL = Bundle(
    path=Path("models/siren-9.9.9"),
    name="siren-9.9.9@0123456789ab",
    feature_spec=FeatureSpec(),
    model_bytes=b"",
    operating=OperatingPoint(enter=0.6, exit=0.4, confirm_s=0.5, release_s=2.0),
    calibration=Calibration(scale=1.0, offset=0.0),
    hop_s=0.25,
    digest="0" * 64,
)


class Siren:
    """A classifier that hears a siren in everything, until it breaks."""

    def __init__(self, _bundle: Bundle, approaches: int) -> None:
        self._approaches = approaches
        self._left = 20

    def score(self, _features: Features) -> npt.NDArray[np.float32]:
        self._left -= 1
        if not self._left:
            raise ZeroDivisionError("a bug")
        return np.full(self._approaches, 0.99, dtype=np.float32)


class FakeMicrophone:
    """A microphone that delivers 5 s of noise, then whatever the test wants."""

    dropped = 0

    def __init__(self, then: list[Block | Gap], error: Exception | None = None) -> None:
        self._then = then
        self._error = error

    def __enter__(self) -> Self:
        if self._error is not None:
            raise self._error
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def arrived(self) -> int:
        return 0

    def __iter__(self) -> Iterator[Block | Gap]:
        pcm = np.random.default_rng(1).standard_normal((16_000, 1)).astype(np.float32)
        for second in range(5):
            yield Block(Samples(second * 16_000), 0.1 * pcm)
        yield from self._then


def install(monkeypatch: pytest.MonkeyPatch, microphone: FakeMicrophone) -> None:
    monkeypatch.setattr(service, "Microphone", lambda *_: microphone)
    monkeypatch.setattr(service, "Classifier", Siren)


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
    install(monkeypatch, FakeMicrophone([]))
    received = run(broker)
    assert states(received) == [("approaching", "siren"), ("clear", "shutdown")]
    assert last_health(received)["reasons"] == ["stopped"]


@pytest.mark.system
def test_an_input_that_is_lost_clears_at_once(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeMicrophone([Gap(Samples(80_000), GapReason.STALLED)]))
    received = run(broker)
    assert states(received) == [("approaching", "siren"), ("clear", "input_lost")]
    assert last_health(received)["reasons"] == ["stopped", "input lost: stalled"]


@pytest.mark.system
def test_a_bug_clears_the_call_before_it_ends_the_daemon(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    pcm = np.full((48_000, 1), 0.1, dtype=np.float32)
    install(monkeypatch, FakeMicrophone([Block(Samples(80_000), pcm)]))
    received = run(broker, ZeroDivisionError)
    assert states(received) == [("approaching", "siren"), ("clear", "input_lost")]
    assert (last_health(received)["state"], last_health(received)["reasons"]) == ("failed", ["a bug"])


@pytest.mark.system
def test_a_missing_input_is_left_behind_as_health(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeMicrophone([], DeviceError("there is no audio input")))
    received = run(broker, DeviceError)
    assert states(received) == []
    assert last_health(received)["reasons"][:2] == ["there is no audio input", "no window scored yet"]


@pytest.mark.system
def test_home_assistant_is_told_where_it_is_enabled(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeMicrophone([]))
    config = Config(mqtt=MqttConfig(port=broker.port), home_assistant=HomeAssistantConfig(enabled=True))
    with broker.subscribe("homeassistant/#") as reader:
        Service(config, MODEL, threading.Event()).run()
        topics = [message.topic for message in reader.take(3)]
    assert topics == list(discovery(config))


def test_a_key_that_cannot_be_read_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeMicrophone([]))
    mqtt = dataclasses.replace(MqttConfig(), sign_key_file=tmp_path / "key")
    with pytest.raises(ConfigError, match="the secret cannot be read: No such file or directory"):
        Service(Config(mqtt=mqtt), MODEL, threading.Event())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_being_told_to_end_sets_stop_and_nothing_else(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    stop = threading.Event()
    with stopping(stop):
        os.kill(os.getpid(), number)
        assert stop.wait(60.0)
    assert signal.getsignal(number) is before
