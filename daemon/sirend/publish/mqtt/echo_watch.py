"""What stands on the daemon's own retained topics beside what should stand there. Pure.

Whoever may publish can put something else there: the late will of a frozen predecessor, a spare daemon that was started
and stopped, an empty message of an operator. Subscribers believe it, so the truth is said again.

What was said and never comes back reached nobody: a broker acknowledges what its access rules refuse, under MQTT 3.1.1
it cannot even say so. That is told, and the truth is said again now and then.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sirend.publish.mqtt.outbox import Message

AGAIN_S = 0.3
"""Between two corrections of a topic: within a second, and yet no storm when two daemons claim the same site."""
ECHO_S = 0.5
"""So long a message of ours may be on its way to the broker and back."""
FLOOD = 200
"""More foreign messages within a second than this are a flood: nobody listens to it, the truth is said regularly."""
DEAF_S = 10.0
"""How long nobody listens then."""
BLIND_S = 0.5
"""How often the truth is said meanwhile."""
UNHEARD_S = 10.0
"""What does not come back for so long, while the broker shows the topic, was not passed on."""
RETRY_S = 30.0
"""How often it is said again then."""


@dataclass(slots=True)
class _Topic:
    """One topic: the truth, what of it is on its way, and whether something else came last."""

    truth: Message
    under_way: deque[tuple[Message, float]] = field(default_factory=lambda: deque(maxlen=32))
    is_wrong: bool = False
    corrected_at: float = float("-inf")
    unheard_since: float | None = None
    """When the first of what was said since it came back last was said."""

    def valid_truth(self, now: float) -> Message:
        """Return the truth, or where it has expired, that nothing is known."""
        return replace(self.truth, payload=b"", deadline=None) if self.truth.is_stale(now) else self.truth


class EchoWatch:
    """Compares what is heard with what was said. Lives on the network thread."""

    def __init__(self, topics: Sequence[str]) -> None:
        """Watch over ``topics``."""
        self._names = tuple(topics)
        self._topics: dict[str, _Topic] = {}
        self._second = 0
        self._foreign = 0
        self._deaf_until = float("-inf")
        self._corrected = 0
        self._shown: frozenset[str] = frozenset()
        self._retried_at = float("-inf")

    @property
    def corrected(self) -> int:
        """Times that the truth was said again."""
        return self._corrected

    def topics(self, now: float) -> tuple[str, ...]:
        """Return what to listen to: nothing for a while after a flood."""
        return () if now < self._deaf_until else self._names

    def problem(self, now: float) -> str | None:
        """Return that the broker does not pass on what it takes, as a predicate of it; None where it does."""
        lost = self._unheard(now)
        if not lost:
            return None
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        return (
            f"takes what is said on {lost[0]}{more} and shows it to nobody; its access rules must let us write and read"
        )

    def _unheard(self, now: float) -> list[str]:
        return [
            name
            for name, topic in self._topics.items()
            if name in self._shown and topic.unheard_since is not None and now - topic.unheard_since > UNHEARD_S
        ]

    def begin(self) -> None:
        """Start a connection, whose first words are those that stand."""
        self._shown = frozenset()
        for topic in self._topics.values():
            topic.under_way.clear()
            topic.is_wrong = False
            topic.unheard_since = None

    def shows(self, topics: Iterable[str]) -> None:
        """Hear that the broker shows these ``topics`` from now on; an empty message of before it does not repeat."""
        self._shown = frozenset(topics)
        for topic in self._topics.values():
            topic.unheard_since = None

    def sent(self, message: Message, now: float) -> None:
        """Take notice of a message that is on its way to the broker."""
        if message.topic not in self._names or not message.retain:
            return
        topic = self._topics.setdefault(message.topic, _Topic(message))
        topic.truth = message
        topic.under_way.append((message, now))
        if message.topic in self._shown and topic.unheard_since is None:
            topic.unheard_since = now

    def observe(self, name: str, payload: bytes, properties: dict[str, str], now: float) -> bool:
        """Compare a message of the broker with what was said; return whether somebody else said it."""
        topic = self._topics.get(name)
        if topic is None:
            return False
        while topic.under_way and topic.under_way[0][1] < now - 10.0 * ECHO_S:
            topic.under_way.popleft()
        for place, (message, _) in enumerate(topic.under_way):
            if _is_same(message, payload, properties):
                topic.unheard_since = None
                for _ in range(place + 1):
                    topic.under_way.popleft()
                topic.is_wrong = False
                return False
        topic.is_wrong = not _is_same(topic.truth, payload, properties)
        if topic.is_wrong:
            self._count(now)
        return topic.is_wrong

    def _count(self, now: float) -> None:
        if int(now) != self._second:
            self._second, self._foreign = int(now), 0
        self._foreign += 1
        if self._foreign > FLOOD:
            self._deaf_until = now + DEAF_S
            self._shown = frozenset()

    def due(self, now: float) -> Iterator[Message]:
        """Yield what has to be said again; of a state that has expired meanwhile, that nothing is known."""
        is_deaf = now < self._deaf_until
        if (lost := self._unheard(now)) and now - self._retried_at >= RETRY_S:
            self._retried_at = now
            yield from (self._topics[name].valid_truth(now) for name in lost)
        for topic in self._topics.values():
            waits = bool(topic.under_way) and topic.under_way[-1][1] > now - ECHO_S and not is_deaf
            again_s = BLIND_S if is_deaf else AGAIN_S
            if (topic.is_wrong or is_deaf) and not waits and now - topic.corrected_at >= again_s:
                topic.corrected_at, topic.is_wrong = now, False
                self._corrected += 1
                yield topic.valid_truth(now)


def _is_same(message: Message, payload: bytes, properties: dict[str, str]) -> bool:
    """Return whether what was heard is ``message``; an old protocol brings no properties."""
    return payload == message.payload and (not properties or properties == dict(message.properties))
