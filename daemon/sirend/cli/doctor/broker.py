"""The broker: whether it takes the site in, how long it takes to answer, and what it lets the site write.

The doctor comes under a name of its own, so that it does not take the daemon's place. What it writes while the daemon
may be running is an empty, short-lived message where each event is told: consumers do not follow that topic for calls.
"""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from paho.mqtt.enums import MQTTProtocolVersion

from sirend.cli.doctor.finding import Finding, Grade
from sirend.errors import ConfigError
from sirend.publish.mqtt.access import Access, client_id_of, new_client
from sirend.publish.mqtt.connection import Connection
from sirend.publish.mqtt.dialect import UNSUPPORTED
from sirend.publish.mqtt.outbox import Message
from sirend.publish.mqtt.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sirend.config.settings import Config
    from sirend.publish.mqtt.certificates import Certificates

ANSWER_S = 5.0
EXPIRY_S = 1.0
SLOW_S = 1.0
"""A round trip over this makes a call late."""


def broker(config: Config, *, is_stopped: bool) -> Iterator[Finding]:
    """Yield how the broker answers and which topics of the site it lets be written.

    All topics are tried only where the service ``is_stopped``: what is written there would tell consumers something.
    """
    wake, waker = socket.socketpair()
    with wake, waker:
        try:
            access = Access.of(config.mqtt)
            for protocol in (MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311):
                connection, took_s = connect(config, access, protocol, wake)
                if str(connection.answer) != UNSUPPORTED:
                    break
            yield accepted(config, connection, protocol, took_s)
            if connection.is_accepted:
                if access.certificates is not None:
                    yield certificates(access.certificates, connection)
                yield from rights(connection, config, protocol, is_stopped=is_stopped)
                connection.leave()
        except (OSError, ValueError, ConfigError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or str(error)
            text = f"{config.mqtt.host}:{config.mqtt.port}: {why}; check mqtt.host, mqtt.port and the network"
            yield Finding("broker", Grade.FAULT, text)


def connect(
    config: Config, access: Access, protocol: MQTTProtocolVersion, wake: socket.socket
) -> tuple[Connection, float]:
    """Return a connection that was answered, or not in time, and how long that took, s."""
    mqtt = config.mqtt
    name = client_id_of(replace(mqtt, client_id=None), config.site)
    client = new_client(mqtt, f"{name}-doctor", protocol, access=access)
    connection = Connection(client, wake, lambda _: None)
    began = time.monotonic()
    connection.open(mqtt.host, mqtt.port, mqtt.keepalive_s)
    until(connection, lambda: connection.answer is not None)
    return connection, time.monotonic() - began


def accepted(config: Config, connection: Connection, protocol: MQTTProtocolVersion, took_s: float) -> Finding:
    """Return what the broker said to the connection."""
    place = f"{config.mqtt.host}:{config.mqtt.port}"
    if not connection.is_accepted:
        said = connection.answer or connection.end or f"no answer within {ANSWER_S:.0f} s"
        text = f"{place}: {said}; check mqtt.username, password and certificates, and the broker's own log"
        return Finding("broker", Grade.FAULT, text)
    how = "TLS" if config.mqtt.tls else "not encrypted"
    is_new = protocol is MQTTProtocolVersion.MQTTv5
    version = "5" if is_new else "3.1.1, in which no message expires"
    text = f"{place}: connected in {1000 * took_s:.0f} ms, MQTT {version}, {how}"
    return Finding("broker", Grade.OK if is_new else Grade.WARNING, text)


def certificates(known: Certificates, connection: Connection) -> Finding:
    """Return whether those of both sides are good for a while."""
    known.met(connection.peer_certificate)
    problem = known.problem(datetime.now(UTC))
    return Finding("TLS", Grade.WARNING if problem else Grade.OK, problem or "none of them ends soon")


def rights(
    connection: Connection, config: Config, protocol: MQTTProtocolVersion, *, is_stopped: bool
) -> Iterator[Finding]:
    """Yield which topics may be written, and how long the broker takes to acknowledge a message."""
    topics = Topics(config.mqtt.prefix, config.site)
    names = [approach.name for approach in config.approaches]
    tried = {topics.event(name): b"" for name in names}
    if is_stopped:
        tried |= {topics.state(name): b"" for name in names}
        tried |= {topics.availability: b"offline", topics.health: b"", topics.selftest: b""}
    refused, took = [], []
    for topic, payload in tried.items():
        began = time.monotonic()
        connection.send(Message(topic, payload, retain=False, deadline=began + EXPIRY_S), began)
        until(connection, lambda: bool(connection.acknowledgements))
        if not connection.acknowledgements:
            said = connection.end or f"does not acknowledge within {ANSWER_S:.0f} s"
            yield Finding("rights", Grade.FAULT, f"{topic}: the broker {said}")
            return
        took.append(time.monotonic() - began)
        if connection.acknowledgements.pop()[1].is_failure:
            refused.append(topic)
    slowest = max(took)
    text = f"acknowledges within {1000 * slowest:.0f} ms"
    yield Finding("round trip", Grade.OK if slowest < SLOW_S else Grade.WARNING, text)
    if refused:
        yield Finding("rights", Grade.FAULT, f"may not write {', '.join(refused)}; correct the broker's access rules")
    elif protocol is MQTTProtocolVersion.MQTTv5:
        yield Finding("rights", Grade.OK, f"may write {', '.join(tried)}")
    else:
        yield Finding("rights", Grade.SKIPPED, "with MQTT 3.1.1 a broker does not say what it refuses")
    if not is_stopped:
        left = "states, availability, health and self-tests, which consumers act on"
        yield Finding("rights", Grade.SKIPPED, f"{left}: stop the service and add --stopped")


def until(connection: Connection, holds: Callable[[], bool]) -> None:
    """Turn the connection until ``holds`` does, it ended, or the broker had its time."""
    limit = time.monotonic() + ANSWER_S
    while not holds() and connection.end is None and time.monotonic() < limit:
        connection.turn(0.05)
