"""What is known of a simulated drive, from the truth beside its recording, and how early it was called."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sirend.call.state import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sirend.evidence.chart_data import CallSpan

SCHEMAS = ("sirend/truth/1", "sirend/junction-truth/1", "sirend/array-truth/1")
_LARGEST_BYTES = 64 << 20
"""A truth has some 60 bytes for each tenth of a second and microphone: this is more than a day of them."""


@dataclass(frozen=True, slots=True)
class Drive:
    """Where the vehicle was, and when it could first be heard."""

    approach: str | None
    """Leg on which it came; None with a single microphone."""
    stop_line_s: float
    """When it was at its stop line, s since the recording began."""
    speed_m_s: float
    first_audible_s: float | None
    """From when the siren was 5 dB under the street or louder for a second, s; None: never."""
    time_s: tuple[float, ...]
    distance_m: tuple[float, ...]
    """To the microphone of its leg, at ``time_s``."""
    bearing_deg: tuple[float, ...] = ()
    """From an array, at ``time_s``; none without one."""
    in_sight_s: float | None = None
    """When it came out from behind buildings, s; None: there were none, or none any more as the recording began."""

    @classmethod
    def of(cls, truth: Mapping[str, Any]) -> Self:
        """Return what ``truth`` says; raise ``KeyError``, ``TypeError`` or ``ValueError`` when it does not."""
        leg = truth.get("leg")
        heard = truth if leg is None else truth["approaches"][leg]
        first_s = heard["first_audible_s"]
        speed_m_s = float(truth["speed_kmh"]) / 3.6
        if not speed_m_s > 0.0:
            raise ValueError("speed_kmh")
        sight_m = truth.get("in_sight_m")
        hidden_m = 0.0 if sight_m is None else float(truth["start_m"]) - float(sight_m)
        drive = cls(
            approach=leg,
            stop_line_s=float(truth["stop_line_s"]),
            speed_m_s=speed_m_s,
            first_audible_s=None if first_s is None else float(first_s),
            time_s=tuple(map(float, truth["time_s"])),
            distance_m=tuple(map(float, heard["distance_m"])),
            bearing_deg=tuple(map(float, truth.get("bearing_deg", ()))),
            in_sight_s=hidden_m / speed_m_s if hidden_m > 0.0 else None,
        )
        if len(drive.time_s) != len(drive.distance_m) or not np.isfinite((*drive.time_s, *drive.distance_m)).all():
            raise ValueError("distance_m")
        if len(drive.bearing_deg) not in (0, len(drive.time_s)) or not np.isfinite(drive.bearing_deg).all():
            raise ValueError("bearing_deg")
        return drive


@dataclass(frozen=True, slots=True)
class Span:
    """From when until when a call stood, s since the recording began."""

    begin_s: float
    end_s: float | None
    """None: it stood at the recording's end."""
    reason: Reason | None = None
    """Why it ended."""
    approach: str | None = None

    @classmethod
    def of(cls, call: CallSpan) -> Self:
        """Return that of a call that is drawn."""
        end = call.end
        approach = call.start.approach
        return (
            cls(call.start_s, None, approach=approach)
            if end is None
            else cls(call.start_s, call.end_s, end.reason, approach)
        )


@dataclass(frozen=True, slots=True)
class Lead:
    """How early a drive was called."""

    call_s: float
    """When the call began, s since the recording began."""
    lead_s: float
    """So long before the vehicle was at its stop line, s; negative: after it."""
    lead_m: float
    """So far before it, m."""
    wait_s: float | None
    """From first audible to called, s; None when it never was."""
    cleared_s: float | None = None
    """So long before the stop line the call had ended, s; None when it stood."""
    sight_s: float | None = None
    """From in sight to called, s; negative: before it; None where nothing hid it."""


def read_drive(recording: Path) -> Drive | None:
    """Return the drive that ``sirend simulate`` made ``recording`` of; None where no truth lies beside it."""
    beside = recording.with_suffix(".json")
    try:
        if beside == recording or beside.stat().st_size > _LARGEST_BYTES:
            return None
        truth = json.loads(beside.read_text(encoding="utf-8"))
        return Drive.of(truth) if truth["schema"] in SCHEMAS else None
    except (OSError, KeyError, TypeError, ValueError, RecursionError):
        return None  # another kind of file, or a truth of an older version


def lead(drive: Drive, calls: Iterable[Span]) -> Lead | None:
    """Return how early ``drive`` was called, None when it was not.

    That is by the call that stood when the vehicle reached the stop line, or was ended by the maximum presence before:
    then the junction had its time. Only where there is none does one count that ended before, and only then a late one.
    """
    mine = sorted((each for each in calls if drive.approach in (None, each.approach)), key=_begin)
    early = [call for call in mine if call.begin_s <= drive.stop_line_s]
    gone_s = {call: None if call.end_s is None else max(0.0, drive.stop_line_s - call.end_s) for call in early}
    for call in early:
        if not gone_s[call] or call.reason is Reason.MAX_PRESENCE:
            return _lead(drive, call.begin_s, None)
    if early:
        return _lead(drive, early[0].begin_s, gone_s[early[0]])
    return _lead(drive, mine[0].begin_s, None) if mine else None


def _begin(call: Span) -> float:
    return call.begin_s


def _lead(drive: Drive, call_s: float, cleared_s: float | None) -> Lead:
    lead_s = drive.stop_line_s - call_s
    waits = (None if since_s is None else call_s - since_s for since_s in (drive.first_audible_s, drive.in_sight_s))
    wait_s, sight_s = waits
    return Lead(call_s, lead_s, lead_s * drive.speed_m_s, wait_s, cleared_s, sight_s)


def lead_text(found: Lead | None) -> str:
    """Return a lead in words."""
    if found is None:
        return "not called"
    side = "before" if found.lead_s >= 0.0 else "after"
    text = f"called {math.fabs(found.lead_s):.1f} s and {math.fabs(found.lead_m):.0f} m {side} the stop line, "
    if found.wait_s is None:
        text += "although it never came within 5 dB of the street"
    elif found.wait_s >= 0.0:
        text += f"{found.wait_s:.1f} s after it was first audible"
    else:
        text += f"{-found.wait_s:.1f} s before it was within 5 dB of the street"
    if found.sight_s is not None:
        text += f", {math.fabs(found.sight_s):.1f} s {'after' if found.sight_s >= 0.0 else 'before'} it came in sight"
    return text if found.cleared_s is None else f"{text}; but cleared {found.cleared_s:.1f} s before it came"
