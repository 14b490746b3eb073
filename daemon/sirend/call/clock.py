"""From a sample to UTC. Wall time enters the pipeline here and nowhere else."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from sirend.audio.stream import SAMPLE_RATE_HZ, Samples

if TYPE_CHECKING:
    from collections.abc import Callable

_MICROSECONDS_PER_SAMPLE = 1_000_000 / SAMPLE_RATE_HZ


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


def utc_text(moment: datetime) -> str:
    """Return an aware datetime as ``2026-11-22T21:03:04.250Z``."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
