"""What the journal remembers: read back, filtered, as lines for people or as CSV."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from sirend.call import eta
from sirend.call.clock import utc_text
from sirend.call.event import SCHEMA
from sirend.call.state import in_words
from sirend.errors import InputError
from sirend.host.files import open_regular, read_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

COLUMNS = (
    "at", "site", "approach", "type", "reason", "confidence", "motion", "level_dbfs", "onset_at", "event_id", "boot_id",
    "seq", "sample", "mode", "advisory", "model", "tone", "bearing_deg", "bearing_sd_deg", *eta.KEYS,
)  # fmt: skip
_TEXTS = ("at", "site", "approach", "type", "state", "reason", "motion")
_ABSURD = 1e9
"""Beyond any level or confidence; NaN is not below it either."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events to show; None shows all."""

    since: datetime | None = None
    """First moment, aware."""
    until: datetime | None = None
    """First moment after the last."""
    approach: str | None = None
    type: str | None = None
    """``approaching`` or ``cleared``."""

    def includes(self, event: dict[str, Any]) -> bool:
        """Return whether a decoded event is wanted."""
        at = event["at"]
        return (
            (self.since is None or at >= utc_text(self.since))
            and (self.until is None or at < utc_text(self.until))
            and self.approach in (None, event["approach"])
            and self.type in (None, event["type"].removeprefix("emergency_"))
        )


def read_events(journal: Path, torn: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the events of a journal and of the older file beside it, oldest first; lines that are none go to ``torn``.

    Raises ``InputError`` when there is no journal or it cannot be read.
    """
    is_there = False
    for path in (journal.with_name(journal.name + ".1"), journal):
        try:
            lines = read_regular(path).splitlines()
            is_there = True
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _unreadable(path, error) from error
        for number, line in enumerate(lines, start=1):
            if (event := _event(line)) is not None:
                yield event
            else:
                torn.append(f"{path}, line {number}")
    if not is_there:
        raise InputError(f"{journal}: there is no journal; it begins with the first event")


def tail(journal: Path, most_bytes: int) -> list[dict[str, Any]]:
    """Return the latest events of a journal, oldest first: those in the last ``most_bytes`` of it and the older file.

    Raises ``InputError`` when there is no journal or it cannot be read.
    """
    parts: list[bytes] = []
    for path in (journal, journal.with_name(journal.name + ".1")):
        room = most_bytes - sum(map(len, parts))
        try:
            with open_regular(path) as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - room))
                parts.insert(0, file.read(room))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _unreadable(path, error) from error
    if not parts:
        raise InputError(f"{journal}: there is no journal; it begins with the first event")
    return [event for part in parts for line in part.splitlines() if (event := _event(line)) is not None]


def _unreadable(path: Path, error: OSError) -> InputError:
    if isinstance(error, PermissionError):
        return InputError(f"{path}: you may not read it; use sudo")
    return InputError(f"{path}: cannot be read: {error.strerror}")


def _event(line: bytes) -> dict[str, Any] | None:
    """Return the event that a line holds, or None when it is cut off or something else."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_event = isinstance(event, dict) and event.get("schema") == SCHEMA and _is_whole(event)
    return event if is_event else None


def _is_whole(event: dict[str, Any]) -> bool:
    """Return whether what is shown of an event is there: a torn line may end up as JSON that lacks a part."""
    numbers = (event.get("confidence"), event.get("level_dbfs"))
    return all(isinstance(event.get(key), str) for key in _TEXTS) and all(
        isinstance(number, int | float) and abs(number) < _ABSURD for number in numbers
    )


def write_csv(events: Iterable[dict[str, Any]], stream: TextIO) -> None:
    """Write a header and a row for each event; an event without ``advisory`` is not advisory."""
    writer = csv.DictWriter(stream, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for event in events:
        writer.writerow({**event, "advisory": str(event.get("advisory", False)).lower()})


def event_line(event: dict[str, Any]) -> str:
    """Return an event as a line for people."""
    what = (
        "approaching"
        if event["state"] == "approaching"
        else f"cleared ({in_words(event['reason'], str(event.get('mode')))})"
    )
    advisory = ", advisory" if event.get("advisory") else ""
    motion, tone = ("" if event.get(key) in (None, "unknown") else f", {event[key]}" for key in ("motion", "tone"))
    bearing = ""
    if all(isinstance(event.get(key), int | float) for key in ("bearing_deg", "bearing_sd_deg")):
        bearing = f", from {event['bearing_deg']:.0f} +- {event['bearing_sd_deg']:.0f} degrees"
    told = eta.eta_of(event)
    nearest = "" if told is None else f", {told}"
    return (
        f"{event['at']}  {event['approach']:<12} {what:<24} confidence {event['confidence']:.2f}, "
        f"{event['level_dbfs']:.0f} dBFS{motion}{tone}{bearing}{nearest}{advisory}"
    )
