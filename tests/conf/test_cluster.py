"""The configuration of conf/broker/cluster in three nodes of RabbitMQ: who comes in, who may say what, and what lasts.

`make test-cluster` installs RabbitMQ and runs this; where it is not installed, `make test` leaves it out.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from tests.bench import cluster as clusters
from tests.bench.cluster import ADDRESSES, CONF, Cluster
from tests.conf.test_broker import KEY, QUICK, event, sink, wait
from tests.conftest import free_port
from tests.resolver import resolve
from tests.transitions import CALL

from sirend.call.clock import LiveClock
from sirend.call.scribe import Scribe
from sirend.cli import pki
from sirend.cli.pki import Wish
from sirend.client import Consumer, Keyring, Subscription, Topics
from sirend.config.settings import MqttConfig, TlsConfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not clusters.is_installed(), reason="rabbitmq-server is not installed: make test-cluster"),
    pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning"),
    pytest.mark.timeout(600),
]
NAME = "mqtt.example.org"
VALID_S = 5.0


@dataclass
class City:
    """A cluster with the rules, and the certificates of its clients."""

    cluster: Cluster
    folder: Path

    def config(self, role: str, name: str, host: str = ADDRESSES[0], *, of: str = ".", **changes: Any) -> MqttConfig:  # noqa: ANN401
        stem = self.folder / of / role / name
        tls = TlsConfig(self.folder / "broker-ca.pem", stem.with_suffix(".pem"), stem.with_suffix(".key"))
        return replace(MqttConfig(host=host, port=self.cluster.port, tls=tls), **changes)


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """Return a cluster as conf/README.md sets it up, but for its ports, addresses and folder."""
    folder = tmp_path_factory.mktemp("city")
    pki.init(folder)
    pki.init(folder / "stranger")
    pki.issue(folder, Wish("broker", NAME, hosts=ADDRESSES))
    for role, name in (("site", "s1"), ("site", "s2"), ("site", "new"), ("controller", "s1"), ("monitor", "wall")):
        pki.issue(folder, Wish(role, name))
    pki.issue(folder / "stranger", Wish("site", "s1"))
    etc = folder / "etc"
    etc.mkdir()
    (etc / "clients-ca.pem").write_text("".join((folder / f"{of}-ca.pem").read_text() for of in ("site", "controller")))
    for end in ("pem", "key"):
        (etc / f"broker.{end}").write_bytes((folder / "broker" / f"{NAME}.{end}").read_bytes())
    text = (CONF / "rabbitmq.conf").read_text().replace("/etc/rabbitmq/sirend", str(etc))
    mapper = free_port() // 16 * 16
    made = City(Cluster(folder / "nodes", free_port(), mapper, text), folder)
    try:
        made.cluster.up()
        for role, name in (("site", "s1"), ("site", "s2"), ("controller", "s1"), ("monitor", "wall")):
            made.cluster.admit(role, name)
        yield made
    finally:
        made.cluster.stop()


def raw(config: MqttConfig) -> Client:
    """Return any client, connecting."""
    assert config.tls is not None
    made = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311, reconnect_on_failure=False)
    made.tls_set(str(config.tls.ca_file), str(config.tls.cert_file), str(config.tls.key_file))
    made.connect(config.host, config.port)
    made.loop_start()
    return made


def is_let(config: MqttConfig, topic: str) -> bool:
    """Return whether somebody may publish on a topic: this broker ends the connection of who may not."""
    client = raw(config)
    try:
        wait(client.is_connected)
        said = client.publish(topic, "x", qos=1)
        # In this order: a connection that ended within ``publish`` leaves a message that refuses to be asked.
        wait(lambda: not client.is_connected() or said.is_published())
        return client.is_connected()
    finally:
        client.disconnect()
        client.loop_stop()


def test_a_signed_call_goes_over_nodes_and_an_acknowledgement_back(city: City) -> None:
    consumer = Consumer(Topics("sirend", "s1"), ["main"], Keyring.of(KEY))
    listening = city.config("controller", "s1", ADDRESSES[1])
    with (
        Subscription(listening, consumer, backoff=QUICK) as subscription,
        sink(city.config("site", "s1"), "s1") as site,
    ):
        wait(lambda: subscription.is_connected)
        site.publish(event("s1"))
        wait(lambda: any(call.is_active for call in subscription.effective()))
        assert site.counts.refused == 0
        subscription.publish("sirend/s1/main/ack", b"{}", 5.0)
        time.sleep(0.5)
        assert subscription.is_connected
    assert consumer.refused == {}


def test_a_consumer_without_a_key_is_right_although_the_other_node_keeps_what_was_said(city: City) -> None:
    consumer = Consumer(Topics("sirend", "s1"), ["main"])
    with sink(city.config("site", "s1"), "s1") as site:
        wait(lambda: site.counts.connected and site.counts.queued == 0)
        time.sleep(0.5)
        with Subscription(city.config("monitor", "wall", ADDRESSES[2]), consumer, backoff=QUICK) as reader:
            wait(lambda: reader.is_connected)
            began = time.monotonic()
            while not any(call.is_active for call in reader.effective()):
                site.publish(event("s1", key=None))  # as every second of a call
                assert time.monotonic() - began < VALID_S
                time.sleep(1.0)


def test_everyone_speaks_for_itself_only(city: City) -> None:
    site, controller, monitor = (
        city.config(role, name) for role, name in (("site", "s1"), ("controller", "s1"), ("monitor", "wall"))
    )
    for topic in ("availability", "health", "selftest", "main/emergency", "main/event"):
        assert is_let(site, f"sirend/s1/{topic}")
    assert is_let(site, "homeassistant/sensor/sirend-s1/x/config")
    assert is_let(controller, "sirend/s1/main/ack")
    for config, topic in (
        (site, "sirend/s2/availability"),
        (site, "sirend/s1/main/ack"),
        (site, "sirend/s1/a/b/emergency"),
        (site, "homeassistant/sensor/sirend-s2/x/config"),
        (controller, "sirend/s1/main/emergency"),
        (controller, "sirend/s1/availability"),
        (controller, "sirend/s2/main/ack"),
        (monitor, "sirend/s1/main/ack"),
    ):
        assert not is_let(config, topic), topic


def test_nobody_comes_in_without_being_admitted(city: City) -> None:
    stranger = city.config("site", "s1", of="stranger")
    for config in (city.config("site", "new"), stranger):
        with sink(config, "s1") as refused:
            wait(lambda one=refused: one.problem not in (None, "not connected yet"))  # type: ignore[misc]
            time.sleep(1.0)
            assert refused.counts.published == 0
    plain = MqttConfig(port=city.cluster.port, host=ADDRESSES[0])
    with sink(plain, "s1") as deaf:
        wait(lambda: deaf.problem not in (None, "not connected yet"))
        assert not deaf.counts.connected
    city.cluster.admit("site", "new")
    assert is_let(city.config("site", "new"), "sirend/new/health")
    city.cluster.admit("site", "new", "--out")


def test_a_node_that_dies_in_a_call_costs_no_longer_than_a_statement_is_valid(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, NAME, ADDRESSES[2], ADDRESSES[0], ADDRESSES[1])  # that of the doomed one first
    consumer = Consumer(Topics("sirend", "s1"), ["main"], Keyring.of(KEY))
    clock = LiveClock(arrived=lambda: 0)
    by = Scribe(site="s1", boot_id="run", mode="live", model="m", clock=clock, valid_for_s=VALID_S, sign_key=KEY)
    with (
        Subscription(city.config("controller", "s1", NAME), consumer) as reader,
        sink(city.config("site", "s1", NAME), "s1") as site,
    ):
        wait(lambda: reader.is_connected and site.counts.connected)
        site.publish(by.write(CALL))
        wait(lambda: any(call.is_active for call in reader.effective()))
        city.cluster.kill(2)
        lapsed = 0.0
        end = time.monotonic() + 15.0
        while time.monotonic() < end:
            site.publish(by.write(replace(CALL, refresh=True)))
            for _ in range(10):
                time.sleep(0.1)
                lapsed += 0.1 * (not any(call.is_active for call in reader.effective()))
        assert any(call.is_active for call in reader.effective())
        assert reader.is_connected
        assert lapsed < VALID_S
