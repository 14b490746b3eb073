"""The one connection loop, with the daemon and with the consumer: what holds for one holds for the other."""

from __future__ import annotations

import itertools
import json
import logging
import resource
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from tests.publish.mqtt.hostile import Hostile, publish
from tests.resolver import resolve
from tests.transitions import CALL, CLEAR

from sirend.call.clock import LiveClock
from sirend.call.event import to_json
from sirend.call.scribe import Scribe
from sirend.client import Consumer, Keyring, Subscription, Topics
from sirend.config.settings import MqttConfig, TlsConfig
from sirend.publish.mqtt.backoff import Backoff
from sirend.publish.mqtt.bounded_client import LARGEST_PACKET
from sirend.publish.mqtt.publisher import Mqtt
from sirend.signing import key_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import TypeAlias

    from tests.conftest import Broker

    Party: TypeAlias = Mqtt | Subscription

pytestmark = pytest.mark.system
QUICK = Backoff(first_s=0.02, cap_s=0.1)
PATIENCE_S = 60.0
KEY = b"0123456789abcdef"
TOPICS = Topics("sirend", "s")
BOTH = ("daemon", "consumer")


def made(kind: str, port: int, backoff: Backoff = QUICK, **changes: Any) -> Party:  # noqa: ANN401
    config = replace(MqttConfig(port=port), **changes)
    if kind == "daemon":
        return Mqtt(config, "s", ["main"], backoff=backoff, boot_id="b", sign_key=KEY)
    return Subscription(config, Consumer(TOPICS, ["main"], Keyring.of(KEY)), backoff=backoff)


def is_up(party: Party) -> bool:
    return party.counts.connected if isinstance(party, Mqtt) else party.is_connected


def wait(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    until = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)


def scribe(valid_for_s: float = 30.0, boot_id: str = "b") -> Scribe:
    clock = LiveClock(arrived=lambda: 0)
    return Scribe(site="s", boot_id=boot_id, mode="live", model="m", clock=clock, valid_for_s=valid_for_s, sign_key=KEY)


@pytest.mark.parametrize("kind", BOTH)
def test_it_connects_names_its_bound_and_says_goodbye(kind: str) -> None:
    with Hostile() as broker:
        with made(kind, broker.port) as party:
            wait(lambda: is_up(party))
            assert party.problem is None
            wait(lambda: bool(broker.subscribed))
        assert broker.max_packet == LARGEST_PACKET
    assert len(broker.connects) == 1


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("how", ["refuses_5", "is_silent_to_5"])
def test_a_broker_without_mqtt_5_is_spoken_to_in_3_1_1(kind: str, how: str, caplog: pytest.LogCaptureFixture) -> None:
    with Hostile(**{how: True}) as broker, made(kind, broker.port) as party:  # type: ignore[arg-type]
        wait(lambda: is_up(party))
        assert broker.max_packet is None
    assert "connected with MQTT 3.1.1, for it refuses MQTT 5: messages do not expire in it" in caplog.text


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("times", [1, 2, 3, 6])
def test_a_proxy_whose_broker_was_away_is_spoken_to_in_mqtt_5(
    kind: str, times: int, caplog: pytest.LogCaptureFixture
) -> None:
    with Hostile(hangs_up=times) as broker, made(kind, broker.port) as party:
        wait(lambda: is_up(party))
        assert broker.max_packet == LARGEST_PACKET
    assert "3.1.1" not in caplog.text


@pytest.mark.parametrize("kind", BOTH)
def test_a_broker_that_speaks_neither_is_told_of_in_words(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    words = "refused the connection: it speaks neither MQTT 5 nor 3.1.1; update the broker"
    with Hostile(refuses_all=True) as broker, made(kind, broker.port) as party:
        wait(lambda: len(broker.connects) >= 4)
        wait(lambda: party.problem == words)
    assert words in caplog.text
    assert "lost the connection" not in caplog.text


@pytest.mark.parametrize("kind", BOTH)
def test_connections_that_do_not_hold_are_told_once_a_minute_and_one_that_does(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with Hostile(kicks=True) as broker, made(kind, broker.port):
        wait(lambda: len(broker.connects) >= 4)
        assert caplog.text.count("connected with MQTT 5") == 1
        broker.kicks = False
        wait(lambda: caplog.text.count("connected with MQTT 5") == 2)


@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize("kind", BOTH)
def test_tls_with_a_certificate_that_nobody_vouches_for_is_refused(
    kind: str, make_broker: Callable[..., Broker], tmp_path: Path
) -> None:
    for name in ("right", "wrong"):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "2", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", "/CN=127.0.0.1",
             "-addext", "subjectAltName=IP:127.0.0.1"],
            check=True, cwd=tmp_path, capture_output=True,
        )  # fmt: skip
    broker = make_broker(f"certfile {tmp_path}/right.pem", f"keyfile {tmp_path}/right.key", "allow_anonymous true")
    broker.start()
    with made(kind, broker.port, tls=TlsConfig(tmp_path / "right.pem")) as party:
        wait(lambda: is_up(party))
    with made(kind, broker.port, tls=TlsConfig(tmp_path / "wrong.pem")) as party:
        wait(lambda: "its certificate is refused: self-signed certificate" in (party.problem or ""))


def test_a_refused_subscription_is_an_error_in_words_and_asked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    with Hostile(subscribing=0x87) as broker, made("consumer", broker.port) as party:
        wait(lambda: party.problem is not None and "refused the subscription" in party.problem)
        assert "sirend/s/availability (Not authorized)" in (party.problem or "")
        assert not is_up(party)
        wait(lambda: len(broker.subscribed) >= 2)
        broker.subscribing = 0
        wait(lambda: is_up(party))
        assert party.problem is None
    assert "refused the subscription to sirend/s/availability (Not authorized)" in caplog.text
    assert len(broker.connects) == 1


def test_a_daemon_that_may_not_watch_its_topics_says_so_once_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    with Hostile(subscribing=0x87) as broker, made("daemon", broker.port) as party:
        wait(lambda: "does not show what stands on sirend/s/availability (Not authorized)" in caplog.text)
        assert isinstance(party, Mqtt)
        party.publish(scribe().write(CALL))
        wait(lambda: any(heard.topic.endswith("/event") for heard in broker.heard))
        assert is_up(party)


def test_a_subscription_without_an_answer_is_tried_anew_by_the_consumer_and_left_by_the_daemon(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sirend.publish.mqtt.session.ANSWER_S", 0.3)
    with Hostile(subscribing=None) as broker, made("consumer", broker.port) as party:
        wait(lambda: len(broker.connects) >= 2)
        assert not is_up(party)
    assert "does not answer the subscription; trying again until it works" in caplog.text
    with Hostile(subscribing=None) as broker, made("daemon", broker.port) as party:
        wait(lambda: "does not answer the subscription; nobody watches" in caplog.text)
        time.sleep(0.5)
        assert len(broker.connects) == 1


@pytest.mark.parametrize("limit", [1, 5])
def test_receive_maximum_is_kept(limit: int) -> None:
    with Hostile(limits={"ReceiveMaximum": limit}) as broker, made("daemon", broker.port) as party:
        assert isinstance(party, Mqtt)
        by = scribe()
        for _ in range(40):
            party.publish(by.write(CLEAR))
        wait(lambda: sum(heard.topic == TOPICS.event("main") for heard in broker.heard) == 40)
        assert broker.most_under_way == limit
        assert len(broker.connects) == 1
        subscribing_port = broker.port
    with (
        Hostile(limits={"ReceiveMaximum": limit}, port=subscribing_port) as broker,
        made("consumer", broker.port) as party,
    ):
        assert isinstance(party, Subscription)
        wait(lambda: is_up(party))
        for _ in range(40):
            party.publish(TOPICS.ack("main"), b"{}", 30.0)
        wait(lambda: len(broker.heard) == 40)
        assert broker.most_under_way <= limit


def test_what_is_larger_than_the_broker_takes_is_dropped_and_counted_and_states_go_on() -> None:
    with Hostile(limits={"MaximumPacketSize": 1500}) as broker, made("daemon", broker.port) as party:
        assert isinstance(party, Mqtt)
        party.health({"reasons": ["x" * 4000]})
        party.publish(scribe().write(CALL))
        wait(lambda: any(heard.topic == TOPICS.event("main") for heard in broker.heard))
        assert party.counts.dropped_large == 1
        assert TOPICS.health not in {heard.topic for heard in broker.heard}
        assert len(broker.connects) == 1


def test_a_broker_of_qos_0_that_keeps_nothing_is_spoken_to_as_it_asks() -> None:
    with Hostile(limits={"MaximumQoS": 0, "RetainAvailable": 0}) as broker, made("daemon", broker.port) as party:
        assert isinstance(party, Mqtt)
        party.publish(scribe().write(CALL))
        wait(lambda: any(heard.topic == TOPICS.event("main") for heard in broker.heard))
        assert {(heard.qos, heard.retain) for heard in broker.heard} == {(0, False)}
        wait(lambda: party.counts.published >= 3)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("refuses_5", [False, True])
def test_a_packet_of_250_mb_ends_the_connection_and_is_not_kept(kind: str, refuses_5: bool) -> None:
    giant = b"\x30" + b"\x80\xe5\x9a\x77"  # the header of a PUBLISH of 250,000,000 bytes
    with Hostile(refuses_5=refuses_5) as broker, made(kind, broker.port) as party:
        wait(lambda: is_up(party) and bool(broker.subscribed))
        before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
        known = len(broker.connects)
        with suppress(OSError):  # it hangs up while we are still sending
            for piece in itertools.chain([giant], itertools.repeat(b"x" * 1_000_000, 250)):
                broker.say(piece)
        wait(lambda: len(broker.connects) > known)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0 < before_mb + 10.0


@pytest.mark.parametrize("kind", BOTH)
def test_a_message_of_qos_2_that_nobody_asked_for_ends_the_connection(kind: str) -> None:
    with Hostile() as broker, made(kind, broker.port) as party:
        wait(lambda: is_up(party) and bool(broker.subscribed))
        broker.say(publish(TOPICS.availability, b"online", qos=2))
        wait(lambda: len(broker.connects) == 2)


@pytest.mark.parametrize("kind", BOTH)
def test_one_that_kicks_after_connack_is_not_stormed(kind: str) -> None:
    with Hostile(kicks=True) as broker, made(kind, broker.port, Backoff(0.1, 30.0)):
        time.sleep(3.0)
        assert 2 <= len(broker.connects) <= 25  # without a growing back-off there are hundreds


@pytest.mark.parametrize("kind", BOTH)
def test_one_that_drips_its_answer_is_given_up(
    kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sirend.publish.mqtt.session.ANSWER_S", 0.5)
    with Hostile(drips_s=0.3) as broker, made(kind, broker.port) as party:
        wait(lambda: "accepts connections but does not answer" in caplog.text)
        assert not is_up(party)


@pytest.mark.usefixtures("collected")
def test_one_that_drips_a_handshake_does_not_hold_up_the_pipeline() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        made("daemon", silent.getsockname()[1], tls=TlsConfig()) as party,
    ):
        assert isinstance(party, Mqtt)
        time.sleep(0.2)
        began_at = time.monotonic()
        for _ in range(100):
            party.publish(scribe().write(CALL))
        assert time.monotonic() - began_at < 1.0


def test_a_call_interrupts_the_back_off_and_then_tries_every_second(make_broker: Callable[..., Broker]) -> None:
    """Without that, a broker that comes back is told of a call up to 30 s later."""
    broker = make_broker()
    slow = Backoff(first_s=30.0, cap_s=30.0)
    with made("daemon", broker.port, slow) as party:
        assert isinstance(party, Mqtt)
        wait(lambda: "refused" in (party.problem or ""))
        party.publish(scribe().write(CALL))
        time.sleep(1.5)
        broker.start()
        back_at = time.monotonic()
        wait(lambda: party.counts.connected, 10.0)
        assert time.monotonic() - back_at < 2.0


def test_without_a_call_the_back_off_is_kept(make_broker: Callable[..., Broker]) -> None:
    port = make_broker().port
    with Hostile(port=port, kicks=True) as broker, made("daemon", port, Backoff(first_s=30.0, cap_s=30.0)) as party:
        assert isinstance(party, Mqtt)
        wait(lambda: len(broker.connects) == 1)
        for _ in range(5):
            party.health({})
            party.publish(scribe().write(CLEAR))
            time.sleep(0.1)
        assert len(broker.connects) <= 2


def _stand(publisher: Any, party: Subscription, by: Scribe) -> None:  # noqa: ANN401
    publisher.publish(TOPICS.state("main"), to_json(by.write(CALL)), retain=True)
    wait(lambda: party.effective()[0].is_active)


@pytest.mark.parametrize(
    "foreign",
    [
        ("availability", ""),
        ("availability", "offline"),
        ("main/emergency", ""),
        ("main/emergency", "x"),
        ("health", ""),
    ],
)
@pytest.mark.parametrize("retain", [True, False])
def test_what_somebody_else_puts_on_our_topics_is_put_right_within_a_second(
    broker: Broker, foreign: tuple[str, str], retain: bool
) -> None:
    topic = f"sirend/s/{foreign[0]}"
    with made("daemon", broker.port) as party, broker.subscribe(topic) as reader:
        assert isinstance(party, Mqtt)
        party.publish(scribe().write(CALL))
        party.health({"state": "ok"})
        wait(lambda: party.counts.published >= 4 and "Sending SUBACK to sirend-s" in broker.log)
        time.sleep(0.3)
        while reader.waiting:
            truth = reader.next()
        for _ in range(3):
            reader.publish(topic, foreign[1], retain=retain)
            put_at = time.monotonic()
            assert reader.next().payload == foreign[1]
            assert reader.next().payload == truth.payload
            assert time.monotonic() - put_at < 1.0
        with broker.subscribe(topic) as late:
            assert late.next().payload == truth.payload
        assert party.counts.corrected == 3


def test_the_late_will_of_a_predecessor_and_a_spare_daemon_do_not_mute_a_site(broker: Broker) -> None:
    consumer = Consumer(TOPICS, ["main"])
    with (
        Subscription(MqttConfig(port=broker.port), consumer, backoff=QUICK) as listening,
        Mqtt(MqttConfig(port=broker.port, client_id="renewed"), "s", ["main"], backoff=QUICK, boot_id="b") as site,
    ):
        site.publish(scribe().write(CALL))
        wait(lambda: listening.effective()[0].is_active)
        with Mqtt(MqttConfig(port=broker.port, client_id="spare"), "s", ["main"], backoff=QUICK, boot_id="c") as spare:
            wait(lambda: spare.counts.connected)
        time.sleep(1.0)
        by = scribe()
        for _ in range(10):
            refresh = by.write(CALL)
        site.publish(refresh)
        wait(lambda: listening.effective()[0].is_active)
        with broker.subscribe(TOPICS.availability) as late:
            assert late.next().payload == "online"


def test_two_daemons_of_one_site_do_not_storm_the_broker(broker: Broker) -> None:
    with (
        Mqtt(MqttConfig(port=broker.port, client_id="one"), "s", ["main"], backoff=QUICK, boot_id="a") as one,
        Mqtt(MqttConfig(port=broker.port, client_id="two"), "s", ["main"], backoff=QUICK, boot_id="b") as two,
    ):
        wait(lambda: one.counts.connected and two.counts.connected)
        time.sleep(3.0)
        assert one.counts.published + two.counts.published < 80


def test_the_will_of_a_killed_connection_is_signed_and_speaks_for_it_only(broker: Broker) -> None:
    consumer = Consumer(TOPICS, ["main"], Keyring.of(KEY))
    with Subscription(MqttConfig(port=broker.port), consumer, backoff=QUICK) as listening:
        with made("daemon", broker.port) as party:
            assert isinstance(party, Mqtt)
            wait(lambda: party.counts.connected and listening.is_connected)
            party.publish(scribe().write(CALL))
            wait(lambda: listening.effective()[0].is_active)
            sock = party._session  # noqa: SLF001
            assert sock.connects == 1
        wait(lambda: listening.effective()[0].reason == "offline")  # its own signed word ends its call at once
    assert consumer.refused == {}


def _flood(kind: str) -> tuple[str, str, list[str]]:
    """Return topic, message and further words of mosquitto_pub for one of the floods that change nothing."""
    said = to_json(scribe().write(CALL))
    stamp = ["-V", "5"]
    for name, value in (("boot_id", "b"), ("connection", "1"), ("kid", key_id(KEY)), ("sig", "0" * 64)):
        stamp += ["-D", "publish", "user-property", name, value]
    return {
        "forged": (TOPICS.state("main"), said.replace('"confidence":0.9', '"confidence":0.8'), []),
        "recorded": (TOPICS.state("main"), said, []),
        "availability": (TOPICS.availability, "offline", stamp),
        "health": (TOPICS.health, json.dumps({"state": "ok" * 200}), stamp),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "qos"), [("forged", 0), ("forged", 1), ("recorded", 0), ("availability", 0), ("health", 0)]
)
def test_a_flood_of_forgeries_does_not_end_a_signed_call(broker: Broker, kind: str, qos: int) -> None:
    """mosquitto_pub sends 10,000 forged states a second, while the daemon says its own every second."""
    consumer = Consumer(TOPICS, ["main"], Keyring.of(KEY))
    by = scribe(valid_for_s=5.0)
    topic, forged, further = _flood(kind)
    with (
        Subscription(MqttConfig(port=broker.port), consumer, backoff=QUICK) as listening,
        broker.subscribe("nothing") as publisher,
    ):
        wait(lambda: listening.is_connected)
        _stand(publisher, listening, by)
        words = ["mosquitto_pub", "-p", str(broker.port), "-t", topic, "-q", str(qos), "-l", *further]
        flood = subprocess.Popen(words, stdin=subprocess.PIPE)
        assert flood.stdin is not None
        gaps, until = 0, time.monotonic() + 8.0
        said_at = 0.0
        while time.monotonic() < until:
            flood.stdin.write((forged + "\n").encode() * 200)
            flood.stdin.flush()
            if time.monotonic() - said_at > 1.0:
                said_at = time.monotonic()
                publisher._client.publish(TOPICS.state("main"), to_json(by.write(CALL)), qos=1)  # noqa: SLF001
            gaps += not listening.effective()[0].is_active
            time.sleep(0.02)
        flood.kill()
        flood.wait(PATIENCE_S)
        flood.stdin.close()
        assert gaps == 0
    assert sum(consumer.refused.values()) > 1_000


def test_a_flood_on_a_daemons_topics_is_not_listened_to_and_its_word_stands(broker: Broker) -> None:
    with made("daemon", broker.port) as party:
        assert isinstance(party, Mqtt)
        wait(lambda: "Sending SUBACK to sirend-s" in broker.log)
        words = ["mosquitto_pub", "-p", str(broker.port), "-t", TOPICS.availability, "-r", "-l"]
        subprocess.run(words, input=b"offline\n" * 20_000, check=True)
        wait(lambda: "Received UNSUBSCRIBE from sirend-s" in broker.log)
        ended_at = time.monotonic()
        while True:
            with broker.subscribe(TOPICS.availability) as late:
                if late.next().payload == "online":
                    break
            assert time.monotonic() - ended_at < PATIENCE_S
        assert party.counts.connected
        assert party.counts.reconnects == 0


def test_a_site_that_is_silent_for_too_long_is_told_of(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sirend.client.subscription.SILENCE_S", 0.5)
    caplog.set_level(logging.WARNING)
    with made("consumer", broker.port) as party, broker.subscribe("nothing") as publisher:
        wait(lambda: "nothing was heard of the site" in (party.problem or ""))
        by = scribe()

        def is_heard() -> bool:  # it may be between two connections
            publisher.publish(TOPICS.state("main"), to_json(by.write(CLEAR)))
            return party.problem is None

        wait(is_heard)
    assert "nothing was heard of the site for 0.5 s; it says how it is every 30 s" in caplog.text


def test_a_broker_that_shows_nothing_of_the_site_is_left_for_another_address_of_its_name(
    make_broker: Callable[..., Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node of a cluster that is cut off from the others kept its consumers for ever: they were told, and stayed."""
    monkeypatch.setattr("sirend.client.subscription.SILENCE_S", 1.0)
    resolve(monkeypatch, "broker.example", "127.0.0.2", "127.0.0.1")
    whole, cut_off = make_broker(), make_broker()
    lines = cut_off.configuration.read_text().splitlines()[:-2]
    cut_off.configuration.write_text("\n".join([*lines, f"listener {whole.port} 127.0.0.2", "allow_anonymous true"]))
    cut_off.port, cut_off.host = whole.port, "127.0.0.2"
    whole.start()
    cut_off.start()
    with (
        made("daemon", whole.port) as site,
        made("consumer", whole.port, host="broker.example", insecure=True) as party,
    ):
        assert isinstance(site, Mqtt)
        assert isinstance(party, Subscription)
        wait(lambda: "as sirend-listen" in cut_off.log)
        by = scribe()

        def is_called() -> bool:
            site.publish(by.write(CALL))
            time.sleep(0.1)
            return party.effective()[0].is_active and party.problem is None

        wait(is_called)


def test_a_site_whose_clock_is_wrong_is_told_of_before_it_calls(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """Each call of it would be refused as stale, and nobody knew before the first one came."""
    with made("consumer", broker.port) as listener, made("daemon", broker.port) as site:
        assert isinstance(site, Mqtt)
        wait(lambda: is_up(listener) and is_up(site))
        for behind_s, is_told in ((20.0, True), (0.0, False)):
            for _ in range(2):
                at = datetime.now(UTC) - timedelta(seconds=behind_s)
                site.health({"at": at.isoformat()})
                wait(lambda: site.counts.queued == 0)
                time.sleep(0.3)
            wait(lambda: ("the site's clock is 20 s behind ours" in (listener.problem or "")) is is_told)  # noqa: B023
        assert listener.problem is None
    assert caplog.text.count("the site's clock is 20 s behind ours") == 1


def old(party: Party) -> Party:
    """Let the first connection speak MQTT 3.1.1, as with a broker that knows nothing newer."""
    party._session._introduction.dialect.settle_for(MQTTProtocolVersion.MQTTv311)  # noqa: SLF001
    return party


def _says_unsigned(broker: Broker, topic: str, word: str) -> None:
    words = ["mosquitto_pub", "-V", "mqttv311", "-p", str(broker.port), "-q", "1", "-r", "-t", topic]
    subprocess.run([*words, *(("-m", word) if word else ("-n",))], check=True, timeout=PATIENCE_S)


def test_under_3_1_1_an_unsigned_offline_ends_no_signed_call_and_one_that_is_true_ends_it_in_time(
    broker: Broker,
) -> None:
    """A will of MQTT 3.1.1 carries no signature: with a key, what counts is that signed states go on, or do not."""
    consumer = Consumer(TOPICS, ["main"], Keyring.of(KEY))
    by = scribe(valid_for_s=3.0)
    listening = old(Subscription(MqttConfig(port=broker.port), consumer, backoff=QUICK))
    with listening:
        assert isinstance(listening, Subscription)
        with old(made("daemon", broker.port)) as party:
            assert isinstance(party, Mqtt)
            wait(lambda: party.counts.connected and listening.is_connected)
            for word in ("", "offline", "", "offline", "x"):
                party.publish(by.write(CALL))
                wait(lambda: listening.effective()[0].is_active)
                _says_unsigned(broker, TOPICS.availability, word)
                time.sleep(0.3)
                assert listening.effective()[0].is_active
            party.publish(by.write(CALL))
            said_at = time.monotonic()
        wait(lambda: not listening.effective()[0].is_active)  # it left: its own unsigned word is not what ends it
        assert time.monotonic() - said_at < 3.0 + 1.0
        assert listening.effective()[0].reason == "offline"
    ours = [line for line in broker.log.splitlines() if " as sirend-" in line]
    assert ours
    assert all("(p2," in line for line in ours)  # mosquitto's name for 3.1.1


def test_under_3_1_1_unsigned_health_is_a_sign_of_life_and_nothing_else(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a site with a key that has nobody to call was told to be silent for ever."""
    monkeypatch.setattr("sirend.client.subscription.SILENCE_S", 1.0)
    monkeypatch.setattr("sirend.publish.mqtt.session.Session.renew", lambda *_: None)  # the next would speak MQTT 5
    with old(made("consumer", broker.port)) as party:
        assert isinstance(party, Subscription)
        wait(lambda: "nothing was heard of the site" in (party.problem or ""))
        _says_unsigned(broker, TOPICS.health, "{}")
        wait(lambda: party.problem is None)
        assert not party.effective()[0].is_active
