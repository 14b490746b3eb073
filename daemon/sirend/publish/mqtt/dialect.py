"""Which MQTT is spoken to a broker: 5, and 3.1.1 where nothing else is understood. Pure."""

from __future__ import annotations

from paho.mqtt.enums import MQTTProtocolVersion

UNSUPPORTED = "Unsupported protocol version"
"""What a broker answers that speaks the other one."""


class Dialect:
    """Learns from each connection what the next should speak.

    Some old brokers hang up on a CONNECT of MQTT 5, and so does a proxy whose broker is away, or one in trouble.
    """

    def __init__(self) -> None:
        """Begin with MQTT 5."""
        self.protocol = MQTTProtocolVersion.MQTTv5
        self._speaks_5 = False
        self._unanswered = 0
        self._doubts = 2
        self._is_guess = False
        """Whether 3.1.1 is spoken only because nothing answered to 5."""

    @property
    def is_5(self) -> bool:
        """Whether it is MQTT 5."""
        return self.protocol is MQTTProtocolVersion.MQTTv5

    def settle_for(self, protocol: MQTTProtocolVersion) -> None:
        """Speak ``protocol`` to a broker that is known to be there: its word counts."""
        self.protocol, self._is_guess = protocol, False

    def is_guessed(self) -> bool:
        """Return whether the broker, which has answered, was never there to be asked for MQTT 5."""
        return self._is_guess and not self.is_5

    def accepted(self) -> None:
        """Hear that the broker took us in."""
        self._unanswered = 0
        self._speaks_5 = self._speaks_5 or self.is_5
        self._doubts = 2 if self.is_5 else 1

    def rejected(self, answer: str | None) -> bool:
        """Hear that it did not, with its answer if there was one; return whether to try the other one at once."""
        was_5 = self.is_5
        if answer == UNSUPPORTED and was_5:
            self.settle_for(MQTTProtocolVersion.MQTTv311)
            return True
        self._unanswered += answer is None
        # One that spoke MQTT 5 before and hangs up is in trouble, not old.
        is_doubtful = answer is None and self._unanswered % self._doubts == 0 and not self._speaks_5
        if is_doubtful or answer == UNSUPPORTED:
            self.protocol = MQTTProtocolVersion.MQTTv311 if was_5 else MQTTProtocolVersion.MQTTv5
            self._is_guess = was_5
        return False

    def ended(self) -> None:
        """Hear that a connection ended: it may be a newer broker when it comes back."""
        self.protocol = MQTTProtocolVersion.MQTTv5
