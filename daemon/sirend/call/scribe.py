"""Turns the transitions of one run into numbered, dated and, given a key, signed events."""

from __future__ import annotations

import uuid
from copy import copy
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from sirend.audio.stream import SILENCE_DBFS, Samples
from sirend.call.event import SCHEMA, Event, payload
from sirend.call.machine import Transition
from sirend.call.state import CallState, Reason
from sirend.detect.motion import Motion
from sirend.signing import canonical, key_id, key_problem, signature

if TYPE_CHECKING:
    from sirend.call.clock import Clock
    from sirend.call.event import Mode

_EVENT_IDS = uuid.uuid5(uuid.NAMESPACE_URL, SCHEMA)


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
        arrival = transition.arrival
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
            tone=transition.tone,
            source=self._source,
            advisory=self._advisory,
            refresh=transition.refresh,
            bearing_deg=None if transition.bearing is None else round(transition.bearing.deg, 1) % 360.0,
            bearing_sd_deg=None if transition.bearing is None else round(transition.bearing.sd_deg, 1),
            eta_s=None if arrival is None else round(arrival.eta_s, 1),
            eta_low_s=None if arrival is None else round(arrival.low_s, 1),
            eta_high_s=None if arrival is None else round(arrival.high_s, 1),
        )
        if self._sign_key is None:
            return event
        named = replace(event, kid=key_id(self._sign_key))
        return replace(named, sig=signature(payload(named), self._sign_key))

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
