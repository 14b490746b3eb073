from __future__ import annotations

import json
import logging
import signal
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from tests.transitions import CALL, CLEAR

from sirend.call.clock import ReplayClock
from sirend.call.event import to_json
from sirend.call.scribe import Scribe
from sirend.client import Call, Consumer, Fault, Keyring, Moment, Subscription, Topics
from sirend.config.settings import MqttConfig
from sirend.publish.mqtt.backoff import Backoff
from sirend.publish.mqtt.bounded_client import Incoming
from sirend.publish.mqtt.stamp import Stamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Broker, Subscriber

pytestmark = pytest.mark.system
PATIENCE_S = 60.0
KEY = b"0123456789abcdef"
TOPICS = Topics("sirend", "s")
STATE = TOPICS.state("main")
QUICK = Backoff(first_s=0.02, cap_s=0.1)


def scribe(age_s: float = 0.0, boot_id: str = "b", valid_for_s: float = 30.0) -> Scribe:
    """Return a daemon that spoke ``age_s`` ago."""
    clock = ReplayClock(datetime.now(UTC) - timedelta(seconds=age_s))
    return Scribe(site="s", boot_id=boot_id, mode="live", model="m", clock=clock, valid_for_s=valid_for_s, sign_key=KEY)


def says(by: Scribe, state: str = "approaching") -> str:
    return to_json(by.write(CALL if state == "approaching" else CLEAR))


def follow(broker: Broker) -> tuple[Consumer, Subscription]:
    consumer = Consumer(TOPICS, ["main"], Keyring.of(KEY))
    return consumer, Subscription(MqttConfig(port=broker.port), consumer, backoff=QUICK)


def wait(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def after(subscription: Subscription, state: str) -> Call:
    """Return the next change to ``state``."""
    until = time.monotonic() + PATIENCE_S
    while True:
        for call in subscription.changes(0.1):
            if call.state == state:
                return call
        assert time.monotonic() < until, f"never {state}"


def stand(publisher: Subscriber, subscription: Subscription, by: Scribe) -> None:
    publisher.publish(TOPICS.availability, "online", retain=True)
    publisher.publish(STATE, says(by), retain=True)
    after(subscription, "approaching")


def pack(properties: dict[str, str]) -> bytes:
    """Return user properties of MQTT 5 as they come, with their length in front."""
    made = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    made.UserProperty = list(properties.items())
    return bytes(made.pack())  # type: ignore[no-untyped-call]


def tampered() -> str:
    return json.dumps({**json.loads(says(scribe())), "valid_until": "2099-01-01T00:00:00.000Z"})


def forged() -> str:
    return json.dumps({**json.loads(says(scribe())), "seq": 99})


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        (lambda: says(scribe(age_s=31.0)), Fault.STALE),
        (lambda: says(scribe(valid_for_s=90.0)), Fault.TOO_LONG),
        (tampered, Fault.TOO_LONG),
        (forged, Fault.SIGNATURE),
    ],
    ids=["stale", "valid for too long", "tampered to last", "tampered"],
)
def test_a_message_that_does_not_count_is_refused_and_counted(
    broker: Broker, message: Callable[[], str], fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    consumer, subscription = follow(broker)
    with broker.subscribe("nothing") as publisher, subscription, caplog.at_level(logging.WARNING):
        publisher.publish(TOPICS.availability, "online", retain=True)
        wait(lambda: subscription.effective()[0].reason == "unknown")
        publisher.publish(STATE, message(), retain=True)
        wait(lambda: bool(consumer.refused))
        assert dict(consumer.refused) == {fault: 1}
        assert not subscription.effective()[0].is_active
    assert f"refused {STATE}: " in caplog.text
    assert KEY.decode() not in caplog.text


def test_what_was_recorded_and_what_is_out_of_order_is_refused(broker: Broker) -> None:
    consumer, subscription = follow(broker)
    by = scribe()
    with broker.subscribe("nothing") as publisher, subscription:
        stand(publisher, subscription, by)
        overtaken, end = says(by), says(by, "clear")
        publisher.publish(STATE, end, retain=True)
        assert after(subscription, "clear").reason == "quiet"
        for recorded in (overtaken, end):
            publisher.publish(STATE, recorded, retain=True)
        wait(lambda: consumer.refused.get(Fault.REPLAYED) == 2)
        assert not subscription.effective()[0].is_active


def test_a_broker_that_comes_back_goes_on_without_a_refusal(broker: Broker) -> None:
    consumer, subscription = follow(broker)
    by = scribe()
    with subscription:
        with broker.subscribe("nothing") as publisher:
            stand(publisher, subscription, by)
        broker.stop()
        wait(lambda: not subscription.is_connected)
        assert subscription.effective()[0].is_active  # it stands until it is no longer valid
        broker.start()
        with broker.subscribe("nothing") as publisher:
            wait(lambda: subscription.is_connected)
            publisher.publish(TOPICS.availability, "online", retain=True)
            publisher.publish(STATE, says(by, "clear"), retain=True)
            assert after(subscription, "clear").reason == "quiet"
    assert consumer.refused == {}


def test_a_frozen_broker_does_not_keep_a_call_up(broker: Broker) -> None:
    _, subscription = follow(broker)
    with broker.subscribe("nothing") as publisher, subscription:
        stand(publisher, subscription, scribe(valid_for_s=4.0))
        broker.signal(signal.SIGSTOP)
        assert after(subscription, "clear").reason == "expired"
        broker.signal(signal.SIGCONT)


def test_refusals_of_one_kind_do_not_flood_the_log(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    consumer, subscription = follow(broker)
    with broker.subscribe("nothing") as publisher, subscription, caplog.at_level(logging.WARNING):
        wait(lambda: subscription.is_connected)
        publisher.publish(TOPICS.availability, "online", retain=True)
        wait(lambda: subscription.effective()[0].reason == "unknown")
        for _ in range(50):
            publisher.publish(STATE, "garbage")
        wait(lambda: consumer.refused.get(Fault.MALFORMED) == 50)
    assert caplog.text.count("refused") == 1


def test_an_acknowledgement_that_is_late_is_dropped(broker: Broker) -> None:
    _, subscription = follow(broker)
    with broker.subscribe(f"{TOPICS.root}/+/ack") as reader, subscription:
        wait(lambda: subscription.is_connected)
        subscription.publish(TOPICS.ack("main"), b"late", 0.0)
        subscription.publish(TOPICS.ack("main"), b"timely", 5.0)
        received = reader.next()
    assert (received.payload, received.qos, received.retain, received.expiry_s) == ("timely", 1, False, 5)


def test_it_never_takes_the_name_of_the_daemon(broker: Broker) -> None:
    consumer = Consumer(TOPICS, ["main"])
    with Subscription(MqttConfig(port=broker.port, client_id="elm"), consumer, backoff=QUICK):
        wait(lambda: "Sending SUBACK to elm-listen" in broker.log)


def test_nothing_is_subscribed_with_qos_1_on_an_older_broker(broker: Broker) -> None:
    # Its queue would stay on the node that it was made on, and hold a client up whose node died.
    _, subscription = follow(broker)
    assert dict(subscription.topics(is_5=False)).keys() == {TOPICS.availability, STATE, TOPICS.health}
    assert set(dict(subscription.topics(is_5=False)).values()) == {0}
    assert dict(subscription.topics(is_5=True))[TOPICS.availability] == 1


def test_of_a_flood_beside_the_states_the_newest_is_looked_at_and_the_rest_counted() -> None:
    consumer = Consumer(TOPICS, ["main"], Keyring.of(KEY))
    subscription = Subscription(MqttConfig(), consumer)
    stamp = Stamp("s", "b", KEY)
    signed = pack(dict(stamp.properties("availability", b"offline", 1)))
    assert consumer.take(STATE, says(scribe()).encode(), Moment.now()) is None
    assert consumer.effective(Moment.now())[0].is_active
    for _ in range(1_000):
        subscription.received(Incoming(TOPICS.availability, b"offline", retained=False))
    subscription.received(Incoming(TOPICS.availability, b"offline", False, signed))
    assert consumer.effective(Moment.now())[0].is_active
    subscription.tick(time.monotonic())
    assert consumer.effective(Moment.now())[0].reason == "offline"
    assert consumer.refused[Fault.CROWDED_OUT] == 1_000 - 64
