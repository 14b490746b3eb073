"""What waits for the broker: bounded, in order, and never stale.

Retained messages (availability, states, health) are remembered by topic, for each new connection begins with their
latest. Events wait in a queue. Whatever outlived its validity is dropped and counted, never sent.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Message:
    """One MQTT message."""

    topic: str
    payload: bytes
    retain: bool
    deadline: float | None = None
    """Monotonic time, s, after which it must not be sent; None is never."""
    properties: tuple[tuple[str, str], ...] = ()
    """User properties of MQTT 5; an older protocol leaves them out."""

    def is_stale(self, now: float) -> bool:
        """Return whether the deadline lies before the monotonic time ``now``."""
        return self.deadline is not None and self.deadline <= now


class Outbox:
    """Filled by the pipeline and emptied by the network thread; no call waits for the other side."""

    def __init__(self, capacity: int) -> None:
        """Hold at most ``capacity`` messages in the queue; the oldest make room."""
        self._capacity = capacity
        self._lock = threading.Lock()
        self._retained: dict[str, Message] = {}
        self._queue: deque[Message] = deque()
        self._is_open = False
        self._dropped_expired = 0
        self._dropped_full = 0
        self._dropped_large = 0

    def __len__(self) -> int:
        """Messages that wait in the queue."""
        return len(self._queue)

    @property
    def dropped_expired(self) -> int:
        """Messages dropped since the beginning because they outlived their validity."""
        return self._dropped_expired

    @property
    def dropped_full(self) -> int:
        """Messages dropped since the beginning because newer ones needed the room."""
        return self._dropped_full

    @property
    def dropped_large(self) -> int:
        """Messages dropped since the beginning because the broker takes none so large."""
        return self._dropped_large

    def too_large(self) -> None:
        """Count a message that was taken and cannot be sent to this broker."""
        self._dropped_large += 1

    def put(self, message: Message) -> None:
        """Take a message. A retained one is queued only while a connection stands, for the next begins with it."""
        with self._lock:
            if message.retain:
                self._retained[message.topic] = message
            if self._is_open or not message.retain:
                self._append(message)

    def _append(self, message: Message) -> None:
        if len(self._queue) >= self._capacity:
            self._queue.popleft()
            self._dropped_full += 1
        self._queue.append(message)

    def put_again(self, message: Message, now: float) -> None:
        """Take a message that the broker refused: of a retained one the latest of its topic, stale ones as empty."""
        with self._lock:
            if message.retain:
                message = self._valid(self._retained.get(message.topic, message), now)
            if self._is_open:
                self._append(message)

    def _valid(self, message: Message, now: float) -> Message:
        """Return ``message``, or where it is stale an empty one in its place, for nothing is known."""
        return replace(message, payload=b"", deadline=None) if message.is_stale(now) else message

    def begin(self, topics: Sequence[str], now: float) -> None:
        """Start a connection: the latest retained messages of ``topics`` in that order, then the events that waited.

        Where the latest state is stale by ``now``, an empty message takes it from the broker, for nothing is known.
        """
        with self._lock:
            opening = []
            for message in (self._retained[topic] for topic in topics if topic in self._retained):
                opening.append(self._valid(message, now))
                self._dropped_expired += message.is_stale(now)
            self._queue.extendleft(reversed(opening))
            self._is_open = True

    def end(self, unacknowledged: Iterable[Message]) -> None:
        """End a connection: events the broker did not acknowledge wait again, first; retained messages need not."""
        with self._lock:
            waiting = [message for message in (*unacknowledged, *self._queue) if not message.retain]
            self._dropped_full += max(0, len(waiting) - self._capacity)
            self._queue = deque(waiting[-self._capacity :])
            self._is_open = False

    def take(self, now: float) -> Message | None:
        """Return the next message that is still valid at ``now``, or None; what is stale before it is dropped."""
        with self._lock:
            while self._queue:
                message = self._queue.popleft()
                if not message.is_stale(now):
                    return message
                self._dropped_expired += 1
            return None
