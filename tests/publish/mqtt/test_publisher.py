from __future__ import annotations

import dataclasses
import json
import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

import pytest
from tests.transitions import CALL, CLEAR

from sirend.call.clock import LiveClock
from sirend.call.scribe import Scribe
from sirend.config.settings import MqttConfig, TlsConfig
from sirend.errors import ConfigError
from sirend.publish.mqtt.backoff import Backoff
from sirend.publish.mqtt.publisher import Counts, Mqtt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Broker, Subscriber

    from sirend.call.event import Event
    from sirend.call.machine import Transition

pytestmark = pytest.mark.system

QUICK = Backoff(first_s=0.02, cap_s=0.1)
PATIENCE_S = 60.0
ONLINE = ("sirend/s/availability", "online")
OFFLINE = ("sirend/s/availability", "offline")


def _scribe(valid_for_s: float = 5.0) -> Scribe:
    return Scribe(
        site="s", boot_id="b", mode="live", model="m", clock=LiveClock(arrived=lambda: 0), valid_for_s=valid_for_s
    )


def _transition(state: str = "approaching", *, refresh: bool = False, approach: str = "main") -> Transition:
    told = CALL if state == "approaching" else CLEAR
    return dataclasses.replace(told, approach=approach, refresh=refresh)


def _mqtt(port: int, **changes: object) -> Mqtt:
    config = dataclasses.replace(MqttConfig(port=port), **changes)  # type: ignore[arg-type]
    return Mqtt(config, "s", ["main"], backoff=QUICK)


def _wait(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def _known(subscriber: Subscriber, count: int) -> list[tuple[str, str]]:
    """Return topic and state (or plain payload) of the next messages."""
    messages = subscriber.take(count)
    return [
        (message.topic, json.loads(message.payload)["state"] if message.payload[:1] == "{" else message.payload)
        for message in messages
    ]


class Link:
    """A way to the broker that can be cut; ``refuse`` answers CONNECTs of MQTT 5 instead of the broker."""

    def __init__(self, target: int, refuse: bytes | None = None) -> None:
        self._target = target
        self._refuse = refuse
        self._is_up = True
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()
        for thread in self._threads:
            thread.join(PATIENCE_S)
        for sock in (*self._sockets, self._listener):
            sock.close()

    def cut(self) -> None:
        """End every connection without a word and refuse new ones."""
        self._is_up = False
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def say(self, packet: bytes) -> None:
        """Put a packet of the broker's into the connection."""
        self._sockets[0].sendall(packet)

    def mend(self) -> None:
        """Let connections through again."""
        self._is_up = True

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(near)
            if not self._is_up:
                near.shutdown(socket.SHUT_RDWR)
                continue
            first = near.recv(4096)
            if self._refuse is not None and first[8:9] == b"\5":  # the protocol level in CONNECT
                near.sendall(self._refuse)
                near.shutdown(socket.SHUT_RDWR)
                continue
            far = socket.create_connection(("127.0.0.1", self._target))
            far.sendall(first)
            self._sockets.append(far)
            for source, sink in ((near, far), (far, near)):
                self._threads.append(threading.Thread(target=self._pass_on, args=(source, sink)))
                self._threads[-1].start()

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(4096):
                sink.sendall(data)
        for sock in (source, sink):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def test_topics_retention_qos_and_expiry_follow_the_contract(broker: Broker) -> None:
    scribe = _scribe()
    call, refresh, end = (
        scribe.write(_transition()),
        scribe.write(_transition(refresh=True)),
        scribe.write(_transition("clear")),
    )
    with broker.subscribe() as subscriber:
        with _mqtt(broker.port) as sink:
            assert _known(subscriber, 2) == [("sirend/s/main/emergency", ""), ONLINE]
            for event in (call, refresh, end):
                sink.publish(event)
            sink.health({"b": 1, "a": None})
            received = subscriber.take(6)
        assert _known(subscriber, 1) == [OFFLINE]
    assert [(m.topic.removeprefix("sirend/s/"), m.retain, m.expiry_s) for m in received] == [
        ("main/emergency", True, 5),
        ("main/event", False, 5),
        ("main/emergency", True, 5),
        ("main/emergency", True, None),
        ("main/event", False, 5),
        ("health", True, None),
    ]
    assert {m.qos for m in received} == {1}
    assert [json.loads(m.payload)["seq"] for m in received[:-1]] == [1, 1, 2, 3, 3]
    assert received[-1].payload == '{"a":null,"b":1}'


def test_a_late_subscriber_finds_availability_state_and_health(broker: Broker) -> None:
    with _mqtt(broker.port, prefix="city/west") as sink:
        sink.publish(_scribe().write(_transition()))
        sink.health({"state": "ok"})
        _wait(lambda: sink.counts.published >= 4 and sink.counts.queued == 0)
        with broker.subscribe("city/west/#") as subscriber:
            found = {message.topic: message for message in subscriber.take(3)}
    assert found["city/west/s/availability"].payload == "online"
    assert json.loads(found["city/west/s/main/emergency"].payload)["state"] == "approaching"
    assert found["city/west/s/health"].payload == '{"state":"ok"}'
    assert (found["city/west/s/main/emergency"].expiry_s or 0) <= 5


def test_the_first_connection_clears_what_an_earlier_run_left_before_anything_else(broker: Broker) -> None:
    with broker.subscribe() as subscriber:
        subscriber.publish("sirend/s/main/emergency", '{"state":"approaching"}', retain=True)
        assert _known(subscriber, 1) == [("sirend/s/main/emergency", "approaching")]
        sink = _mqtt(broker.port)
        sink.publish(_scribe().initial("main"))
        with sink:
            assert _known(subscriber, 2) == [("sirend/s/main/emergency", "clear"), ONLINE]


def test_an_unknown_state_takes_away_what_an_earlier_run_left(broker: Broker) -> None:
    with broker.subscribe() as subscriber:
        subscriber.publish("sirend/s/main/emergency", '{"state":"approaching"}', retain=True)
        with _mqtt(broker.port):
            assert _known(subscriber, 3)[1:] == [("sirend/s/main/emergency", ""), ONLINE]
    with broker.subscribe() as late:
        assert _known(late, 1) == [OFFLINE]


def test_everything_published_before_a_clean_close_arrives_in_order_before_offline(broker: Broker) -> None:
    scribe = _scribe()
    with broker.subscribe("sirend/s/+/event", "sirend/s/availability") as subscriber:
        with _mqtt(broker.port) as sink:
            _wait(lambda: sink.counts.published == 2)
            for _ in range(50):
                sink.publish(scribe.write(_transition("clear")))
        received = subscriber.take(52)
    assert received[0].payload == "online"
    assert [json.loads(message.payload)["seq"] for message in received[1:-1]] == list(range(1, 51))
    assert received[-1].payload == "offline"
    assert sink.counts == Counts(
        connected=False, queued=0, published=102, dropped_expired=0, dropped_full=0, refused=0, reconnects=0
    )


def test_a_killed_daemon_is_declared_offline_by_its_will(broker: Broker) -> None:
    program = (
        "import sys, time\n"
        "from sirend.config.settings import MqttConfig; from sirend.publish.mqtt.publisher import Mqtt\n"
        "with Mqtt(MqttConfig(port=int(sys.argv[1])), 's', ['main']): time.sleep(600)"
    )
    with broker.subscribe("sirend/s/availability") as subscriber:
        daemon = subprocess.Popen([sys.executable, "-c", program, str(broker.port)], env={"PYTHONPATH": "daemon"})
        try:
            assert _known(subscriber, 1) == [ONLINE]
        finally:
            daemon.kill()
            daemon.wait(PATIENCE_S)
        (will,) = subscriber.take(1)
    assert (will.topic, will.payload, will.retain, will.qos) == (*OFFLINE, True, 1)


def test_after_an_outage_availability_and_the_current_state_go_before_the_events(broker: Broker) -> None:
    scribe = _scribe(valid_for_s=60.0)
    with broker.subscribe() as subscriber, Link(broker.port) as link, _mqtt(link.port) as sink:
        assert _known(subscriber, 2) == [("sirend/s/main/emergency", ""), ONLINE]
        link.cut()
        _wait(lambda: not sink.counts.connected)
        assert _known(subscriber, 1) == [OFFLINE]
        for event in (_transition(), _transition("clear"), _transition(), _transition(refresh=True)):
            sink.publish(scribe.write(event))
        assert sink.counts.queued == 3
        link.mend()
        received = subscriber.take(5)
        _wait(lambda: sink.counts.published == 7)
        assert sink.counts.reconnects == 1
    assert [(m.topic, m.payload) for m in received[:1]] == [ONLINE]
    assert [m.topic for m in received[1:]] == ["sirend/s/main/emergency"] + ["sirend/s/main/event"] * 3
    assert [json.loads(m.payload)["seq"] for m in received[1:]] == [4, 1, 2, 3]


def test_what_expired_in_an_outage_is_dropped_counted_and_never_delivered(broker: Broker) -> None:
    with broker.subscribe() as subscriber, Link(broker.port) as link, _mqtt(link.port) as sink:
        subscriber.until(*ONLINE)
        link.cut()
        _wait(lambda: not sink.counts.connected)
        subscriber.until(*OFFLINE)
        sink.publish(_scribe(valid_for_s=0.01).write(_transition()))
        fresh = _scribe(valid_for_s=60.0).write(_transition("clear", approach="side"))
        sink.publish(fresh)
        time.sleep(0.05)
        link.mend()
        assert _known(subscriber, 3) == [ONLINE, ("sirend/s/main/emergency", ""), ("sirend/s/side/event", "clear")]
        assert sink.counts.dropped_expired == 2


def test_an_event_that_waited_expires_at_the_broker_when_it_would_have_anyway(broker: Broker) -> None:
    with broker.subscribe() as subscriber, Link(broker.port) as link, _mqtt(link.port) as sink:
        subscriber.until(*ONLINE)
        link.cut()
        _wait(lambda: not sink.counts.connected)
        sink.publish(_scribe(valid_for_s=60.0).write(_transition("clear")))
        time.sleep(2.0)
        link.mend()
        (event,) = [m for m in subscriber.until("sirend/s/main/event") if m.topic == "sirend/s/main/event"]
    assert 1 <= (event.expiry_s or 0) <= 58


def test_an_event_without_acknowledgement_is_sent_again_after_the_outage(broker: Broker) -> None:
    with broker.subscribe("sirend/s/main/event") as subscriber, Link(broker.port) as link, _mqtt(link.port) as sink:
        _wait(lambda: sink.counts.connected)
        broker.signal(signal.SIGSTOP)
        sink.publish(_scribe(valid_for_s=60.0).write(_transition("clear")))
        _wait(lambda: sink.counts.queued == 0)
        link.cut()
        _wait(lambda: not sink.counts.connected)
        broker.signal(signal.SIGCONT)
        link.mend()
        received = subscriber.take(1)
        _wait(lambda: sink.counts.connected and sink.counts.queued == 0)
    assert json.loads(received[0].payload)["seq"] == 1


def test_a_line_that_is_half_dead_is_given_up_before_its_keepalive(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sirend.publish.mqtt.session.ANSWER_S", 0.3)
    with broker.subscribe("sirend/s/main/event") as subscriber, _mqtt(broker.port) as sink:
        _wait(lambda: sink.counts.published == 2)
        broker.signal(signal.SIGSTOP)
        sink.publish(_scribe(valid_for_s=60.0).write(_transition("clear")))
        _wait(lambda: "accepts connections but does not answer" in caplog.text)
        broker.signal(signal.SIGCONT)
        assert _known(subscriber, 1) == [("sirend/s/main/event", "clear")]
        _wait(lambda: sink.counts.connected and sink.counts.queued == 0)
    assert "does not acknowledge messages; trying again until it works" in caplog.text


def test_a_broker_that_does_not_hear_the_farewell_publishes_the_will(broker: Broker) -> None:
    with broker.subscribe("sirend/s/availability") as subscriber:
        with _mqtt(broker.port) as sink:
            assert _known(subscriber, 1) == [ONLINE]
            _wait(lambda: sink.counts.published == 2)
            broker.signal(signal.SIGSTOP)
        broker.signal(signal.SIGCONT)
        assert _known(subscriber, 1) == [OFFLINE]


def test_a_broker_that_lost_its_memory_is_told_everything_again(broker: Broker) -> None:
    with _mqtt(broker.port) as sink:
        sink.publish(_scribe(valid_for_s=60.0).write(_transition()))
        sink.health({"state": "ok"})
        _wait(lambda: sink.counts.published >= 4)
        broker.kill()
        _wait(lambda: not sink.counts.connected)
        assert sink.problem is not None
        broker.start()
        _wait(lambda: sink.counts.connected and sink.counts.queued == 0)
        with broker.subscribe() as subscriber:
            found = {message.topic: message.payload for message in subscriber.take(3)}
        assert sink.counts.reconnects == 1
        assert sink.problem is None
    assert found["sirend/s/availability"] == "online"
    assert found["sirend/s/health"] == '{"state":"ok"}'
    assert json.loads(found["sirend/s/main/emergency"])["state"] == "approaching"


def test_a_broker_absent_at_the_start_is_waited_for_and_told_of_once(
    make_broker: Callable[..., Broker], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sirend.publish.mqtt")
    broker = make_broker()
    with _mqtt(broker.port) as sink:
        sink.publish(_scribe(valid_for_s=60.0).write(_transition()))
        time.sleep(0.5)
        assert sink.problem == "cannot be reached: Connection refused"
        assert caplog.messages == [
            f"MQTT broker 127.0.0.1:{broker.port}: cannot be reached: Connection refused; trying again until it works"
        ]
        broker.start()
        _wait(lambda: sink.counts.published == 3)
        with broker.subscribe("sirend/s/main/emergency") as subscriber:
            assert _known(subscriber, 1) == [("sirend/s/main/emergency", "approaching")]
    assert caplog.messages[1:] == [f"MQTT broker 127.0.0.1:{broker.port}: connected with MQTT 5"]


def test_closing_without_a_broker_tells_what_was_lost(
    make_broker: Callable[..., Broker], caplog: pytest.LogCaptureFixture
) -> None:
    broker = make_broker()
    with _mqtt(broker.port) as sink:
        sink.publish(_scribe().write(_transition()))
    assert caplog.messages[-1] == f"MQTT broker 127.0.0.1:{broker.port}: 1 events were never delivered"
    assert sink.counts.queued == 1


def test_a_wrong_password_is_named_and_a_mended_one_taken_up(
    make_broker: Callable[..., Broker], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    passwords, secret = tmp_path / "passwords", tmp_path / "pw"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "u", "right"], check=True)
    secret.write_text("wrong\n")
    broker = make_broker("allow_anonymous false", f"password_file {passwords}")
    broker.start()
    with _mqtt(broker.port, username="u", password_file=secret) as sink:
        _wait(lambda: sink.problem == "refused the connection: Not authorized")
        assert not sink.counts.connected
        secret.write_text("right\n")
        _wait(lambda: sink.counts.connected)
    assert "wrong" not in caplog.text
    assert caplog.text.count("Not authorized") == 1


def test_a_message_the_broker_forbids_is_counted_and_named(
    make_broker: Callable[..., Broker], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite sirend/s/availability\n")
    broker = make_broker("allow_anonymous true", f"acl_file {rules}")
    broker.start()
    with _mqtt(broker.port) as sink:
        _wait(lambda: sink.counts.refused == 1 and sink.counts.published == 1)
    assert "refused a message on sirend/s/main/emergency: Not authorized" in caplog.text


@pytest.mark.parametrize("answer", [b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00", b""], ids=["3.1.1", "5", "silence"])
def test_a_broker_without_mqtt_5_is_spoken_to_in_3_1_1(
    broker: Broker, answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with broker.subscribe() as subscriber, Link(broker.port, refuse=answer) as link:
        with _mqtt(link.port) as sink:
            subscriber.until(*ONLINE)
            sink.publish(_scribe().write(_transition()))
            state, event = subscriber.take(2)
        assert _known(subscriber, 1) == [OFFLINE]
    assert (state.topic, state.retain, state.expiry_s) == ("sirend/s/main/emergency", True, None)
    assert (event.topic, event.retain, event.expiry_s) == ("sirend/s/main/event", False, None)
    assert "connected with MQTT 3.1.1, for it refuses MQTT 5: messages do not expire in it" in caplog.text


def test_a_second_daemon_with_our_name_is_told_of(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(_mqtt(broker.port))
        _wait(lambda: first.counts.connected)
        second = stack.enter_context(_mqtt(broker.port))
        _wait(lambda: first.counts.reconnects + second.counts.reconnects > 0)
    assert ": lost the connection; " in caplog.text or "ended the connection: Session taken over" in caplog.text


def test_the_brokers_own_word_on_the_end_is_passed_on(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    with Link(broker.port) as link, _mqtt(link.port) as sink:
        _wait(lambda: sink.counts.connected)
        link.say(b"\xe0\x07\x8b\x05\x1f\x00\x02by")  # DISCONNECT
        _wait(lambda: sink.counts.reconnects == 1)
    assert "ended the connection: Server shutting down; trying again until it works" in caplog.text


def test_a_silent_broker_neither_blocks_nor_fills_the_memory() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with _mqtt(silent.getsockname()[1]) as sink:
            scribe = _scribe(valid_for_s=600.0)
            for _ in range(1000):
                sink.publish(scribe.write(_transition("clear")))
            assert sink.counts.queued == 256
            assert sink.counts.dropped_full == 744
        assert sink.counts.published == 0


def _certificates(folder: Path) -> None:
    """Make an authority, a broker's certificate for 127.0.0.1 and a client's, and an authority nobody trusts."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, cwd=folder, capture_output=True)

    (folder / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    for name in ("ca", "other"):
        openssl(*new, "-x509", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")
    for name in ("broker", "client"):
        openssl(*new[:-2], "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signing = ("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial")
        openssl(*signing, "-out", f"{name}.pem", "-days", "2", "-extfile", "san")
    openssl("ec", "-in", "client.key", "-aes128", "-passout", "pass:x", "-out", "locked.key")


@pytest.mark.usefixtures("collected")
def test_tls_with_client_certificates(make_broker: Callable[..., Broker], tmp_path: Path) -> None:
    _certificates(tmp_path)
    broker = make_broker(
        f"cafile {tmp_path}/ca.pem",
        f"certfile {tmp_path}/broker.pem",
        f"keyfile {tmp_path}/broker.key",
        "require_certificate true",
        "allow_anonymous true",
    )
    broker.start()
    cert, key = tmp_path / "client.pem", tmp_path / "client.key"
    with _mqtt(broker.port, tls=TlsConfig(tmp_path / "ca.pem", cert, key)) as sink:
        sink.publish(_scribe().write(_transition()))
        _wait(lambda: sink.counts.published >= 3)
    with _mqtt(broker.port, tls=TlsConfig(tmp_path / "other.pem", cert, key)) as sink:
        _wait(lambda: sink.problem is not None and "its certificate is refused" in sink.problem)
    with pytest.raises(ConfigError, match=r"mqtt\.tls: the certificates cannot be used: "):
        _mqtt(broker.port, tls=TlsConfig(tmp_path / "ca.pem", cert, tmp_path / "locked.key"))


def test_an_unusable_password_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the secret cannot be read"):
        _mqtt(1883, username="u", password_file=tmp_path / "none")
    (tmp_path / "pw").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="the password is not UTF-8 text"):
        _mqtt(1883, username="u", password_file=tmp_path / "pw")


def test_the_back_off_is_jittered_bounded_and_grows() -> None:
    backoff = Backoff(first_s=0.5, cap_s=8.0)
    for failures, bound in ((0, 0.5), (1, 1.0), (3, 4.0), (4, 8.0), (5, 8.0), (10_000, 8.0)):
        delays = [backoff.delay_s(failures) for _ in range(300)]
        assert min(delays) >= 0.0
        assert 0.8 * bound < max(delays) <= bound
        assert len(set(delays)) > 250


def test_an_event_of_a_stepped_clock_is_never_valid_for_longer_than_configured(broker: Broker) -> None:
    ahead: Event = dataclasses.replace(
        _scribe().write(_transition()),
        at=datetime.now(UTC) + timedelta(hours=3),
        valid_until=datetime.now(UTC) + timedelta(hours=3, seconds=5),
    )
    with broker.subscribe() as subscriber, _mqtt(broker.port) as sink:
        subscriber.until(*ONLINE)
        sink.publish(ahead)
        assert {message.expiry_s for message in subscriber.take(2)} == {5}


def test_what_an_earlier_run_left_is_put_right_without_a_word_and_what_comes_now_is_told(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    with broker.subscribe("sirend/#") as reader:
        reader.publish("sirend/s/health", '{"state":"failed"}', retain=True)
        with _mqtt(broker.port) as sink:
            sink.health({"state": "ok"})
            reader.until("sirend/s/health", '{"state":"ok"}')
            time.sleep(0.5)
            assert "something else" not in caplog.text
            reader.publish("sirend/s/health", '{"state":"failed"}', retain=True)
            reader.until("sirend/s/health", '{"state":"ok"}')
            _wait(lambda: "on sirend/s/health stands something else" in caplog.text)
