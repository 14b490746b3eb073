"""What the broker acknowledged with a refusal: told until it is taken, and said again. Pure.

A quota that is used up or access rules that are wrong for a moment must not keep a call, or its end, from the
controller: nobody repeats a clear, and ``online`` is said once a connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sirend.publish.mqtt.backoff import Backoff

if TYPE_CHECKING:
    from sirend.publish.mqtt.outbox import Message

FIRST_S = 0.5
"""At the least, from a refusal to the next try."""
BACKOFF = Backoff(first_s=0.5, cap_s=30.0)


@dataclass(slots=True)
class _Refused:
    """A topic whose latest message was refused."""

    message: Message | None
    """What to say again; None where that is under way, or too late."""
    why: str
    failures: int
    due_at: float


class Refusals:
    """The topics on which the broker takes nothing at present. Lives on the network thread."""

    def __init__(self) -> None:
        """Begin with none."""
        self._topics: dict[str, _Refused] = {}

    @property
    def problem(self) -> str | None:
        """What is refused, as a predicate of the broker; None where nothing is."""
        topics = dict(self._topics)
        if not topics:
            return None
        topic, first = next(iter(topics.items()))
        more = f" and {len(topics) - 1} more" if len(topics) > 1 else ""
        return f"refuses what is said on {topic}{more}: {first.why}"

    def refused(self, message: Message, why: str, now: float) -> None:
        """Hear that the broker refused ``message`` at the monotonic time ``now``."""
        before = self._topics.get(message.topic)
        failures = 1 if before is None else before.failures + 1
        due_at = now + FIRST_S + BACKOFF.delay_s(failures)
        self._topics[message.topic] = _Refused(message, why, failures, due_at)

    def taken(self, message: Message) -> None:
        """Hear that the broker took ``message``: others on its topic it takes as well."""
        self._topics.pop(message.topic, None)

    def due(self, now: float) -> list[Message]:
        """Return what is to be said again by now, and is still valid; it is told of until it was taken."""
        found = []
        for each in self._topics.values():
            if each.message is not None and now >= each.due_at:
                if each.message.retain or not each.message.is_stale(now):
                    found.append(each.message)
                each.message = None
        return found

    def closed(self) -> None:
        """Say nothing again: the next connection begins with everything that should stand."""
        for each in self._topics.values():
            each.message = None
