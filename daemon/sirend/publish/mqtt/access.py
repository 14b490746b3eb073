"""How a client gets to its broker: a new one of paho for each connection, and what is kept of those before."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from sirend.config.secrets import secret
from sirend.errors import ConfigError
from sirend.host.addresses import CONNECT_S, Addresses
from sirend.host.files import read_regular
from sirend.publish.mqtt.bounded_client import BoundedClient
from sirend.publish.mqtt.certificates import Certificates

if TYPE_CHECKING:
    from pathlib import Path

    from paho.mqtt.client import Client

    from sirend.config.settings import MqttConfig
    from sirend.publish.mqtt.outbox import Message

WINDOW = 10
"""Messages under way without acknowledgement; fewer than the 20 that brokers allow by default."""


@dataclass(frozen=True, slots=True)
class Access:
    """What one connection leaves to the next."""

    addresses: Addresses
    """Where the broker was."""
    certificates: Certificates | None
    """None where nothing is encrypted."""

    @classmethod
    def of(cls, config: MqttConfig) -> Access:
        """Begin with nothing known."""
        certificates = None if config.tls is None else Certificates(config.tls)
        return cls(Addresses(config.host, config.port), certificates)


def client_id_of(config: MqttConfig, site: str) -> str:
    """Return the client identifier of the daemon of ``site``; raise ``ConfigError`` when its key cannot be read.

    A broker gives the session of a name to whoever comes under it last. With a key for TLS a part of the name is made
    of that key, so that it stays the same over restarts, but no other site of the broker can know it.
    """
    name = config.client_id or f"sirend-{site}"
    file = None if config.tls is None or config.client_id else config.tls.key_file
    if file is None:
        return name
    try:
        return f"{name}-{hmac.new(read_regular(file), b'sirend client id', hashlib.sha256).hexdigest()[:16]}"
    except OSError as error:
        raise ConfigError("mqtt.tls", [f"{file}: cannot be read: {error.strerror or error}"]) from None


def new_client(
    config: MqttConfig,
    name: str,
    protocol: MQTTProtocolVersion,
    will: Message | None = None,
    access: Access | None = None,
) -> BoundedClient:
    """Return a client called ``name`` that is ready to connect; raise ``ConfigError`` when it lacks a secret or key.

    ``access`` is what is kept of the connections before.
    """
    access = access or Access.of(config)
    client = BoundedClient(CallbackAPIVersion.VERSION2, client_id=name, protocol=protocol, reconnect_on_failure=False)
    client.connect_timeout = CONNECT_S
    client.addresses = access.addresses
    client.max_inflight_messages_set(WINDOW)
    client.max_queued_messages_set(WINDOW)
    if will is not None:
        properties = user_properties(will, PacketTypes.WILLMESSAGE) if is_5(client) else None
        client.will_set(will.topic, will.payload, qos=1, retain=will.retain, properties=properties)
    if config.username is not None:
        client.username_pw_set(config.username, _password(config.password_file))
    if access.certificates is not None:
        client.tls_set_context(access.certificates.context())
    return client


def _password(file: Path | None) -> str | None:
    try:
        return None if file is None else secret(file).decode()
    except UnicodeDecodeError:
        raise ConfigError(str(file), ["the password is not UTF-8 text"]) from None


def is_5(client: Client) -> bool:
    """Return whether it speaks MQTT 5."""
    return client.protocol is MQTTProtocolVersion.MQTTv5


def user_properties(message: Message, packet: int) -> Properties:
    """Return the user properties of ``message`` as those of a kind of packet."""
    properties = Properties(packet)  # type: ignore[no-untyped-call]
    if message.properties:
        properties.UserProperty = list(message.properties)
    return properties
