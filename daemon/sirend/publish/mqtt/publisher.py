"""The daemon's way to the broker: a sink that queues and returns; a session does the talking.

What an outage leaves is decided by the ``Outbox`` alone, and what somebody else puts on the site's topics is put right
by the ``EchoWatch``.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from sirend.call.event import to_json
from sirend.call.state import CallState
from sirend.publish.mqtt.access import client_id_of
from sirend.publish.mqtt.echo_watch import EchoWatch
from sirend.publish.mqtt.outbox import Message, Outbox
from sirend.publish.mqtt.refusals import Refusals
from sirend.publish.mqtt.session import Session
from sirend.publish.mqtt.stamp import Stamp
from sirend.publish.mqtt.topics import Topics
from sirend.signing import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paho.mqtt.reasoncodes import ReasonCode

    from sirend.call.event import Event
    from sirend.config.settings import MqttConfig
    from sirend.publish.mqtt.backoff import Backoff
    from sirend.publish.mqtt.bounded_client import Incoming

_log = logging.getLogger(__name__)

_CAPACITY = 256
_CLOSE_S = 1.5
"""How long a clean close waits for the last acknowledgements."""
_QUIET_S = 60.0
"""Somebody else on our topics is told of at most this often."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the messages since the start; the ``outbox`` of the health message."""

    connected: bool
    queued: int
    published: int
    """Acknowledged by the broker."""
    dropped_expired: int
    dropped_full: int
    refused: int
    """Acknowledged with a refusal."""
    reconnects: int
    dropped_large: int = 0
    """Larger than the broker takes."""
    corrected: int = 0
    """Said again because somebody else had put something in its place."""


class Mqtt:
    """A sink that publishes events, states, health and availability as ``sirend/{site}/...``."""

    listens_first = False  # its own retained messages replace what stands before anything of it is read

    def __init__(  # noqa: PLR0913  a guest and a host differ in little else
        self,
        config: MqttConfig,
        site: str,
        approaches: Sequence[str],
        *,
        backoff: Backoff | None = None,
        announcements: Mapping[str, bytes] = MappingProxyType({}),
        is_guest: bool = False,
        boot_id: str | None = None,
        sign_key: bytes | None = None,
    ) -> None:
        """Prepare to speak for the named ``approaches`` of ``site``; nothing is connected yet.

        ``announcements`` are further retained messages by topic, sent last at each new connection.
        A guest (a replay, a self-test) publishes events and nothing else: no availability, no will, no state and no
        health, for those are a live daemon's, and a controller that acts on it must not lose its call to a recording.
        ``boot_id`` names the run in what is said of it, and ``sign_key`` signs that.
        Raises ``ConfigError`` when the password or the certificates cannot be used.
        """
        self._topics = Topics(config.prefix, site)
        self._states = [self._topics.state(approach) for approach in approaches]
        self._outbox = Outbox(_CAPACITY)
        self._stamp = None if boot_id is None else Stamp(site, boot_id, sign_key)
        self._is_guest = is_guest
        self._watch = EchoWatch(() if is_guest else (self._topics.availability, self._topics.health, *self._states))
        if not is_guest:
            for topic in self._states:  # until a state is known, nothing an earlier run left may stand
                self._outbox.put(Message(topic, b"", retain=True))
        self._announced = list(announcements)
        for topic, payload in announcements.items():
            self._outbox.put(Message(topic, payload, retain=True))
        self._calls: dict[str, float] = {}
        self._number = 0
        self._published = 0
        self._refused = 0
        self._refusals = Refusals()
        self._told_at = -_QUIET_S
        self._unheard: str | None = None
        self._session = Session(config, client_id_of(config, site), self, name="sirend-mqtt", backoff=backoff)

    @property
    def counts(self) -> Counts:
        """What became of the messages so far."""
        return Counts(
            connected=self._session.is_open,
            queued=len(self._outbox),
            published=self._published,
            dropped_expired=self._outbox.dropped_expired,
            dropped_full=self._outbox.dropped_full,
            refused=self._refused,
            reconnects=max(0, self._session.connects - 1),
            dropped_large=self._outbox.dropped_large,
            corrected=self._watch.corrected,
        )

    @property
    def problem(self) -> str | None:
        """Why there is no connection now, or what is wrong with the one that there is; None when all is well."""
        session = self._session
        return session.problem or self._refusals.problem or self._unheard or session.unrest or session.ending

    @property
    def fault(self) -> str | None:
        """Why nothing is delivered any more until the process is started anew; None while something may be."""
        return self._session.fault

    def __enter__(self) -> Self:
        """Start the network thread, which keeps trying until the end; a missing broker is no error."""
        self._session.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Deliver what waits, say ``offline`` and disconnect; takes about 2 s at most."""
        self._session.close(_CLOSE_S)
        if len(self._outbox):
            _log.warning("%s: %d events were never delivered", self._session.place, len(self._outbox))

    def publish(self, event: Event) -> None:
        """Queue the approach's state and, unless ``event`` only repeats it, the event; return at once."""
        payload = to_json(event).encode()
        deadline = time.monotonic() + _remaining_s(event)
        standing = deadline if event.state is CallState.APPROACHING else None
        if not self._is_guest:
            self._calls[event.approach] = -1.0 if standing is None else standing
            self._outbox.put(Message(self._topics.state(event.approach), payload, retain=True, deadline=standing))
        if not event.refresh:
            self._outbox.put(Message(self._topics.event(event.approach), payload, retain=False, deadline=deadline))
        self._session.wake()

    def health(self, payload: dict[str, Any]) -> None:
        """Queue the health message, JSON values of ``sirend/health/1``; return at once. Not for guests."""
        self._publish_retained(self._topics.health, "health", payload)

    def selftest(self, payload: dict[str, Any]) -> None:
        """Queue the result of a self-test, JSON values of ``sirend/selftest/1``; return at once."""
        self._publish_retained(self._topics.selftest, "selftest", payload)

    def _publish_retained(self, topic: str, kind: str, payload: dict[str, Any]) -> None:
        self._outbox.put(self._stamped(topic, kind, canonical(payload).encode()))
        self._session.wake()

    def _stamped(self, topic: str, kind: str, payload: bytes) -> Message:
        properties = () if self._stamp is None else self._stamp.properties(kind, payload, self._number)
        return Message(topic, payload, retain=True, properties=properties)

    # What follows is the session's: it comes on the network thread.

    @property
    def is_urgent(self) -> bool:
        """Whether a call stands that the broker has to hear of."""
        now = time.monotonic()
        return any(until > now for until in tuple(self._calls.values()))

    @property
    def has_more(self) -> bool:
        """Whether something waits to be sent."""
        return len(self._outbox) > 0

    def topics(self, *, is_5: bool) -> list[tuple[str, int]]:  # noqa: ARG002  the same in both
        """Return the daemon's own retained topics; what is lost on the way is no harm, so QoS 0 does."""
        return [(topic, 0) for topic in self._watch.topics(time.monotonic())]

    def will(self, number: int) -> Message | None:
        """Return ``offline``, which speaks for this run and this connection only."""
        if self._is_guest:
            return None
        self._number = number
        return self._stamped(self._topics.availability, "availability", b"offline")

    def opened(self, number: int, *, is_5: bool) -> str:  # noqa: ARG002  the same in both
        """Begin with what must be known first."""
        self._number = number
        if not self._is_guest:
            self._outbox.put(self._stamped(self._topics.availability, "availability", b"online"))
        self._watch.begin()
        # After an outage, `online` goes first: the controller waits for it. A first connection clears what an earlier
        # run left before it says that this run is there to answer for it.
        present = self._topics.availability
        opening = [present, *self._states] if self._session.connects else [*self._states, present]
        told_last = (self._topics.health, self._topics.selftest, *self._announced)
        self._outbox.begin([*opening, *told_last], time.monotonic())
        return ""

    def take(self, now: float) -> Message | None:
        """Return what to send next."""
        return self._outbox.take(now)

    def sent(self, message: Message, now: float) -> None:
        """Remember what should stand."""
        self._watch.sent(message, now)

    def too_large(self, message: Message) -> None:
        """Count what this broker does not take; the rest goes on."""
        self._outbox.too_large()
        self._session.log(
            logging.ERROR,
            f"takes no message as large as that on {message.topic}, {len(message.payload)} bytes; dropped",
        )

    def acknowledged(self, message: Message, code: ReasonCode) -> None:
        """Count a message that arrived or was refused."""
        if code.is_failure:
            self._refused += 1
            self._refusals.refused(message, str(code), time.monotonic())
            self._session.log(logging.ERROR, f"refused a message on {message.topic}: {code}")
        else:
            self._published += 1
            self._refusals.taken(message)

    def subscribed(self, refused: Sequence[tuple[str, ReasonCode]]) -> str | None:
        """Tell once that nobody watches over some topics; events and states go on."""
        self._watch.shows(set(self._watch.topics(time.monotonic())) - {topic for topic, _ in refused})
        if refused:
            names = ", ".join(f"{topic} ({code})" for topic, code in refused)
            self._session.log(logging.WARNING, f"does not show what stands on {names}; it cannot be put right")
        return None

    def received(self, message: Incoming) -> None:
        """Compare what stands on the site's topics with what should; what stood there before we came is put right too.

        Of that nothing is told: at each start it is the last word of our own earlier run.
        """
        now = time.monotonic()
        is_foreign = self._watch.observe(message.topic, message.payload, message.properties, now)
        if is_foreign and not message.retained and now - self._told_at >= _QUIET_S:
            self._told_at = now
            _log.warning(
                "%s: on %s stands something else, by a late will or another client; saying again what is true",
                self._session.place,
                message.topic,
            )

    def tick(self, now: float) -> None:
        """Say the truth again where something else stands, and what was refused; tell what reaches nobody."""
        unheard = self._watch.problem(now)
        if unheard is not None and self._unheard is None:
            _log.error("%s: %s", self._session.place, unheard)
        self._unheard = unheard
        for message in self._watch.due(now):
            self._outbox.put(message)
        for message in self._refusals.due(now):
            self._outbox.put_again(message, now)

    def closed(self, unacknowledged: list[Message]) -> None:
        """Keep the events that did not arrive."""
        self._refusals.closed()
        self._outbox.end(unacknowledged)


def _remaining_s(event: Event) -> float:
    """Return how long ``event`` is still valid, s; the times of a replay say nothing about now."""
    span_s = (event.valid_until - event.at).total_seconds()
    if event.mode == "replay":
        return span_s
    return min(span_s, (event.valid_until - datetime.now(UTC)).total_seconds())
