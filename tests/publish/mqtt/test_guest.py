from __future__ import annotations

import json
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from sirend.audio.stream import Samples
from sirend.call.event import Event
from sirend.call.state import CallState, Reason
from sirend.config.settings import MqttConfig
from sirend.detect.motion import Motion
from sirend.errors import DeviceError
from sirend.publish.mqtt import guest as delivery
from sirend.publish.mqtt.guest import Delivery

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

pytestmark = pytest.mark.system
START = datetime(1970, 1, 1, tzinfo=UTC)


def event(seq: int) -> Event:
    return Event(
        site="main-5th",
        approach="main",
        state=CallState.APPROACHING if seq % 2 else CallState.CLEAR,
        event_id=str(seq),
        boot_id="replay",
        seq=seq,
        at=START,
        onset_at=START,
        sample=Samples(0),
        confidence=0.9,
        motion=Motion.UNKNOWN,
        level_dbfs=-30.0,
        reason=Reason.SIREN if seq % 2 else Reason.QUIET,
        valid_until=START + timedelta(seconds=60.0),
        mode="replay",
        model="siren-9.9.9@0123456789ab",
    )


def test_more_events_than_the_outbox_holds_all_arrive(broker: Any) -> None:  # noqa: ANN401
    config = MqttConfig(port=broker.port)
    with broker.subscribe("sirend/main-5th/main/event") as subscriber:
        with Delivery(config, "main-5th", ["main"]) as sink:
            for seq in range(1, 601):
                sink.publish(event(seq))
        received = subscriber.take(600)
    assert [json.loads(message.payload)["seq"] for message in received] == list(range(1, 601))


def test_a_replay_leaves_the_running_daemon_connected(broker: Any) -> None:  # noqa: ANN401
    with (
        Delivery(MqttConfig(port=broker.port, client_id="box-7"), "main-5th", ["main"]),
        Delivery(MqttConfig(port=broker.port), "main-5th", ["main"]),
    ):
        pass
    assert " as box-7-replay " in broker.log
    assert " as sirend-main-5th-replay " in broker.log


def test_a_replay_touches_nothing_that_a_live_daemon_says(broker: Any) -> None:  # noqa: ANN401
    with broker.subscribe() as subscriber:
        subscriber.publish("sirend/main-5th/availability", "online", retain=True)
        subscriber.publish("sirend/main-5th/main/emergency", '{"state":"approaching"}', retain=True)
        with Delivery(MqttConfig(port=broker.port), "main-5th", ["main"]) as sink:
            sink.publish(event(1))
            sink.publish(replace(event(1), refresh=True))
            sink.publish(event(2))
        subscriber.publish("end", "")
        received = [(message.topic, message.payload) for message in subscriber.until("end")]
    assert received[:2] == [
        ("sirend/main-5th/availability", "online"),
        ("sirend/main-5th/main/emergency", '{"state":"approaching"}'),
    ]
    assert [topic for topic, _ in received[2:]] == ["sirend/main-5th/main/event"] * 2 + ["end"]
    assert [json.loads(payload)["mode"] for _, payload in received[2:4]] == ["replay", "replay"]
    assert "Will message specified" not in broker.log


def test_an_absent_broker_is_told_at_the_start(make_broker: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "PATIENCE_S", 1.0)
    port = make_broker().port
    with pytest.raises(DeviceError) as caught, Delivery(MqttConfig(port=port), "main-5th", ["main"]):
        pass
    assert str(caught.value) == (
        f"MQTT broker 127.0.0.1:{port}: cannot be reached: Connection refused; "
        "start it, or correct mqtt in the configuration"
    )


def test_what_was_not_delivered_is_told_at_the_end(broker: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    monkeypatch.setattr(delivery, "PATIENCE_S", 1.0)
    sink = Delivery(MqttConfig(port=broker.port), "main-5th", ["main"])
    sink.__enter__()
    broker.signal(signal.SIGSTOP)
    for seq in range(1, 31):
        sink.publish(event(seq))
    with pytest.raises(DeviceError, match=r"messages not delivered: 30; try again when it takes them$"):
        sink.__exit__(None, None, None)
