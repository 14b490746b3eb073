"""What arrives from the broker: single statements, and all that a broken or hostile broker may send instead."""

from __future__ import annotations

import json
import socket
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from tests.fuzz.attack import Parser, is_readable
from tests.fuzz.inputs import edited_json, nested_json, spliced
from tests.transitions import CALL

from sirend.call.clock import ReplayClock
from sirend.call.event import to_json
from sirend.call.scribe import Scribe
from sirend.client import Consumer, Keyring, Subscription, Topics
from sirend.client.consumer import Moment
from sirend.client.statement import StatementError, parse_statement
from sirend.config.settings import MqttConfig
from sirend.controller.listen import line_of
from sirend.publish.mqtt.backoff import Backoff
from sirend.publish.mqtt.publisher import Mqtt
from sirend.signing import canonical

if TYPE_CHECKING:
    from pathlib import Path

    from sirend.call.event import Event

KEY = b"0123456789abcdef"
NOW = datetime(2026, 11, 22, 21, 3, 4, tzinfo=UTC)
PATIENCE_S = 60.0


def event(now: datetime = NOW, *, sign: bool = False) -> Event:
    """Return a call of the site s at its approach main."""
    by = Scribe(
        site="s",
        boot_id="b",
        mode="live",
        model="m",
        clock=ReplayClock(now),
        valid_for_s=5.0,
        sign_key=KEY if sign else None,
    )
    return by.write(CALL)


_TOPICS = Topics("sirend", "s")
_SIGNED = json.loads(to_json(event(sign=True)))
STATEMENTS = st.one_of(
    edited_json(_SIGNED),
    nested_json(_SIGNED),
    spliced(st.just(to_json(event(sign=True)).encode()), head=400),
    st.binary(max_size=100),
)


def _statement(data: bytes, _folder: Path) -> None:
    try:
        statement = parse_statement(data)
    except StatementError as error:
        is_readable(error)
    else:
        assert statement.seq > 0
        assert statement.reason.isprintable()


STATEMENT = Parser("statement", STATEMENTS, _statement)


def _message(data: bytes, _folder: Path) -> None:
    """Nothing that was not signed ever calls, and what was said is one line of JSON."""
    now = Moment(NOW + timedelta(seconds=1.0), 1.0)
    for keys in (Keyring.of(KEY), None):
        consumer = Consumer(_TOPICS, ["main"], keys, rehearsal=True)
        consumer.take(_TOPICS.availability, b"online", now)
        refusal = consumer.take(_TOPICS.state("main"), data, now)
        (call,) = consumer.effective(now)
        assert "\n" not in line_of(call)
        if refusal is not None:
            is_readable(Exception(str(refusal)))
            assert not call.is_active
        if call.is_active and keys is not None:
            assert canonical(json.loads(data)) == canonical(_SIGNED)
        consumer.take(_TOPICS.availability, data, now)
        is_proof = keys is not None and call.is_active  # a signed word is proof of life, whatever availability says
        assert is_proof or not consumer.effective(now)[0].is_active or data == b"online"


MESSAGE = Parser("message", STATEMENTS, _message)


# The wire

_CONNACK_5 = bytes.fromhex("2003000000")
_CONNACK_3 = bytes.fromhex("20020000")
_QUICK = Backoff(first_s=0.001, cap_s=0.001)


def _packet(kind: int, body: bytes) -> bytes:
    """Return an MQTT packet of less than 16 KiB."""
    return bytes([kind, 0x80 | len(body) % 128, len(body) // 128]) + body


def _publish(topic: str, payload: bytes, *, is_5: bool = True) -> bytes:
    """Return a PUBLISH at QoS 0 without properties."""
    name = topic.encode()
    return _packet(0x30, len(name).to_bytes(2, "big") + name + (b"\0" if is_5 else b"") + payload)


_PACKETS = st.one_of(
    st.sampled_from(
        (
            _CONNACK_5,
            _CONNACK_3,
            bytes.fromhex("2006000003210014"),  # CONNACK with a property
            bytes.fromhex("2003008400"),  # another version is wanted
            bytes.fromhex("900400010001"),  # SUBACK
            bytes.fromhex("40020001"),  # PUBACK
            bytes.fromhex("e000"),  # DISCONNECT
            bytes.fromhex("e0028e00"),  # another took the name
            bytes.fromhex("d000"),  # PINGRESP
            bytes.fromhex("f000"),  # AUTH
            bytes.fromhex("30ffffff7f"),  # a PUBLISH of 256 MB
        )
    ),
    st.sampled_from((_TOPICS.state("main"), _TOPICS.availability, "", "\0", "é" * 50)).flatmap(
        lambda topic: st.one_of(STATEMENTS, st.just(b"online")).map(lambda payload: _publish(topic, payload[:9_000]))
    ),
    st.binary(max_size=20),
)


def _serve(server: socket.socket, data: bytes) -> socket.socket:
    """Send the first client ``data`` and hang up; take the next one in as a broker does, and return its connection."""
    connection, _ = server.accept()
    with connection:
        connection.settimeout(PATIENCE_S)
        connection.recv(4_096)
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4_096):
                pass
        except OSError:  # it hung up itself
            pass
    connection, _ = server.accept()
    connection.settimeout(PATIENCE_S)
    return connection


def _listen() -> socket.socket:
    """Return a server on a free port of its own, where no late connection of another client waits."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(PATIENCE_S)
    return server


def _consumer_comes_back(data: bytes) -> None:
    with _listen() as server:
        config = MqttConfig(port=server.getsockname()[1])
        subscription = Subscription(config, Consumer(_TOPICS, ["main"], Keyring.of(KEY)), backoff=_QUICK)
        with subscription, _serve(server, data) as connection:
            is_5 = connection.recv(4_096).partition(b"MQTT")[2][:1] == b"\x05"
            said = to_json(event(datetime.now(UTC), sign=True)).encode()
            connection.sendall(_CONNACK_5 if is_5 else _CONNACK_3)
            connection.sendall(_publish(_TOPICS.availability, b"online", is_5=is_5))
            connection.sendall(_publish(_TOPICS.state("main"), said, is_5=is_5))
            until = time.monotonic() + PATIENCE_S
            while not any(call.is_active for call in subscription.changes(0.05)):
                assert time.monotonic() < until, "the call never came"
            connection.shutdown(socket.SHUT_RDWR)


def _daemon_comes_back(data: bytes) -> None:
    with _listen() as server:
        config = MqttConfig(port=server.getsockname()[1])
        with Mqtt(config, "s", ["main"], backoff=_QUICK) as sink, _serve(server, data) as connection:
            is_5 = connection.recv(4_096).partition(b"MQTT")[2][:1] == b"\x05"
            connection.sendall(_CONNACK_5 if is_5 else _CONNACK_3)
            until = time.monotonic() + PATIENCE_S
            while not sink.counts.connected:
                assert time.monotonic() < until, "the daemon never came back"
                time.sleep(0.001)
            connection.shutdown(socket.SHUT_RDWR)


def _broker(data: bytes, _folder: Path) -> None:
    """Whatever a broker sends, consumer and daemon are back at once on the next connection, and it works."""
    _consumer_comes_back(data)
    _daemon_comes_back(data)


BROKER = Parser("broker", st.lists(_PACKETS, min_size=1, max_size=4).map(b"".join), _broker)
