from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from sirend.publish.mqtt.backoff import Backoff
from sirend.publish.mqtt.granting import Answer, Granting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sirend.publish.mqtt.connection import Connection
    from sirend.publish.mqtt.party import Party

GRANTED = ReasonCode(PacketTypes.SUBACK, "Granted QoS 1")
FORBIDDEN = ReasonCode(PacketTypes.SUBACK, "Not authorized")
ANSWER_S = 5.0


@dataclass
class FakeConnection:
    """Takes down what is asked."""

    is_5: bool = True
    granted: list[ReasonCode] | None = None
    said: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def subscribe(self, topics: Sequence[tuple[str, int]]) -> None:
        self.granted = None
        self.said.append(("subscribe", tuple(topic for topic, _ in topics)))

    def unsubscribe(self, topics: Sequence[str]) -> None:
        self.said.append(("unsubscribe", tuple(topics)))

    def drop(self, why: str) -> None:
        self.said.append(("drop", (why,)))


@dataclass
class FakeParty:
    """Listens to what the test says."""

    wanted: tuple[str, ...] = ("a", "b")
    listens_first: bool = True

    def topics(self, *, is_5: bool) -> Sequence[tuple[str, int]]:
        return [(topic, 1 if is_5 else 0) for topic in self.wanted]

    def subscribed(self, refused: Sequence[tuple[str, ReasonCode]]) -> str | None:
        return f"refused {', '.join(topic for topic, _ in refused)}" if refused else None


class Site:
    def __init__(self, party: FakeParty) -> None:
        self.connection = FakeConnection()
        self.granting = Granting(cast("Party", party), Backoff())

    def step(self, now: float, *answer: ReasonCode) -> Answer | None:
        if answer:
            self.connection.granted = list(answer)
        return self.granting.step(cast("Connection", self.connection), now, ANSWER_S)


def test_what_is_granted_is_asked_once() -> None:
    site = Site(FakeParty())
    assert [site.step(now) for now in (0.0, 1.0)] == [None, None]
    assert site.granting.has_asked
    assert not site.granting.is_granted
    assert site.step(2.0, GRANTED, GRANTED) == Answer(None)
    assert site.granting.is_granted
    assert site.step(100.0) is None
    assert site.connection.said == [("subscribe", ("a", "b"))]


def test_what_is_refused_is_asked_again_after_a_second_or_later() -> None:
    site = Site(FakeParty())
    site.step(0.0)
    assert site.step(1.0, GRANTED, FORBIDDEN) == Answer("refused b")
    assert not site.granting.is_granted
    site.step(1.9)
    assert len(site.connection.said) == 1
    site.step(100.0)
    assert site.connection.said[1:] == [("subscribe", ("a", "b"))]


def test_what_is_not_wanted_any_more_is_given_up() -> None:
    party = FakeParty()
    site = Site(party)
    site.step(0.0)
    site.step(1.0, GRANTED, GRANTED)
    party.wanted = ("b", "c")
    site.step(2.0)
    assert site.connection.said[1:] == [("unsubscribe", ("a",)), ("subscribe", ("b", "c"))]
    site.step(3.0, GRANTED, GRANTED)
    party.wanted = ()
    site.step(4.0)
    assert site.connection.said[3:] == [("unsubscribe", ("b", "c"))]
    assert not site.granting.has_asked


@pytest.mark.parametrize("listens_first", [True, False])
def test_silence_ends_the_connection_of_a_consumer_and_is_told_to_a_daemon(listens_first: bool) -> None:
    site = Site(FakeParty(listens_first=listens_first))
    site.step(0.0)
    assert site.step(ANSWER_S) is None
    answer = site.step(ANSWER_S + 0.1)
    words = "does not answer the subscription"
    assert answer == (None if listens_first else Answer(words, is_silence=True))
    assert site.connection.said[1:] == ([("drop", (words,))] if listens_first else [])
