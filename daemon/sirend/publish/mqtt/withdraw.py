"""Takes from the broker what a site has left there, for a site that is given up.

    python -m sirend.publish.mqtt.withdraw /etc/sirend/sirend.yaml

`make uninstall PURGE=yes` runs it. Where the broker does not let it, it prints the commands that do the same.
"""

from __future__ import annotations

import shlex
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from paho.mqtt.enums import MQTTProtocolVersion

from sirend.config.load import load
from sirend.errors import SirendError
from sirend.publish.mqtt.access import client_id_of, new_client
from sirend.publish.mqtt.connection import Connection
from sirend.publish.mqtt.home_assistant import discovery
from sirend.publish.mqtt.outbox import Message
from sirend.publish.mqtt.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sirend.config.settings import Config

PATIENCE_S = 10.0


def retained(config: Config) -> list[str]:
    """Return the topics on which a message of the site may stand."""
    topics = Topics(config.mqtt.prefix, config.site)
    states = [topics.state(approach.name) for approach in config.approaches]
    return [*states, topics.health, topics.selftest, *discovery(config), topics.availability]


def withdraw(config: Config) -> list[str]:
    """Empty the site's retained topics; return those that were not, because the broker is away or refuses."""
    left = retained(config)
    until = time.monotonic() + PATIENCE_S
    for protocol in (MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311):
        wakened, waker = socket.socketpair()
        with wakened, waker:
            client = new_client(config.mqtt, f"{client_id_of(config.mqtt, config.site)}-withdraw", protocol)
            connection = Connection(client, wakened, lambda _: None)
            try:
                connection.open(config.mqtt.host, config.mqtt.port, config.mqtt.keepalive_s)
                left = _empty(connection, left, until)
            except (OSError, ValueError):
                continue
        if connection.answer is not None and not connection.answer.is_failure:  # an older protocol says nothing
            break
    return left


def _empty(connection: Connection, topics: Sequence[str], until: float) -> list[str]:
    """Send an empty message to each of ``topics``; return those that were not acknowledged."""
    waiting, left, answered = list(topics), list(topics), 0
    while connection.end is None and answered < len(topics) and time.monotonic() < until:
        while connection.is_accepted and connection.has_room and waiting:
            connection.send(Message(waiting.pop(0), b"", retain=True), time.monotonic())
        connection.turn(0.1)
        for message, code in connection.acknowledgements:
            answered += 1
            if not code.is_failure:
                left.remove(message.topic)
        connection.acknowledgements.clear()
    if connection.is_accepted:
        connection.leave()
    return left


def main(words: Sequence[str]) -> int:
    """Withdraw what the site of a configuration file has left; return 0 when nothing is left."""
    try:
        config = load(Path(words[0]), for_onlooker=True)
        left = withdraw(config)
    except SirendError as error:
        sys.stdout.write(f"what the site has left at the broker was not removed: {error}\n")
        return error.exit_code
    if not left:
        sys.stdout.write(f"removed what {config.site} had left at {config.mqtt.host}\n")
        return 0
    sys.stdout.write(f"messages of {config.site} may still stand at {config.mqtt.host}; these commands remove them:\n")
    for topic in left:
        place = f"-h {shlex.quote(config.mqtt.host)} -p {config.mqtt.port}"
        sys.stdout.write(f"  mosquitto_pub {place} -q 1 -r -n -t {shlex.quote(topic)}\n")
    return 69


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
