"""How far a party's subscription has come on one connection: asked for, granted, refused and asked for again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sirend.publish.mqtt.backoff import Backoff
    from sirend.publish.mqtt.connection import Connection
    from sirend.publish.mqtt.party import Party


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking."""

    problem: str | None
    """What is wrong, as a predicate of the broker; None when all is granted."""
    is_silence: bool = False
    """Whether nothing came at all, which the party can live with."""


class Granting:
    """Asks for what a party listens to. Lives on the network thread, one for each connection."""

    def __init__(self, party: Party, backoff: Backoff) -> None:
        """Begin with nothing asked; refusals are answered by asking again after ``backoff``."""
        self._party = party
        self._backoff = backoff
        self._asked: tuple[tuple[str, int], ...] = ()
        self._asked_at = 0.0
        self._due_at = math.inf
        self._is_waiting = False
        self._failures = 0
        self.is_granted = False
        """Whether the broker has granted all that the party listens to now."""

    @property
    def has_asked(self) -> bool:
        """Whether the party listens to anything, as far as the broker was told."""
        return bool(self._asked)

    def step(self, connection: Connection, now: float, answer_s: float) -> Answer | None:
        """Ask where that is due at the monotonic time ``now``, s; return what came of it, if anything did.

        A broker that says nothing for ``answer_s`` loses the connection of a party that listens first.
        """
        wanted = tuple(self._party.topics(is_5=connection.is_5))
        if wanted != self._asked and not self._is_waiting:
            gone = [topic for topic, _ in self._asked if topic not in dict(wanted)]
            if gone:
                connection.unsubscribe(gone)
            self._asked, self._due_at, self.is_granted = wanted, now, False
            if not wanted:
                self._due_at = math.inf
        if self._is_waiting and connection.granted is not None:
            self._is_waiting = False
            codes = zip(self._asked, connection.granted, strict=False)
            problem = self._party.subscribed([(topic, code) for (topic, _), code in codes if code.is_failure])
            self.is_granted = problem is None
            if problem is not None:
                self._failures += 1
                self._due_at = now + max(1.0, self._backoff.delay_s(self._failures))
            return Answer(problem)
        if self._is_waiting and now > self._asked_at + answer_s:
            self._is_waiting = False
            if not self._party.listens_first:
                return Answer("does not answer the subscription", is_silence=True)
            connection.drop("does not answer the subscription")
        elif not self._is_waiting and now >= self._due_at:
            self._is_waiting, self._asked_at, self._due_at = True, now, math.inf
            connection.subscribe(self._asked)
        return None
