"""The MQTT topics of a site, for the daemon that writes them and the consumer that reads them."""

from __future__ import annotations

from dataclasses import dataclass

_STATE = "emergency"


@dataclass(frozen=True, slots=True)
class Topics:
    """Names of all topics below ``{prefix}/{site}``."""

    prefix: str
    """``mqtt.prefix``: one or more levels."""
    site: str

    @property
    def root(self) -> str:
        """Return what all topics of the site begin with."""
        return f"{self.prefix}/{self.site}"

    @property
    def availability(self) -> str:
        """Return where ``online`` and ``offline`` stand, retained."""
        return f"{self.root}/availability"

    @property
    def health(self) -> str:
        """Return where the health message stands, retained."""
        return f"{self.root}/health"

    @property
    def selftest(self) -> str:
        """Return where the result of the last self-test stands, retained."""
        return f"{self.root}/selftest"

    @property
    def states(self) -> str:
        """Return the filter that matches the state of every approach."""
        return self.state("+")

    def state(self, approach: str) -> str:
        """Return where the current state of ``approach`` stands, retained."""
        return f"{self.root}/{approach}/{_STATE}"

    def event(self, approach: str) -> str:
        """Return where each transition of ``approach`` is told once."""
        return f"{self.root}/{approach}/event"

    def ack(self, approach: str) -> str:
        """Return where the controller's side tells what became of a call of ``approach``."""
        return f"{self.root}/{approach}/ack"

    def approach_of(self, topic: str) -> str | None:
        """Return the approach whose state ``topic`` holds; None for any other topic."""
        head, tail = f"{self.root}/", f"/{_STATE}"
        if not (topic.startswith(head) and topic.endswith(tail)) or len(topic) <= len(head) + len(tail):
            return None
        return topic[len(head) : -len(tail)]
