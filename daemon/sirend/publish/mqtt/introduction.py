"""From CONNECT to CONNACK: a new client each time, in the MQTT that the broker understands."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from paho.mqtt.enums import MQTTProtocolVersion

from sirend.publish.mqtt.access import new_client
from sirend.publish.mqtt.connection import Connection
from sirend.publish.mqtt.dialect import Dialect

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from sirend.config.settings import MqttConfig
    from sirend.publish.mqtt.access import Access
    from sirend.publish.mqtt.party import Party

QUIET_PART = 0.25
"""Who only listens asks a silent broker whether it lives after this part of the keepalive: the line may be dead."""
_TURN_S = 0.2
"""How long one turn waits for CONNACK."""


class Rejection(Exception):  # noqa: N818  a broker that is away is no error
    """Why the broker did not take us, as a predicate of it."""


class Introduction:
    """Makes connections for a party. It lives on the network thread."""

    def __init__(self, config: MqttConfig, client_id: str, party: Party, access: Access) -> None:
        """Prepare to connect as ``client_id``; raise ``ConfigError`` when a secret or certificate cannot be used."""
        self._config = config
        self._client_id = client_id
        self._party = party
        self._access = access
        self.dialect = Dialect()
        """What is spoken; who serves a connection tells it how that went."""
        new_client(config, client_id, self.dialect.protocol, access=access)

    def connect(
        self, number: int, wakened: socket.socket, answer_s: float, close_by: Callable[[], float]
    ) -> Connection:
        """Return a connection that the broker accepted; raise ``Rejection`` when it did not.

        ``number`` is that of the party's attempt. It may take ``answer_s`` to answer, and no longer than until the
        monotonic time ``close_by``, which is infinite while nobody wants to leave.
        """
        connection = self._ask(number, wakened, answer_s, close_by)
        while not connection.is_accepted:
            answer = connection.answer
            is_tried_anew = self.dialect.rejected(None if answer is None else str(answer))
            if not is_tried_anew or close_by() < math.inf:
                raise Rejection(f"refused the connection: {answer}" if answer else connection.end or "did not answer")
            connection = self._ask(number, wakened, answer_s, close_by)
        if not self.dialect.is_guessed():
            return connection
        # It is there now, so what it says to MQTT 5 counts: whatever stood before it may have hung up on that.
        connection.leave()
        self.dialect.settle_for(MQTTProtocolVersion.MQTTv5)
        connection = self._ask(number, wakened, answer_s, close_by)
        if connection.is_accepted:
            return connection
        self.dialect.settle_for(MQTTProtocolVersion.MQTTv311)
        if close_by() < math.inf:
            raise Rejection("is left")
        return self.connect(number, wakened, answer_s, close_by)

    def _ask(self, number: int, wakened: socket.socket, answer_s: float, close_by: Callable[[], float]) -> Connection:
        """Return a new connection, with the broker's answer to it if there was one in time."""
        client = new_client(
            self._config, self._client_id, self.dialect.protocol, self._party.will(number), self._access
        )
        connection = Connection(client, wakened, self._party.received)
        if self._party.listens_first:  # it says nothing whose acknowledgement it would miss
            client.quiet_s = self._config.keepalive_s * QUIET_PART
        connection.open(self._config.host, self._config.port, self._config.keepalive_s)
        answer_by = time.monotonic() + answer_s
        while connection.answer is None and connection.end is None:
            if time.monotonic() > min(answer_by, close_by()):
                connection.drop("accepts connections but does not answer")
                break
            connection.turn(_TURN_S)
        return connection
