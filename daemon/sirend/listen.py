"""``sirend listen``: what a signal controller would act on, which is less than what it is sent.

A state counts only while the daemon is online and the state's ``valid_until`` lies ahead; everything else is clear.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import MQTT_ERR_SUCCESS
from paho.mqtt.enums import MQTTProtocolVersion

from sirend.connection import new_client
from sirend.events import canonical, is_authentic, utc_text
from sirend.mqtt import Backoff

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

    from sirend.settings import MqttConfig
    from sirend.topics import Topics

LONGEST_VALIDITY = timedelta(seconds=65.0)
"""A state that claims to be valid for longer than ``call.valid_for_s`` can be (60 s) is no state of ours; 5 s are for
clocks that differ."""
POLL_S = 0.2


@dataclass(slots=True)
class Consumer:
    """The rules by which a controller reads the topics of a site. Pure but for its memory."""

    topics: Topics
    approaches: Sequence[str]
    key: bytes | None = None
    """HMAC key; with one, only what it signed counts, and nothing that was said before."""
    _is_online: bool = False
    _states: dict[str, dict[str, Any]] = field(default_factory=dict)
    _last: tuple[str, int] = ("", 0)
    _past_boots: set[str] = field(default_factory=set)

    def take(self, topic: str, payload: bytes, now: datetime) -> str | None:
        """Take a message; return why it was refused, if it was."""
        if topic == self.topics.availability:
            self._is_online = payload == b"online"
            return None
        approach = self.topics.approach_of(topic)
        if approach is None or approach not in self.approaches:
            return None
        if not payload:
            self._states.pop(approach, None)
            return None
        try:
            state = json.loads(payload)
            until = datetime.fromisoformat(state["valid_until"])
            refusal = self._refusal(state, approach, until, now)
        except (ValueError, KeyError, TypeError) as error:
            return f"{topic}: no state of sirend ({type(error).__name__}: {error})"
        if refusal is not None:
            return f"{topic}: {refusal}"
        self._states[approach] = {**state, "until": until}
        return None

    def _refusal(self, state: dict[str, Any], approach: str, until: datetime, now: datetime) -> str | None:
        """Return why ``state`` must not count."""
        if state["state"] not in ("approaching", "clear") or state["approach"] != approach:
            return "it speaks of something else"
        if until > now + LONGEST_VALIDITY:
            return "it claims to be valid for too long"
        return None if self.key is None else self._distrust(state, until, now, self.key)

    def _distrust(self, state: dict[str, Any], until: datetime, now: datetime, key: bytes) -> str | None:
        """Return why ``state`` may come from an impostor, who can repeat what was said but cannot sign."""
        boot_id, seq = state["boot_id"], int(state["seq"])
        if not is_authentic(state, key):
            return "its signature is missing or wrong"
        if state["state"] == "approaching" and until < now:
            return "it is stale"
        if boot_id in self._past_boots or (boot_id == self._last[0] and seq <= self._last[1]):
            return "it was said before"
        if boot_id != self._last[0]:
            self._past_boots.add(self._last[0])
        self._last = (boot_id, seq)
        return None

    def effective(self, now: datetime) -> Iterator[tuple[str, str, str]]:
        """Yield approach, state and reason of what a controller acts on."""
        for approach in self.approaches:
            state = self._states.get(approach)
            if not self._is_online:
                yield approach, "clear", "offline"
            elif state is None:
                yield approach, "clear", "unknown"
            elif state["state"] == "approaching" and state["until"] < now:
                yield approach, "clear", "expired"
            else:
                yield approach, str(state["state"]), str(state["reason"])


def listen(config: MqttConfig, consumer: Consumer, say: Callable[[str], None], stop: threading.Event) -> None:
    """Connect and ``say`` each change of what a controller acts on, as a line of JSON, until ``stop`` is set."""
    log = logging.getLogger(__name__)
    topics = consumer.topics

    def on_message(_client: Client, _userdata: object, message: MQTTMessage) -> None:
        refusal = consumer.take(message.topic, bytes(message.payload), datetime.now(UTC))
        if refusal is not None:
            log.warning("refused %s", refusal)

    def on_connect(client: Client, _u: object, _f: ConnectFlags, code: ReasonCode, _p: Properties | None) -> None:
        if code.is_failure:
            log.warning("MQTT broker %s:%d: %s; trying again", config.host, config.port, code)
        client.subscribe([(topics.availability, 1), (topics.states, 1)])

    said: dict[str, tuple[str, str]] = {}
    failures = 0
    while not stop.is_set():
        client = new_client(config, f"sirend-listen-{uuid.uuid4()}", MQTTProtocolVersion.MQTTv5)
        client.on_message, client.on_connect = on_message, on_connect
        try:
            client.connect(config.host, config.port, config.keepalive_s)
            failures = 0
            while not stop.is_set() and client.loop(POLL_S) == MQTT_ERR_SUCCESS:
                _tell(consumer, said, say)
            client.disconnect()
        except OSError as error:
            log.warning("MQTT broker %s:%d: %s; trying again", config.host, config.port, error.strerror or error)
        failures += 1
        until = time.monotonic() + Backoff().delay_s(failures)
        while time.monotonic() < until and not stop.wait(POLL_S):
            _tell(consumer, said, say)


def _tell(consumer: Consumer, said: dict[str, tuple[str, str]], say: Callable[[str], None]) -> None:
    """Say what changed since it was ``said``."""
    now, site = datetime.now(UTC), consumer.topics.site
    for approach, state, reason in consumer.effective(now):
        if said.get(approach, ("",))[0] != state:
            say(canonical({"at": utc_text(now), "site": site, "approach": approach, "state": state, "reason": reason}))
        said[approach] = (state, reason)
