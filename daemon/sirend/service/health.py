"""What the daemon knows about itself: the ``sirend/health/1`` message."""

from __future__ import annotations

import math
import os
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sirend
from sirend.audio.diagnosis import Diagnosis
from sirend.audio.stream import Gap, to_seconds
from sirend.call.clock import utc_text
from sirend.call.event import HEALTH_SCHEMA
from sirend.service.floors import FloorTrend

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sirend.audio.stream import Block, GapReason, Score
    from sirend.call.watch import ApproachWatch
    from sirend.detect.tracker import Track
    from sirend.publish.mqtt.publisher import Counts

RECENT_S = 60.0
"""How long an overflow is worth a word."""
STEP_S = 0.5
"""A difference between wall clock and monotonic clock that changes by this much was a jump, no drift."""
SPAN_S = 10.0
"""Over which the use of the processor is averaged."""
NOTHING_WRONG = Diagnosis()
THERMAL = Path("/sys/class/thermal/thermal_zone0/temp")
STATM = Path("/proc/self/statm")


@dataclass(slots=True)
class Vitals:
    """CPU, memory and temperature of the process and its host."""

    cpu_s: float = field(default_factory=time.process_time)
    at_s: float = field(default_factory=time.monotonic)
    cpu_percent: float | None = None

    def read(self) -> dict[str, float | None]:
        """Return the fields of the health message; CPU in percent of one core, over the last ``SPAN_S`` or more."""
        cpu_s, at_s = time.process_time(), time.monotonic()
        spent_s, passed_s = cpu_s - self.cpu_s, at_s - self.at_s
        if passed_s >= SPAN_S or (self.cpu_percent is None and passed_s > 0.0):
            self.cpu_percent = round(100.0 * spent_s / passed_s, 1)
            self.cpu_s, self.at_s = cpu_s, at_s
        pages, milli = _number(STATM, 1), _number(THERMAL, 0)
        return {
            "cpu_percent": self.cpu_percent,
            "rss_mb": None if pages is None else round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1),
            "temperature_c": None if milli is None else round(milli / 1000.0, 1),
        }


def _number(path: Path, column: int) -> int | None:
    """Return a whole number in a file of the kernel, or None where the host has no such file."""
    try:
        return int(path.read_text(encoding="ascii").split()[column])
    except (OSError, ValueError, IndexError):
        return None


class Health:
    """Watches the stream and its scores, and sums up how the daemon is. Lives on the worker's thread."""

    def __init__(
        self, *, site: str, boot_id: str, model: str, watches: Mapping[str, ApproachWatch], inputs: Mapping[str, str]
    ) -> None:
        """Watch over the approaches of ``watches``; ``inputs`` names the device that each is heard by."""
        self._fixed = {
            "schema": HEALTH_SCHEMA,
            "site": site,
            "boot_id": boot_id,
            "model": model,
            "version": sirend.__version__,
        }
        self._watches = watches
        self._levels: dict[str, float | None] = dict.fromkeys(watches)
        self._floors = {name: FloorTrend(0.0) for name in watches}
        self._windows = 0
        self._gaps = 0
        self._inputs = inputs
        self._counted = set({device: name for name, device in inputs.items()}.values())  # one approach of each device
        self._lost: dict[str, GapReason] = {}
        self._overflowed_at = -math.inf
        self._clock_steps = 0
        self._clock_offset_s = time.time() - time.monotonic()
        self._vitals = Vitals()
        self._began_at = time.monotonic()
        self.failure: str | None = None
        """Why the daemon has to end, or ended; None while it works."""
        self.complaint: str | None = None
        """What else is to be put right by the operator; None when nothing is."""

    @property
    def windows_scored(self) -> int:
        """Windows since the start."""
        return self._windows

    def observe_input(self, item: Block | Gap, device: str) -> None:
        """Take notice of what ``device`` yields."""
        if not isinstance(item, Gap):
            return
        self._gaps += 1
        if item.is_fault:
            self._lost[device] = item.reason
        else:
            self._overflowed_at = time.monotonic()

    def observe(self, score: Score, _track: Track) -> None:
        """Take notice of a score."""
        if score.approach in self._counted:
            self._windows += 1
        self._lost.pop(self._inputs[score.approach], None)
        self._levels[score.approach] = round(score.level_dbfs, 1)
        self._floors[score.approach].observe(score.level_dbfs, to_seconds(score.end))

    def check_clock(self) -> None:
        """Count a jump of the wall clock since the call before."""
        offset_s = time.time() - time.monotonic()
        if abs(offset_s - self._clock_offset_s) > STEP_S:
            self._clock_steps += 1
        self._clock_offset_s = offset_s

    def summary(
        self, broker: str | None, journal: str | None, diagnosis: Diagnosis = NOTHING_WRONG, others: Sequence[str] = ()
    ) -> tuple[str, list[str]]:
        """Return the state, ``ok``, ``degraded`` or ``failed``, and the reasons.

        ``broker`` and ``journal`` are the problems of the sinks, ``diagnosis`` is what is wrong with the input,
        ``others`` what is wrong with those who only look on.
        """
        failed = [*([] if self.failure is None else [self.failure]), *diagnosis.failed]
        degraded = [] if self._windows else ["no window scored yet"]
        devices = set(self._inputs.values())
        lost = [
            f"input lost: {reason}" if len(devices) == 1 else f"{device}: input lost: {reason}"
            for device, reason in self._lost.items()
        ]
        (failed if len(lost) == len(devices) else degraded).extend(lost)
        if time.monotonic() - self._overflowed_at < RECENT_S:
            degraded.append("samples were dropped within the last minute")
        degraded += diagnosis.degraded
        if self.complaint is not None:
            degraded.append(self.complaint)
        for name, watch in self._watches.items():
            if watch.state.limited:
                degraded.append(f"{name}: calls are held back, max_calls_per_hour is reached")
            if not watch.state.armed:
                degraded.append(f"{name}: a siren outlasted max_presence_s; waiting for it to end")
        if broker is not None:
            degraded.append(f"broker: {broker}")
        if journal is not None:
            degraded.append(journal)
        degraded += others
        state = "failed" if failed else "degraded" if degraded else "ok"
        return state, failed + degraded

    def payload(  # noqa: PLR0913  what the message is made of
        self,
        *,
        dropped: int,
        outbox: Counts,
        journal_failures: int,
        state: str,
        reasons: list[str],
        journal_torn: int = 0,
    ) -> dict[str, Any]:
        """Return the message, JSON values: ``state`` and ``reasons`` of ``summary``, and the counts of others."""
        return {
            **self._fixed,
            **self._vitals.read(),
            "at": utc_text(datetime.now(UTC)),
            "state": state,
            "reasons": reasons,
            "levels_dbfs": self._levels,
            "floors_dbfs": {name: floor.dbfs for name, floor in self._floors.items()},
            "floor_drifts_db": {name: floor.drift_db for name, floor in self._floors.items()},
            "dropped_samples": dropped,
            "gaps": self._gaps,
            "windows_scored": self._windows,
            "clock_steps": self._clock_steps,
            "outbox": asdict(outbox),
            "journal_failures": journal_failures,
            "journal_torn": journal_torn,
            "uptime_s": round(time.monotonic() - self._began_at, 1),
        }
