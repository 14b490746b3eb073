"""What a signal controller is told of one approach: an event and its JSON, ``sirend/event/1``.

Nothing here needs numpy: a controller's computer reads events without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sirend.call.clock import utc_text
from sirend.call.state import CallState
from sirend.signing import canonical

if TYPE_CHECKING:
    from datetime import datetime

    from sirend.audio.stream import Samples
    from sirend.call.state import Reason
    from sirend.detect.motion import Motion
    from sirend.detect.tone import Tone

SCHEMA = "sirend/event/1"
HEALTH_SCHEMA = "sirend/health/1"
ACK_SCHEMA = "sirend/ack/1"

Mode = Literal["live", "replay"]


@dataclass(frozen=True, slots=True)
class Event:
    """One statement about one approach, ready to be sent: the fields of ``sirend/event/1``."""

    site: str
    approach: str
    state: CallState
    event_id: str
    """One for each change of state; a refresh keeps it."""
    boot_id: str
    """One for each run of the daemon; ``replay`` in a replay."""
    seq: int
    """Grows with every statement of a run."""
    at: datetime
    """When it was said, UTC."""
    onset_at: datetime
    """When the siren was first heard, UTC."""
    sample: Samples
    """The sample that ``at`` belongs to."""
    confidence: float
    """Evidence of a siren, 0..1, rounded to 3 decimals."""
    motion: Motion
    level_dbfs: float
    """RMS level of the last window, rounded to 1 decimal."""
    reason: Reason
    valid_until: datetime
    """A consumer must treat the state as clear after this, UTC."""
    mode: Mode
    model: str
    tone: Tone | None = None
    """Kind of siren, of a call that stands; None in all other events."""
    source: str | None = None
    """The replayed file; None in live operation."""
    advisory: bool = False
    bearing_deg: float | None = None
    """Compass bearing of the siren, 0..360, where an array knows it; rounded to 1 decimal."""
    bearing_sd_deg: float | None = None
    """Its uncertainty, one sigma, degrees."""
    eta_s: float | None = None
    """Time until the siren is nearest the microphone, s, rounded to 1 decimal; None in doubt."""
    eta_low_s: float | None = None
    """Hardly sooner."""
    eta_high_s: float | None = None
    """Hardly later."""
    kid: str | None = None
    """``key_id`` of the key that signed it; None when events are not signed."""
    sig: str | None = None
    """HMAC-SHA256 in hex; None when events are not signed."""
    refresh: bool = False
    """Whether it repeats a standing state rather than telling of a change; not part of the JSON."""

    @property
    def type(self) -> str:
        """``emergency_approaching`` or ``emergency_cleared``."""
        return "emergency_approaching" if self.state is CallState.APPROACHING else "emergency_cleared"


def to_json(event: Event) -> str:
    """Return the event as canonical JSON of ``sirend/event/1``."""
    return canonical(payload(event))


def payload(event: Event) -> dict[str, Any]:
    """Return the event as JSON values; what is optional and absent is left out."""
    payload = {
        "schema": SCHEMA,
        "type": event.type,
        "state": event.state,
        "site": event.site,
        "approach": event.approach,
        "event_id": event.event_id,
        "boot_id": event.boot_id,
        "seq": event.seq,
        "at": utc_text(event.at),
        "onset_at": utc_text(event.onset_at),
        "sample": event.sample,
        "confidence": event.confidence,
        "motion": event.motion,
        "level_dbfs": event.level_dbfs,
        "reason": event.reason,
        "valid_until": utc_text(event.valid_until),
        "mode": event.mode,
        "model": event.model,
        "tone": event.tone,
        "source": event.source,
        "advisory": event.advisory or None,
        "bearing_deg": event.bearing_deg,
        "bearing_sd_deg": event.bearing_sd_deg,
        "eta_s": event.eta_s,
        "eta_low_s": event.eta_low_s,
        "eta_high_s": event.eta_high_s,
        "kid": event.kid,
        "sig": event.sig,
    }
    return {name: value for name, value in payload.items() if value is not None}
