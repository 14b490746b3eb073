"""MQTT for a replay or a self-test: neither has time to wait for a broker to come back; a replay is faster than any."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from sirend.errors import DeviceError
from sirend.publish.mqtt.access import client_id_of
from sirend.publish.mqtt.publisher import Mqtt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from sirend.call.event import Event
    from sirend.config.settings import MqttConfig

PATIENCE_S = 10.0
"""How long the broker is waited for: at the start for a connection, later for the backlog."""
BACKLOG = 64
"""Messages that may wait for the broker: the outbox is bounded, and a replay shall not make it drop anything."""


class Delivery:
    """A sink that connects first, keeps pace with the broker, and tells when something was not delivered."""

    def __init__(self, config: MqttConfig, site: str, approaches: Sequence[str], name: str = "replay") -> None:
        """Prepare to tell events of the named ``approaches`` of ``site``, beside a daemon that may be running there.

        ``name`` tells it from that daemon towards the broker.
        """
        self._place = f"MQTT broker {config.host}:{config.port}"
        client_id = f"{client_id_of(config, site)}-{name}"
        self._mqtt = Mqtt(replace(config, client_id=client_id), site, approaches, is_guest=True)

    def __enter__(self) -> Self:
        """Connect; raise ``DeviceError`` when that takes too long."""
        self._mqtt.__enter__()
        if not _comes_true(lambda: self._mqtt.counts.connected):
            problem = self._mqtt.problem
            self._mqtt.__exit__(None, None, None)
            raise DeviceError(f"{self._place}: {problem}; start it, or correct mqtt in the configuration")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the backlog and disconnect; raise ``DeviceError`` when something was not delivered."""
        _comes_true(lambda: self._mqtt.counts.queued == 0)
        self._mqtt.__exit__(kind, error, trace)
        counts = self._mqtt.counts
        lost = counts.queued + counts.dropped_expired + counts.dropped_full + counts.refused
        if lost and kind is None:
            why = f" ({self._mqtt.problem})" if self._mqtt.problem else ""
            raise DeviceError(f"{self._place}: messages not delivered: {lost}{why}; try again when it takes them")

    def publish(self, event: Event) -> None:
        """Queue ``event``, after a while if the broker is slow."""
        _comes_true(lambda: self._mqtt.counts.queued < BACKLOG)
        self._mqtt.publish(event)

    def selftest(self, payload: dict[str, Any]) -> None:
        """Queue the result of a self-test."""
        self._mqtt.selftest(payload)


def _comes_true(holds: Callable[[], bool]) -> bool:
    """Wait for something on the network thread, within bounds; return whether it came."""
    until = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
