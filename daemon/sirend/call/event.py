"""What a signal controller is told: events, their times, their JSON and their signature.

Wall time enters the pipeline here and nowhere else: a ``Clock`` turns the sample of a transition into UTC.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import uuid
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from sirend.audio.stream import SAMPLE_RATE_HZ, SILENCE_DBFS, Samples
from sirend.call.machine import CallState, Reason, Transition
from sirend.detect.motion import Motion

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = "sirend/event/1"
HEALTH_SCHEMA = "sirend/health/1"
ACK_SCHEMA = "sirend/ack/1"
LEAST_KEY_BYTES = 16
"""Whoever sees signed messages can try keys on them in peace; RFC 2104 discourages short ones."""
_MICROSECONDS_PER_SAMPLE = 1_000_000 / SAMPLE_RATE_HZ
_KEY_ID = b"sirend key id"
_EVENT_IDS = uuid.uuid5(uuid.NAMESPACE_URL, SCHEMA)

Mode = Literal["live", "replay"]


class Clock(Protocol):
    """Turns a sample of the stream into UTC."""

    def utc(self, sample: Samples) -> datetime:
        """Return when ``sample`` was heard, an aware datetime in UTC."""


@dataclass(frozen=True, slots=True)
class ReplayClock:
    """The time of a recording: it began at ``start``."""

    start: datetime = datetime(1970, 1, 1, tzinfo=UTC)

    def utc(self, sample: Samples) -> datetime:
        """Return ``start`` plus the sample's place in the file."""
        return self.start + timedelta(microseconds=round(sample * _MICROSECONDS_PER_SAMPLE))


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class LiveClock:
    """The time of a live stream, counted back from now, so that it follows a clock that was set right meanwhile."""

    arrived: Callable[[], int]
    """Count of samples that have arrived by now."""
    now: Callable[[], datetime] = field(default=_now)

    def utc(self, sample: Samples) -> datetime:
        """Return now minus the age of ``sample``; a sample still to come counts as now."""
        age = max(0, self.arrived() - sample)
        return self.now() - timedelta(microseconds=round(age * _MICROSECONDS_PER_SAMPLE))

    def uptime(self, sample: Samples) -> Samples:
        """Return when ``sample`` was heard by the host's monotonic clock, which is the same for all devices."""
        age = max(0, self.arrived() - sample)
        return Samples(round(time.monotonic() * SAMPLE_RATE_HZ) - age)


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
    source: str | None = None
    """The replayed file; None in live operation."""
    advisory: bool = False
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


class Scribe:
    """Turns the transitions of one run into numbered, dated and, given a key, signed events."""

    def __init__(  # noqa: PLR0913  what every event of a run has in common
        self,
        *,
        site: str,
        boot_id: str,
        mode: Mode,
        model: str,
        clock: Clock,
        valid_for_s: float,
        advisory: bool = False,
        source: str | None = None,
        sign_key: bytes | None = None,
        seq: int = 0,
    ) -> None:
        """Write for ``site``; the parameters are the fields of ``Event``, and the HMAC key where events are signed.

        ``seq`` is the last number that was given out in this run, 0 at its beginning.
        Raises ``ValueError`` when the key is too short.
        """
        if sign_key is not None and (problem := key_problem(sign_key)) is not None:
            raise ValueError(problem)
        self._site = site
        self._boot_id = boot_id
        self._mode = mode
        self._model = model
        self._clock = clock
        self._valid_for = timedelta(seconds=valid_for_s)
        self._advisory = advisory
        self._source = source
        self._sign_key = sign_key
        self._given = [seq]
        self._event_ids: dict[str, str] = {}

    def beside(self, clock: Clock) -> Self:
        """Return a scribe of the same run for the stream of another device, which counts by ``clock``.

        The two share their numbers.
        """
        other = copy(self)
        other._clock = clock  # noqa: SLF001  its own class
        return other

    @property
    def seq(self) -> int:
        """The last number given out."""
        return self._given[0]

    def write(self, transition: Transition) -> Event:
        """Return the event that tells of ``transition``, with the next sequence number."""
        self._given[0] += 1
        if not transition.refresh or transition.approach not in self._event_ids:
            self._event_ids[transition.approach] = self._event_id(transition.approach)
        at = self._clock.utc(transition.at)
        event = Event(
            site=self._site,
            approach=transition.approach,
            state=transition.state,
            event_id=self._event_ids[transition.approach],
            boot_id=self._boot_id,
            seq=self.seq,
            at=at,
            onset_at=self._clock.utc(transition.onset),
            sample=transition.at,
            confidence=round(transition.confidence, 3),
            motion=transition.motion,
            level_dbfs=round(transition.level_dbfs, 1),
            reason=transition.reason,
            valid_until=at + self._valid_for,
            mode=self._mode,
            model=self._model,
            source=self._source,
            advisory=self._advisory,
            refresh=transition.refresh,
        )
        if self._sign_key is None:
            return event
        named = replace(event, kid=key_id(self._sign_key))
        return replace(named, sig=_signature(_payload(named), self._sign_key))

    def initial(self, approach: str) -> Event:
        """Return the clear state of an approach that a run begins with; it tells of no change."""
        return self.write(
            Transition(
                approach=approach,
                state=CallState.CLEAR,
                at=Samples(0),
                onset=Samples(0),
                confidence=0.0,
                level_dbfs=SILENCE_DBFS,
                motion=Motion.UNKNOWN,
                reason=Reason.SHUTDOWN,  # of the run before, which may have left a call standing
                refresh=True,
            )
        )

    def _event_id(self, approach: str) -> str:
        """Return an identifier that a replay of the same file gives again."""
        origin = {"site": self._site, "approach": approach, "boot_id": self._boot_id, "source": self._source}
        return str(uuid.uuid5(_EVENT_IDS, canonical({**origin, "seq": self.seq})))


def utc_text(moment: datetime) -> str:
    """Return an aware datetime as ``2026-11-22T21:03:04.250Z``."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def canonical(payload: dict[str, Any]) -> str:
    """Return JSON that has one form only: keys sorted, no white space, ASCII. Signatures are made over it."""
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), allow_nan=False)


def to_json(event: Event) -> str:
    """Return the event as canonical JSON of ``sirend/event/1``."""
    return canonical(_payload(event))


def key_problem(key: bytes) -> str | None:
    """Return why ``key`` must not sign anything, or None; nothing of it is told but its length."""
    if len(key) >= LEAST_KEY_BYTES:
        return None
    return f"the key has {len(key)} bytes, {LEAST_KEY_BYTES} are the least; make one with `sirend pki key FILE`"


def key_id(key: bytes) -> str:
    """Return the name by which events speak of ``key``: 8 hex digits made from it, which do not give it away."""
    return hmac.new(key, _KEY_ID, hashlib.sha256).hexdigest()[:8]


def is_authentic(payload: dict[str, Any], key: bytes) -> bool:
    """Return whether ``payload``, a decoded event, carries the signature that ``key`` gives it."""
    unsigned = {name: value for name, value in payload.items() if name != "sig"}
    return hmac.compare_digest(str(payload.get("sig", "")).encode(), _signature(unsigned, key).encode())


def schema() -> dict[str, Any]:
    """Return the JSON Schema of events."""
    return _schema("event-1.json")


def health_schema() -> dict[str, Any]:
    """Return the JSON Schema of the health message."""
    return _schema("health-1.json")


def ack_schema() -> dict[str, Any]:
    """Return the JSON Schema of acknowledgements."""
    return _schema("ack-1.json")


def _schema(name: str) -> dict[str, Any]:
    text = resources.files("sirend").joinpath("call", "schemas", name).read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _signature(unsigned: dict[str, Any], key: bytes) -> str:
    return hmac.new(key, canonical(unsigned).encode(), hashlib.sha256).hexdigest()


def _payload(event: Event) -> dict[str, Any]:
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
        "source": event.source,
        "advisory": event.advisory or None,
        "kid": event.kid,
        "sig": event.sig,
    }
    return {name: value for name, value in payload.items() if value is not None}
