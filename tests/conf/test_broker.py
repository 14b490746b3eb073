"""The rules of conf/broker, in the broker they are written for: who is let in, and who may say what."""

from __future__ import annotations

import re
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from tests.conftest import Broker, free_port
from tests.transitions import CALL

from sirend.call.clock import LiveClock
from sirend.call.scribe import Scribe
from sirend.cli import pki
from sirend.cli.pki import Wish
from sirend.client import Consumer, Keyring, Subscription, Topics
from sirend.config.settings import MqttConfig, TlsConfig
from sirend.errors import ConfigError
from sirend.publish.mqtt.access import client_id_of
from sirend.publish.mqtt.backoff import Backoff
from sirend.publish.mqtt.guest import Delivery
from sirend.publish.mqtt.publisher import Mqtt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sirend.call.event import Event

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
KEY = b"0123456789abcdef"
QUICK = Backoff(first_s=0.02, cap_s=0.1)


@dataclass
class Fleet:
    """A broker with the rules, and the certificates of its clients."""

    broker: Broker
    folder: Path
    sites: int
    controllers: int

    def tls(self, role: str, name: str, *, ca: str = "broker-ca.pem") -> TlsConfig:
        stem = self.folder / role / name
        return TlsConfig(self.folder / ca, stem.with_name(f"{name}.pem"), stem.with_name(f"{name}.key"))

    def config(self, role: str, name: str, **changes: Any) -> MqttConfig:  # noqa: ANN401
        port = self.sites if role == "site" else self.controllers
        return replace(MqttConfig(host="127.0.0.1", port=port, tls=self.tls(role, name)), **changes)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Return the broker as conf/README.md installs conf/broker, but for its ports, user and folder."""
    folder = tmp_path_factory.mktemp("fleet")
    long_ago = datetime.now(UTC) - timedelta(days=400)
    pki.init(folder, long_ago)
    pki.init(folder / "stranger")
    for role, name in (("site", "s1"), ("site", "s2"), ("controller", "s1"), ("monitor", "dashboard")):
        pki.issue(folder, Wish(role, name))
    pki.issue(folder, Wish("site", "late"), long_ago)
    pki.issue(folder, Wish("broker", "127.0.0.1"))
    pki.issue(folder / "stranger", Wish("site", "s1"))
    etc = folder / "etc"
    (etc / "conf.d").mkdir(parents=True)
    for line in re.findall(r"^    sudo (install .*)$", (ROOT / "conf" / "README.md").read_text(), re.MULTILINE):
        words = line.replace(" -o mosquitto -g mosquitto", "").replace("/etc/mosquitto", str(etc))
        words = words.replace("fleet/", f"{folder}/").replace("mqtt.example.org", "127.0.0.1")
        subprocess.run(["/bin/sh", "-c", words], cwd=ROOT, check=True)
    broker = Broker(folder)
    made = Fleet(broker, folder, broker.port, free_port())
    rules = (etc / "conf.d" / "sirend.conf").read_text().replace("/etc/mosquitto", str(etc))
    for port, ours in ((8883, made.sites), (8884, made.controllers)):
        assert f"listener {port}\n" in rules
        rules = rules.replace(f"listener {port}\n", f"listener {ours} 127.0.0.1\n")
    broker.configuration.write_text(f"user root\nlog_type all\n{rules}")
    broker.start()
    yield made
    broker.stop()


def event(site: str, key: bytes | None = KEY) -> Event:
    clock = LiveClock(arrived=lambda: 0)
    by = Scribe(site=site, boot_id="b", mode="live", model="m", clock=clock, valid_for_s=5.0, sign_key=key)
    return by.write(CALL)


def wait(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def sink(config: MqttConfig, site: str) -> Mqtt:
    return Mqtt(config, site, ["main"], backoff=QUICK)


@contextmanager
def client(config: MqttConfig) -> Iterator[Callable[[str, str], int]]:
    """Connect with any client; yield a function that publishes and returns the broker's reason code."""
    assert config.tls is not None
    made = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    made.tls_set(str(config.tls.ca_file), str(config.tls.cert_file), str(config.tls.key_file))
    answers: dict[int, int] = {}
    made.on_publish = lambda _c, _u, mid, code, _p: answers.update({mid: code.value})
    made.connect(config.host, config.port)
    made.loop_start()

    def publish(topic: str, payload: str) -> int:
        mid = made.publish(topic, payload, qos=1).mid
        wait(lambda: mid in answers)
        return answers[mid]

    wait(made.is_connected)
    yield publish
    made.disconnect()
    made.loop_stop()


NOT_AUTHORIZED, NOBODY_LISTENS = 0x87, 0x10


def test_a_signed_call_goes_from_site_to_controller_and_an_acknowledgement_may_go_back(fleet: Fleet) -> None:
    consumer = Consumer(Topics("sirend", "s1"), ["main"], Keyring.of(KEY))
    with (
        Subscription(fleet.config("controller", "s1"), consumer, backoff=QUICK) as subscription,
        sink(fleet.config("site", "s1"), "s1") as site,
    ):
        wait(lambda: subscription.is_connected)
        site.publish(event("s1"))
        wait(lambda: any(call.is_active for call in subscription.effective()))
        wait(lambda: site.counts.queued == 0 and site.counts.published >= 3)
        assert site.counts.refused == 0
        subscription.publish("sirend/s1/main/ack", b"{}", 5.0)
        wait(lambda: "sirend/s1/main/ack" in fleet.broker.log)
    assert consumer.refused == {}


def test_a_site_cannot_speak_for_another(fleet: Fleet) -> None:
    consumer = Consumer(Topics("sirend", "s2"), ["main"])
    with (
        Subscription(fleet.config("monitor", "dashboard"), consumer) as reader,
        sink(fleet.config("site", "s1"), "s2") as foreign,
    ):
        wait(lambda: reader.is_connected)
        foreign.publish(event("s2"))
        wait(lambda: foreign.counts.refused >= 3)  # availability, state and event at least
        assert foreign.counts.published == 0
        with sink(fleet.config("site", "s2"), "s2") as own:
            wait(lambda: own.counts.published >= 2)
            wait(lambda: reader.effective()[0].reason != "offline")
        assert not reader.effective()[0].is_active
    assert consumer.refused == {}


def test_the_will_of_a_site_cannot_speak_for_another_either(fleet: Fleet) -> None:
    consumer = Consumer(Topics("sirend", "s2"), ["main"])
    with (
        Subscription(fleet.config("monitor", "dashboard"), consumer) as reader,
        sink(fleet.config("site", "s2"), "s2"),
    ):
        wait(lambda: reader.effective()[0].reason != "offline")
        tls = fleet.tls("site", "s1")
        evil = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        evil.tls_set(str(tls.ca_file), str(tls.cert_file), str(tls.key_file))
        evil.will_set("sirend/s2/availability", "offline", retain=True)
        evil.connect("127.0.0.1", fleet.sites)
        evil.loop_start()
        wait(evil.is_connected)
        sock: Any = evil.socket()
        evil.loop_stop()
        sock.close()
        time.sleep(0.5)
        assert reader.effective()[0].reason != "offline"


def test_a_controller_may_acknowledge_and_nothing_else(fleet: Fleet) -> None:
    with client(fleet.config("controller", "s1")) as publish:
        for topic in (
            "s1/availability",
            "s1/health",
            "s1/selftest",
            "s1/main/emergency",
            "s1/main/event",
            "s2/main/ack",
            "s2/main/event",
        ):
            assert publish(f"sirend/{topic}", "online") == NOT_AUTHORIZED
        assert publish("homeassistant/sensor/sirend-s1/x/config", "{}") == NOT_AUTHORIZED
        assert publish("sirend/s1/main/ack", "{}") in (0, NOBODY_LISTENS)


def test_a_monitor_may_say_nothing_and_a_site_only_its_own(fleet: Fleet) -> None:
    with client(fleet.config("monitor", "dashboard")) as publish:
        for topic in ("s1/availability", "s1/main/emergency", "s1/main/ack", "monitor.dashboard/main/emergency"):
            assert publish(f"sirend/{topic}", "online") == NOT_AUTHORIZED
    with client(fleet.config("site", "s1")) as publish:
        for topic in ("s2/availability", "s2/selftest", "s1/main/ack", "s1/main/else", "s1/a/b/emergency"):
            assert publish(f"sirend/{topic}", "online") == NOT_AUTHORIZED
        assert publish("homeassistant/sensor/sirend-s2/x/config", "{}") == NOT_AUTHORIZED
        assert publish("homeassistant/sensor/sirend-s1/x/config", "{}") in (0, NOBODY_LISTENS)


@pytest.mark.parametrize(
    ("tls", "on"),
    [
        (lambda fleet: replace(fleet.tls("site", "s1"), cert_file=None, key_file=None), "sites"),
        (lambda fleet: fleet.tls("site", "late"), "sites"),
        (lambda fleet: fleet.tls("stranger/site", "s1"), "sites"),
        (lambda fleet: fleet.tls("controller", "s1"), "sites"),
        (lambda fleet: fleet.tls("site", "s1"), "controllers"),
    ],
    ids=["anonymous", "expired", "stranger", "controller on the sites' port", "site on the controllers' port"],
)
def test_without_a_valid_certificate_of_its_role_nobody_comes_in(
    fleet: Fleet, tls: Callable[[Fleet], TlsConfig], on: str
) -> None:
    config = MqttConfig(port=getattr(fleet, on), tls=tls(fleet))
    before = fleet.broker.log.count("New client connected")
    with sink(config, "s1") as refused:
        wait(lambda: refused.problem not in (None, "not connected yet"))
        time.sleep(0.3)
        assert refused.counts.published == 0
        assert not refused.counts.connected
    assert fleet.broker.log.count("New client connected") == before


def test_plain_mqtt_finds_no_ear(fleet: Fleet) -> None:
    with sink(MqttConfig(port=fleet.sites), "s1") as plain:
        wait(lambda: plain.problem not in (None, "not connected yet"))
        assert not plain.counts.connected


def test_a_broker_that_another_authority_vouches_for_is_not_trusted(fleet: Fleet) -> None:
    for authority in ("stranger/broker-ca.pem", "site-ca.pem"):
        tls = fleet.tls("site", "s1", ca=authority)
        with sink(MqttConfig(port=fleet.sites, tls=tls), "s1") as careful:
            until = time.monotonic() + PATIENCE_S
            while "its certificate is refused" not in (careful.problem or ""):
                assert time.monotonic() < until, careful.problem
                time.sleep(0.01)


@pytest.mark.parametrize("has_key", [False, True])
def test_no_site_can_name_another_ones_session(fleet: Fleet, has_key: bool) -> None:
    own = fleet.config("site", "s1")
    guess = client_id_of(own, "s2") if has_key else "sirend-s2"  # the only key that the thief has is its own
    with sink(fleet.config("site", "s2"), "s2") as victim:
        wait(lambda: victim.counts.connected)
        with sink(replace(own, client_id=guess), "s1") as thief:
            wait(lambda: thief.counts.connected)
            time.sleep(0.3)
            assert victim.counts.connected
            assert victim.counts.reconnects == 0


def test_a_replay_and_a_self_test_leave_the_daemon_of_their_site_alone(fleet: Fleet) -> None:
    config = fleet.config("site", "s1")
    with sink(config, "s1") as daemon:
        wait(lambda: daemon.counts.connected)
        for name in ("replay", "selftest"):
            with Delivery(config, "s1", ["main"], name) as guest:  # raises when the broker refuses anything
                guest.publish(event("s1"))
                guest.selftest({"passed": True})
        assert daemon.counts.connected
        assert daemon.counts.reconnects == 0
        assert "sirend/s1/selftest" in fleet.broker.log


def test_the_name_of_a_daemon_is_its_own_and_stays(fleet: Fleet) -> None:
    config = fleet.config("site", "s1")
    name = client_id_of(config, "s1")
    assert re.fullmatch("sirend-s1-[0-9a-f]{16}", name)
    assert client_id_of(config, "s1") == name
    assert client_id_of(replace(config, tls=fleet.tls("site", "s2")), "s1") != name
    assert client_id_of(replace(config, client_id="box"), "s1") == "box"
    assert client_id_of(MqttConfig(), "s1") == "sirend-s1"
    with pytest.raises(ConfigError, match=r"nobody\.key: cannot be read: No such file"):
        client_id_of(replace(config, tls=fleet.tls("site", "nobody")), "s1")
