"""Who speaks and listens over a session: the daemon, its guests, a consumer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paho.mqtt.reasoncodes import ReasonCode

    from sirend.publish.mqtt.bounded_client import Incoming
    from sirend.publish.mqtt.outbox import Message


class Party(Protocol):
    """Who speaks and listens over a session. Everything but the reading of properties comes on the network thread."""

    listens_first: bool
    """Whether it subscribes before it speaks; else after what it began with was acknowledged."""

    @property
    def is_urgent(self) -> bool:
        """Whether a call waits for a connection."""

    @property
    def has_more(self) -> bool:
        """Whether something waits to be sent."""

    def topics(self, *, is_5: bool) -> Sequence[tuple[str, int]]:
        """Return what it listens to now, with the QoS."""

    def will(self, number: int) -> Message | None:
        """Return what the broker is to say when connection ``number`` breaks."""

    def opened(self, number: int, *, is_5: bool) -> str:
        """Begin connection ``number``; return what is worth a word in the log."""

    def take(self, now: float) -> Message | None:
        """Return what to send next."""

    def sent(self, message: Message, now: float) -> None:
        """Note that a message is on its way."""

    def too_large(self, message: Message) -> None:
        """Note that this broker takes no message so large."""

    def acknowledged(self, message: Message, code: ReasonCode) -> None:
        """Note what the broker said to a message."""

    def subscribed(self, refused: Sequence[tuple[str, ReasonCode]]) -> str | None:
        """Note the answer to SUBSCRIBE; return what is wrong, where it has to be asked for again."""

    def received(self, message: Incoming) -> None:
        """Take a message; comes often."""

    def tick(self, now: float) -> None:
        """Do what is due; comes at least every second of a connection."""

    def closed(self, unacknowledged: list[Message]) -> None:
        """End the connection."""
