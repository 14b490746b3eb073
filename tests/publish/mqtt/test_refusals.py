"""A broker that takes what is said and then refuses it, or ends the connection again and again."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from tests.publish.mqtt.hostile import Hostile
from tests.publish.mqtt.test_session import BOTH, is_up, made, old, scribe, wait
from tests.resolver import resolve
from tests.transitions import CALL, CLEAR

from sirend.publish.mqtt.outbox import Message
from sirend.publish.mqtt.publisher import Mqtt
from sirend.publish.mqtt.refusals import Refusals
from sirend.publish.mqtt.unrest import Unrest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Broker

pytestmark = pytest.mark.system
STATE = "sirend/s/main/emergency"


@pytest.mark.parametrize(("code", "words"), [(0x87, "Not authorized"), (0x97, "Quota exceeded")])
def test_a_clear_and_an_event_that_were_refused_are_told_of_and_said_again(code: int, words: str) -> None:
    """Nobody repeats a clear: the call stood retained, and the event was lost."""
    with Hostile() as broker, made("daemon", broker.port) as party:
        assert isinstance(party, Mqtt)
        writer = scribe()
        wait(lambda: party.counts.published >= 2)
        party.publish(writer.write(CALL))
        wait(lambda: party.counts.published >= 4)
        broker.puback = code
        party.publish(writer.write(CLEAR))
        wait(lambda: f"refuses what is said on {STATE} and 1 more: {words}" in (party.problem or ""))
        broker.puback = 0
        before = len(broker.heard)
        wait(lambda: party.problem is None, 10.0)
        again = {heard.topic: json.loads(heard.payload)["state"] for heard in broker.heard[before:]}
        assert again == {STATE: "clear", "sirend/s/main/event": "clear"}
        assert len(broker.connects) == 1


def test_that_the_site_is_there_is_said_until_it_is_taken() -> None:
    with Hostile(puback=0x97) as broker, made("daemon", broker.port) as party:
        wait(lambda: [heard.topic for heard in broker.heard].count("sirend/s/availability") >= 2)
        assert "refuses what is said on" in (party.problem or "")
        broker.puback = 0
        wait(lambda: party.problem is None)
        assert broker.heard[-1].topic in ("sirend/s/availability", STATE)


def test_what_is_refused_for_ever_is_said_ever_less_often_and_nothing_stale_is() -> None:
    refusals, said = Refusals(), []
    for topic, retain, deadline in (("a", True, None), ("b", False, 3.0)):
        refusals.refused(Message(topic, b"x", retain=retain, deadline=deadline), "Quota exceeded", 0.0)
    for quarter in range(4 * 600):
        for message in refusals.due(quarter / 4.0):
            said.append((quarter / 4.0, message.topic))
            refusals.refused(message, "Quota exceeded", quarter / 4.0)
    assert 10 < len([at for at, topic in said if topic == "a"]) < 120
    assert all(at <= 3.0 for at, topic in said if topic == "b")
    assert refusals.problem == "refuses what is said on a and 1 more: Quota exceeded"


@pytest.mark.parametrize("kind", BOTH)
def test_a_client_id_that_somebody_else_has_too_is_told_while_the_connection_stands(broker: Broker, kind: str) -> None:
    with made(kind, broker.port, client_id="same") as party:
        name = b"same" if kind == "daemon" else b"same-listen"
        for _ in range(3):
            wait(lambda: is_up(party))
            other = Client(CallbackAPIVersion.VERSION2, name.decode(), protocol=MQTTProtocolVersion.MQTTv5)
            other.connect("127.0.0.1", broker.port)
            other.loop_start()
            wait(lambda: not is_up(party))
            other.disconnect()
            other.loop_stop()
        wait(lambda: is_up(party))
        assert "another client comes with the same client id" in (party.problem or "")


def test_connections_that_end_are_forgotten_after_a_while() -> None:
    unrest = Unrest()
    for at in (0.0, 100.0, 200.0):
        assert unrest.problem(at) is None
        assert unrest.ended("lost the connection", at) == "lost the connection"
    why = "another client comes with the same client id, see mqtt.client_id"
    assert unrest.problem(300.0) == f"lost the connection; 3 times within 10 minutes; perhaps {why}"
    assert unrest.problem(601.0) is None
    said = "ended the connection: Session taken over"
    assert unrest.ended(said, 602.0) == f"{said}; {why}"
    assert unrest.problem(603.0) == f"{said}; {why}; 3 times within 10 minutes"


@pytest.mark.parametrize(("code", "words"), [(0x89, "Server busy"), (0x97, "Quota exceeded"), (0x9D, "Server moved")])
def test_why_the_broker_ends_a_connection_is_told_in_words(code: int, words: str) -> None:
    with Hostile(disconnect=code) as broker, made("daemon", broker.port) as party:
        wait(lambda: party.problem == f"ended the connection: {words}")
        wait(lambda: len(broker.connects) >= 3)
        broker.disconnect = None
        wait(lambda: is_up(party))
        time.sleep(0.3)
        assert is_up(party)


def test_what_a_broker_acknowledges_and_passes_on_to_nobody_is_told_and_said_again(
    make_broker: Callable[..., Broker],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """MQTT 3.1.1 has no word for a refusal: the daemon took each call for delivered, and nobody heard of one."""
    monkeypatch.setattr("sirend.publish.mqtt.echo_watch.UNHEARD_S", 1.0)
    monkeypatch.setattr("sirend.publish.mqtt.echo_watch.RETRY_S", 1.0)
    rules = tmp_path / "acl"
    rules.write_text("topic read sirend/#\ntopic write sirend/s/health\ntopic write sirend/s/availability\n")
    rules.chmod(0o600)
    broker = make_broker("allow_anonymous true", f"acl_file {rules}")
    broker.start()
    with broker.subscribe(STATE) as controller, old(made("daemon", broker.port)) as party:
        assert isinstance(party, Mqtt)
        wait(lambda: "SUBACK to sirend-s" in broker.log)
        time.sleep(0.2)
        party.publish(scribe().write(CALL))
        wait(lambda: f"takes what is said on {STATE} and shows it to nobody" in (party.problem or ""))
        assert not controller.waiting
        rules.write_text("topic sirend/#\n")
        broker.signal(signal.SIGHUP)
        assert json.loads(controller.next().payload)["state"] == "approaching"
        wait(lambda: party.problem is None)
    assert caplog.text.count("shows it to nobody") == 1


def test_what_comes_back_is_no_fault_though_nothing_is_said_for_long(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sirend.publish.mqtt.echo_watch.UNHEARD_S", 0.3)
    for party in (made("daemon", broker.port), old(made("daemon", broker.port))):
        with party:
            assert isinstance(party, Mqtt)
            wait(lambda: is_up(party))  # noqa: B023
            party.publish(scribe().write(CLEAR))
            party.health({"reasons": []})
            until = time.monotonic() + 2.0
            while time.monotonic() < until:
                assert party.problem is None
                time.sleep(0.02)


@pytest.mark.parametrize("kind", BOTH)
def test_a_broker_that_is_frozen_does_not_hide_the_one_beside_it(
    broker: Broker, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its kernel accepts every connection: of two addresses the frozen one was tried again and again."""
    resolve(monkeypatch, "broker.example", "127.0.0.2", "127.0.0.1")
    with (
        socket.create_server(("127.0.0.2", broker.port)),
        made(kind, broker.port, host="broker.example", insecure=True) as party,
    ):
        wait(lambda: is_up(party), 15.0)


@pytest.mark.parametrize("kind", BOTH)
def test_a_name_server_that_falls_silent_keeps_nobody_from_a_broker_that_is_where_it_was(
    broker: Broker, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resolver waited for half a minute, and a call with it, though the broker was back."""
    asked: list[str] = []
    silence = threading.Event()

    def ask() -> None:
        if asked:
            silence.wait(60.0)
        asked.append("broker.example")

    resolve(monkeypatch, "broker.example", "127.0.0.1", before=ask)
    with made(kind, broker.port, host="broker.example", insecure=True) as party:
        wait(lambda: is_up(party))
        broker.kill()
        wait(lambda: not is_up(party))
        broker.start()
        wait(lambda: is_up(party), 10.0)
        assert asked == ["broker.example"]
        silence.set()
