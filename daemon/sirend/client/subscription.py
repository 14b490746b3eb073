"""The way from the broker to the consumer: a session that keeps a connection, and a lock around the consumer."""

from __future__ import annotations

import logging
import math
import threading
import time
import uuid
from collections import deque
from typing import TYPE_CHECKING, Self

from sirend.client.consumer import Moment
from sirend.publish.mqtt.backoff import Backoff
from sirend.publish.mqtt.outbox import Message
from sirend.publish.mqtt.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paho.mqtt.reasoncodes import ReasonCode

    from sirend.client.consumer import Call, Consumer, Refusal
    from sirend.client.statement import Fault
    from sirend.config.settings import MqttConfig
    from sirend.publish.mqtt.bounded_client import Incoming

_log = logging.getLogger(__name__)

MOST_WAITING = 64
"""Acknowledgements that may wait for the broker, and messages that nobody has signed and nobody looked at yet."""
LOOK_S = 0.25
"""With a key, how often what nobody has signed is looked at: in a flood that is what costs."""
QUIET_S = 10.0
"""Refusals of one kind are logged at most this often: whoever can publish must not be able to fill a disk."""
SILENCE_S = 90.0
"""A site says how it is every 30 s; one that is silent for three times as long is told of, and sought elsewhere."""
RARELY = 10
"""It is sought after so long, twice, four times, at most so many times as long."""
BACKOFF = Backoff(cap_s=3.0)
"""Who listens cannot know that a call waits at the broker, so it is never away for long."""
_CLOSE_S = 1.2


class Subscription:
    """Feeds a consumer from the broker while the ``with`` block lasts. A missing broker is waited for."""

    listens_first = True

    def __init__(self, config: MqttConfig, consumer: Consumer, *, backoff: Backoff | None = None) -> None:
        """Prepare to follow the site of ``consumer``; raise ``ConfigError`` when a secret or certificate is missing."""
        self._consumer = consumer
        # Never the daemon's own name, which the same file may hold: the two would throw each other out.
        name = f"{config.client_id}-listen" if config.client_id else f"sirend-listen-{uuid.uuid4()}"
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._outgoing: deque[Message] = deque(maxlen=MOST_WAITING)
        self._doubtful: deque[Incoming] = deque()
        self._late: dict[str, Incoming] = {}
        self._look_at = -math.inf
        self._hurried = 0
        """Messages beside the states that were taken at once since what is doubtful was looked at."""
        self._logged: dict[Fault, float] = {}
        self._subscribed_at = math.inf
        self._is_5 = True
        self._is_each_named = False
        """Whether each approach is asked for by its name: some brokers show nothing for a wildcard."""
        self._is_answered = True
        self._alive_at = -math.inf
        self._silence: str | None = None
        self._seek_at = -math.inf
        self._sought = 0
        self._differs: str | None = None
        self._session = Session(config, name, self, name="sirend-client", backoff=backoff or BACKOFF)

    @property
    def is_connected(self) -> bool:
        """Whether the broker has taken the subscription and not gone since."""
        return self._session.is_subscribed

    @property
    def is_open(self) -> bool:
        """Whether something can be published."""
        return self._session.is_open

    @property
    def problem(self) -> str | None:
        """Why nothing can be heard, or that nothing is, or not for long, or would not count; None when all is well."""
        session = self._session
        return session.problem or self._silence or self._differs or session.unrest or session.ending

    @property
    def fault(self) -> str | None:
        """Why nothing is heard any more until the process is started anew; None while something may be."""
        return self._session.fault

    def __enter__(self) -> Self:
        """Start the network thread."""
        self._session.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Send what waits and disconnect; takes 2 s at most."""
        self._session.close(_CLOSE_S)

    def changes(self, timeout_s: float) -> list[Call]:
        """Wait for a message, at most ``timeout_s``; return what changed, also by the mere passing of time."""
        self._news.wait(timeout_s)
        self._news.clear()
        with self._lock:
            return self._consumer.changes(Moment.now())

    def effective(self) -> list[Call]:
        """Return what is to be acted on at each approach now."""
        with self._lock:
            return self._consumer.effective(Moment.now())

    def publish(self, topic: str, payload: bytes, valid_for_s: float) -> None:
        """Queue a message that is dropped when it cannot be delivered within ``valid_for_s``; return at once."""
        self._outgoing.append(Message(topic, payload, retain=False, deadline=time.monotonic() + valid_for_s))
        self._session.wake()

    # What follows is the session's: it comes on the network thread.

    @property
    def is_urgent(self) -> bool:
        """Whether a call is in force, whose end or continuation must be heard."""
        return any(call.is_active for call in self.effective())

    @property
    def has_more(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._outgoing)

    def topics(self, *, is_5: bool) -> list[tuple[str, int]]:
        """Return what is followed.

        With MQTT 5 that is every approach, so that one which nothing is mapped to is told. Where a broker refuses the
        wildcard, or ends the connection for it, it is each by its name. An older broker cannot keep
        a giant message to itself; one that stands on a topic of nobody would end every connection. States come with QoS
        0: each is said again every second, and a broker's queue for QoS 1 that a flood has filled takes no more. On an
        older broker all do: a cluster of RabbitMQ 3.10 would wait for the node that has the queue, even a dead one.
        """
        topics = self._consumer.topics
        is_wild = is_5 and not self._is_each_named
        states = [topics.states] if is_wild else [topics.state(approach) for approach in self._consumer.approaches]
        return [(topics.availability, int(is_5)), *((state, 0) for state in states), (topics.health, 0)]

    def will(self, number: int) -> Message | None:  # noqa: ARG002  nobody waits for a consumer
        """Return None: nobody waits for a consumer."""
        return None

    def opened(self, number: int, *, is_5: bool) -> str:  # noqa: ARG002  the same on each connection
        """Return what is followed, for the log."""
        self._is_5, self._is_answered = is_5, False
        if self._silence is None:
            self._subscribed_at = math.inf
        return f", following {self._consumer.topics.states}"

    def take(self, now: float) -> Message | None:
        """Return the next acknowledgement that is still of use."""
        while self._outgoing:
            message = self._outgoing.popleft()
            if not message.is_stale(now):
                return message
        return None

    def sent(self, message: Message, now: float) -> None:
        """Nothing needs remembering."""

    def too_large(self, message: Message) -> None:
        """Tell that a message was dropped."""
        self._session.log(logging.WARNING, f"takes no message as large as that on {message.topic}; dropped")

    def acknowledged(self, message: Message, code: ReasonCode) -> None:
        """Tell of a message that the broker refused."""
        if code.is_failure:
            self._session.log(logging.WARNING, f"refused a message on {message.topic}: {code}")

    def subscribed(self, refused: Sequence[tuple[str, ReasonCode]]) -> str | None:
        """Return that the broker shows less than a consumer needs; health is only a sign of life."""
        needed = [(topic, code) for topic, code in refused if topic != self._consumer.topics.health]
        self._is_answered = True
        if needed:
            self._is_each_named = self._is_each_named or self._consumer.topics.states in dict(needed)
            return "refused the subscription to " + ", ".join(f"{topic} ({code})" for topic, code in needed)
        if self._silence is None:  # else it stays told until something is heard
            self._subscribed_at = time.monotonic()
        return None

    def received(self, message: Incoming) -> None:
        """Take what is signed at once; the rest waits, and in a flood the oldest of it is only counted.

        A state that was said before is told by its number, before anything else is read of it. ``availability`` and
        health take ten times as long to verify; with a key they decide on nothing that a fresh state does not, so in a
        flood of them the newest waits for a moment.
        """
        consumer, topic = self._consumer, message.topic
        if not (self._is_5 or message.retained) and topic == consumer.topics.health:
            self._alive_at = time.monotonic()  # an old broker carries no signature of it
        if consumer.keys is None:
            if len(self._doubtful) >= MOST_WAITING:  # nobody can tell which of them is true
                self._deliver_doubtful()
        elif consumer.topics.approach_of(topic) is None:
            if self._hurried < MOST_WAITING:
                self._hurried += 1
                self._deliver(message)
            else:
                if topic in self._late:
                    self._log(consumer.crowded_out(topic))
                self._late[topic] = message
            return
        elif consumer.is_genuine(topic, message.payload):
            if (worn := consumer.worn(topic, message.payload, Moment.now())) is None:
                self._deliver(message)
            else:
                self._log(worn)
            return
        elif len(self._doubtful) >= MOST_WAITING:
            self._log(consumer.crowded_out(self._doubtful.popleft().topic))
        self._doubtful.append(message)

    def _deliver_doubtful(self) -> None:
        self._doubtful.extend(self._late.values())
        self._late.clear()
        while self._doubtful:
            self._deliver(self._doubtful.popleft())

    def _deliver(self, message: Incoming) -> None:
        is_state = self._consumer.topics.approach_of(message.topic) is not None  # and says everything in its payload
        properties = {} if is_state else message.properties
        with self._lock:
            refusal = self._consumer.take(
                message.topic,
                message.payload,
                Moment.now(),
                retained=message.retained,
                properties=properties,
            )
        if refusal is not None:
            self._log(refusal)
        self._news.set()

    def tick(self, now: float) -> None:
        """Look at what nobody signed, at how long the site has been silent, and at its clock."""
        if self._consumer.keys is None or now >= self._look_at:
            self._look_at, self._hurried = now + LOOK_S, 0
            self._deliver_doubtful()
        self._listen_for_silence(now)
        differs = self._consumer.mapping_problem or self._consumer.clock_problem
        if differs is not None and self._differs is None:
            _log.warning("%s: %s", self._session.place, differs)
        self._differs = differs

    def _listen_for_silence(self, now: float) -> None:
        """Tell of a site that is silent, and seek it on another connection.

        It may be dead. But a node of a cluster that is cut off from the others, or has forgotten a subscription, keeps
        a connection up and shows nothing for ever.
        """
        silent_s = now - max(self._consumer.heard_s, self._subscribed_at, self._alive_at)
        if silent_s <= SILENCE_S:
            self._silence = None
            return
        if self._silence is None:
            self._silence = f"nothing was heard of the site for {SILENCE_S:g} s; it says how it is every 30 s"
            _log.warning("%s: %s", self._session.place, self._silence)
            self._seek_at, self._sought = now, 0
        if now >= self._seek_at:
            self._seek_at, self._sought = now + SILENCE_S * min(RARELY, 2**self._sought), self._sought + 1
            self._session.renew("shows nothing of the site")

    def closed(self, unacknowledged: list[Message]) -> None:  # noqa: ARG002  see below
        """Forget acknowledgements: the next say how things are then."""
        if not self._is_answered:
            self._is_each_named = not self._is_each_named
        self._doubtful.clear()
        self._late.clear()

    def _log(self, refusal: Refusal) -> None:
        """Log a refusal, unless one of its kind was logged just now."""
        now = time.monotonic()
        if now - self._logged.get(refusal.fault, -QUIET_S) >= QUIET_S:
            self._logged[refusal.fault] = now
            _log.warning("refused %s (%s, %d so far)", refusal, refusal.fault, self._consumer.refused[refusal.fault])
