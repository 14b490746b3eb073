"""The broker as the distributed engine: districts bridged to a centre, whose readers share the work."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.transitions import CALL

from sirend.call.clock import LiveClock
from sirend.call.scribe import Scribe
from sirend.call.state import CallState, Reason
from sirend.client import Consumer, Fault, Keyring, Subscription, Topics
from sirend.config.settings import MqttConfig
from sirend.publish.mqtt.backoff import Backoff
from sirend.publish.mqtt.publisher import Mqtt

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Broker

pytestmark = pytest.mark.system
PATIENCE_S = 60.0
KEY = b"0123456789abcdef"
QUICK = Backoff(first_s=0.02, cap_s=0.1)


def scribe(site: str) -> Scribe:
    clock = LiveClock(arrived=lambda: 0)
    return Scribe(site=site, boot_id="b", mode="live", model="m", clock=clock, valid_for_s=30.0, sign_key=KEY)


def wait(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def test_a_bridge_carries_signed_calls_to_the_centre_and_its_loss_stops_nothing(
    make_broker: Callable[..., Broker],
) -> None:
    centre = make_broker()
    centre.start()
    district = make_broker(
        "allow_anonymous true",
        "connection centre",
        f"address 127.0.0.1:{centre.port}",
        "bridge_protocol_version mqttv50",
        "restart_timeout 1",
        "notifications false",
        "topic sirend/# out 1",
        "topic sirend/+/+/ack in 1",
    )
    district.start()

    def follow(broker: Broker) -> tuple[Consumer, Subscription]:
        consumer = Consumer(Topics("sirend", "s"), ["main"], Keyring.of(KEY))
        return consumer, Subscription(MqttConfig(port=broker.port), consumer, backoff=QUICK)

    (near, at_district), (far, at_centre) = follow(district), follow(centre)
    by = scribe("s")
    with at_district, at_centre, Mqtt(MqttConfig(port=district.port), "s", ["main"], backoff=QUICK) as site:
        site.publish(by.write(CALL))
        wait(lambda: at_district.effective()[0].is_active)
        wait(lambda: at_centre.effective()[0].is_active)
        with district.subscribe("sirend/+/+/ack") as controller:
            wait(lambda: at_centre.is_connected)
            at_centre.publish("sirend/s/main/ack", b"seen", 5.0)
            assert controller.next().payload == "seen"
        centre.kill()
        site.publish(by.write(replace(CALL, state=CallState.CLEAR, reason=Reason.QUIET)))
        wait(lambda: at_district.effective()[0].reason == "quiet")
    assert near.refused == {}
    assert set(far.refused) <= {Fault.REPLAYED}  # QoS 1 over a bridge: a statement may come twice, and counts once


def test_a_shared_subscription_gives_each_event_to_one_reader(broker: Broker) -> None:
    shared = "$share/centre/sirend/+/+/event"
    with broker.subscribe(shared) as one, broker.subscribe(shared) as two:
        for number in range(10):
            with Mqtt(MqttConfig(port=broker.port), f"s{number}", ["main"], backoff=QUICK) as site:
                site.publish(scribe(f"s{number}").write(CALL))
        wait(lambda: one.waiting + two.waiting >= 10)
        time.sleep(0.2)
        assert one.waiting + two.waiting == 10
        assert min(one.waiting, two.waiting) >= 1
