"""What a broker may ask for in CONNACK and say in SUBACK, and what the daemon and the consumer make of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from tests.publish.mqtt.hostile import Hostile
from tests.publish.mqtt.test_session import BOTH, KEY, QUICK, TOPICS, is_up, made, scribe, wait
from tests.transitions import CALL

from sirend.client import Consumer, Keyring, Subscription
from sirend.config.settings import MqttConfig
from sirend.publish.mqtt.publisher import Mqtt

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Broker

pytestmark = pytest.mark.system
LEGS = [f"leg-{number:02}" for number in range(64)]


@pytest.mark.parametrize("server_s", [0, 60_000])
def test_a_dead_line_is_noticed_whatever_the_broker_says_of_keeping_alive(server_s: int) -> None:
    """Server Keep Alive 0 or 60,000 s left a consumer, which only listens, on a dead line for ever."""
    with (
        Hostile(limits={"ServerKeepAlive": server_s}, answers_pings=False) as broker,
        made("consumer", broker.port, keepalive_s=1) as party,
    ):
        wait(lambda: is_up(party))
        wait(lambda: len(broker.connects) >= 2, 10.0)
        assert broker.pings >= 1


def test_a_dead_line_is_noticed_five_seconds_after_the_broker_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer was deaf for twice `keepalive_s`: it waited for the answer as long as it had waited to ask."""
    monkeypatch.setattr("sirend.publish.mqtt.session.ANSWER_S", 0.5)
    with Hostile(answers_pings=False) as broker, made("consumer", broker.port, keepalive_s=8) as party:
        wait(lambda: is_up(party))
        wait(lambda: broker.pings == 1)
        asked_at = time.monotonic()
        wait(lambda: len(broker.connects) == 2)
        assert time.monotonic() - asked_at < 5.0


def test_a_listener_is_deaf_on_a_dead_line_for_7_5_s_at_most() -> None:
    """It asked a silent broker after the whole keepalive: with that a call was missed for 15 s."""
    with Hostile(answers_pings=False) as broker, made("consumer", broker.port) as party:
        wait(lambda: is_up(party))
        quiet_since = time.monotonic()
        wait(lambda: broker.pings == 1)
        assert 2.0 < time.monotonic() - quiet_since < 5.0
        wait(lambda: len(broker.connects) == 2)
        assert time.monotonic() - quiet_since < 10.0


def test_a_listener_that_hears_something_asks_only_as_often_as_it_must() -> None:
    with Hostile() as broker, made("consumer", broker.port, keepalive_s=60) as party:
        wait(lambda: is_up(party))
        time.sleep(16.0)
        assert broker.pings == 1
        assert len(broker.connects) == 1


@pytest.mark.parametrize("kind", BOTH)
def test_a_broker_that_wants_a_sign_of_life_more_often_gets_it(kind: str) -> None:
    with Hostile(limits={"ServerKeepAlive": 1}) as broker, made(kind, broker.port, keepalive_s=60) as party:
        wait(lambda: is_up(party))
        wait(lambda: broker.pings >= 2, 10.0)
        assert len(broker.connects) == 1


def test_a_subscription_larger_than_the_broker_takes_is_asked_for_in_parts() -> None:
    """A site of 64 approaches asked in one packet of 2 kB: a broker that takes 500 bytes hung up for ever."""
    with Hostile(limits={"MaximumPacketSize": 500}) as broker:
        config = MqttConfig(port=broker.port)
        with Mqtt(config, "s", LEGS, backoff=QUICK, boot_id="b", sign_key=KEY) as party:
            wait(lambda: is_up(party) and sum(part.count(b"sirend/s/") for part in broker.subscribed) == len(LEGS) + 2)
            time.sleep(0.3)
            assert len(broker.connects) == 1
        assert broker.largest <= 500
        assert len(broker.subscribed) > 1


def test_a_broker_that_takes_100_bytes_keeps_the_connection_and_what_it_does_not_take_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Hostile(limits={"MaximumPacketSize": 100}) as broker, made("daemon", broker.port) as party:
        assert isinstance(party, Mqtt)
        wait(lambda: is_up(party))
        party.publish(scribe().write(CALL))
        wait(lambda: party.counts.dropped_large >= 2)
        time.sleep(0.5)
        assert len(broker.connects) == 1
        assert broker.largest <= 100
    assert "takes no message as large as that on sirend/s/main/e" in caplog.text


@pytest.mark.parametrize("is_5", [True, False])
def test_one_topic_of_several_that_is_refused_is_named_and_asked_for_again(is_5: bool) -> None:
    with Hostile(refused=b"emergency", refuses_5=not is_5) as broker, made("consumer", broker.port) as party:
        wait(lambda: "refused the subscription" in (party.problem or ""))
        assert "emergency" in (party.problem or "")
        assert "availability" not in (party.problem or "")
        assert not is_up(party)
        broker.refused = b"nothing"
        wait(lambda: is_up(party))


@pytest.mark.parametrize("how", ["refused", "ends_at"])
def test_a_broker_that_wants_no_wildcards_is_asked_for_each_approach(how: str) -> None:
    """It was asked for `sirend/s/+/emergency` for ever, and nothing was heard."""
    with Hostile(**{how: b"+"}) as broker, made("consumer", broker.port) as party:  # type: ignore[arg-type]
        wait(lambda: is_up(party))
        assert b"sirend/s/main/emergency" in broker.subscribed[-1]
        assert party.problem is None


def test_health_that_is_refused_keeps_nobody_from_following() -> None:
    with Hostile(refused=b"health") as broker, made("consumer", broker.port) as party:
        wait(lambda: is_up(party))
        assert party.problem is None


def test_a_topic_that_the_broker_says_nothing_of_counts_as_refused() -> None:
    """One reason code fewer than topics: the last of them was taken for granted."""
    with Hostile(says_less=True, refuses_5=True) as broker:
        party = Subscription(MqttConfig(port=broker.port), Consumer(TOPICS, ["main"], Keyring.of(KEY)), backoff=QUICK)
        party._session._party = _WithoutHealth(party)  # type: ignore[assignment]  # noqa: SLF001
        with party:
            wait(lambda: "refused the subscription to sirend/s/main/emergency" in (party.problem or ""))
            assert not is_up(party)


class _WithoutHealth:
    """A consumer that does not ask for health, so that the last topic is one that it needs."""

    def __init__(self, party: Subscription) -> None:
        self._party = party

    def __getattr__(self, name: str) -> object:
        return getattr(self._party, name)

    def topics(self, *, is_5: bool) -> list[tuple[str, int]]:
        return self._party.topics(is_5=is_5)[:-1]


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    "limits",
    [
        {"AssignedClientIdentifier": "somebody"},
        {"TopicAliasMaximum": 0},
        {"SessionExpiryInterval": 0},
        {"WildcardSubscriptionAvailable": 1, "SubscriptionIdentifierAvailable": 0, "SharedSubscriptionAvailable": 0},
        {"ReceiveMaximum": 65_535, "MaximumPacketSize": 268_435_455},
        {"ReasonString": "welcome", "ServerReference": "elsewhere", "ResponseInformation": "x"},
    ],
)
def test_what_else_a_broker_may_say_changes_nothing(kind: str, limits: dict[str, int]) -> None:
    with Hostile(limits=limits) as broker, made(kind, broker.port) as party:
        wait(lambda: is_up(party) and bool(broker.subscribed))
        if isinstance(party, Mqtt):
            party.publish(scribe().write(CALL))
            wait(lambda: any(heard.topic == TOPICS.event("main") for heard in broker.heard))
        assert len(broker.connects) == 1


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("size", [268_435_460, 4_294_967_295])
def test_a_broker_that_allows_more_than_a_packet_can_have_is_spoken_to_in_mqtt_5(kind: str, size: int) -> None:
    """What HiveMQ says by default; paho took the connection for broken, so that only MQTT 3.1.1 was left."""
    body = b"\x26\0\1a\0\2bc" + b"\x12\0\1x" + b"\x21\0\x05" + b"\x27" + size.to_bytes(4, "big") + b"\x2a\1"
    with Hostile(properties=bytes([len(body)]) + body) as broker, made(kind, broker.port) as party:
        wait(lambda: is_up(party))
        assert len(broker.connects) == 1
        assert broker.max_packet is not None


def test_a_real_broker_of_small_packets_is_served(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker("allow_anonymous true", "max_packet_size 900")
    broker.start()
    config = MqttConfig(port=broker.port)
    with Mqtt(config, "s", LEGS, backoff=QUICK, boot_id="b", sign_key=KEY) as party:
        wait(lambda: party.counts.connected and broker.log.count("Sending SUBACK to sirend-s") >= 3)
        assert party.counts.reconnects == 0
