"""The calls of the last 24 hours, also from before a restart: what began each and what ended it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from sirend.call import eta
from sirend.errors import InputError
from sirend.observe.moment import event_values
from sirend.publish.journal_reader import tail

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from sirend.call.event import Event

KEPT = 1_000
"""Events: those of 24 hours at the usual ``call.max_calls_per_hour``."""
READ_BYTES = 1_000_000
"""End of the journal that is read at the start: about 1,500 events."""
SHOWN = 500
"""Calls."""
_NEEDED = (
    "at", "onset_at", "approach", "state", "type", "reason", "confidence", "motion", "level_dbfs", "event_id",
    "boot_id", "advisory", "mode", "tone", "bearing_deg", "bearing_sd_deg", *eta.KEYS,
)  # fmt: skip

_SHOWN_OF = (
    "approach", "at", "onset_at", "confidence", "level_dbfs", "event_id", "tone", "bearing_deg", "bearing_sd_deg",
    *eta.KEYS,
)  # fmt: skip


class History:
    """The latest events of a site. Lives on the thread of whoever follows the view."""

    def __init__(self, journal: Path | None = None) -> None:
        """Begin with what the end of ``journal`` holds; health tells of one that cannot be read."""
        self._events: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._seq = 0
        self._boot_id: str | None = None
        if journal is not None:
            try:
                self._events.extend(map(_needed, tail(journal, READ_BYTES)))
            except InputError:
                return

    def add_event(self, event: Event) -> bool:
        """Take an event of this run; return whether it is new."""
        if event.seq <= self._seq:
            return False
        self._seq, self._boot_id = event.seq, event.boot_id
        made = _needed(event_values(event))
        if any(made["event_id"] == each.get("event_id") for each in self._events):  # the journal had it first
            return False
        self._events.append(made)
        return True

    def events(self, most: int) -> list[dict[str, Any]]:
        """Return the latest events, oldest first."""
        return list(self._events)[-most:]

    def calls(self, files: Collection[str] = ()) -> list[dict[str, Any]]:
        """Return the latest calls, oldest first, as JSON values; ``files`` are the names of what is kept of them.

        ``ended_at`` and ``reason`` are None while a call stands, and where the daemon was cut off in it.
        """
        calls: list[dict[str, Any]] = []
        standing: dict[tuple[str, str | None], dict[str, Any]] = {}
        for event in self._events:
            approach, boot_id = event["approach"], event.get("boot_id")
            before = standing.pop((approach, boot_id), None)
            if event["state"] != "approaching":
                if before is not None:
                    before |= {"ended_at": event["at"], "reason": event["reason"], "stands": False}
                continue
            if before is not None:
                before["stands"] = False
            name = clip_name(event)
            call = {
                **{key: event.get(key) for key in _SHOWN_OF},
                "advisory": bool(event.get("advisory")),
                "stands": boot_id == self._boot_id,
                "ended_at": None,
                "reason": None,
                "name": name,
                "kept": [kind for kind in ("png", "flac", "json") if f"{name}.{kind}" in files],
            }
            standing[approach, boot_id] = call
            calls.append(call)
        return calls[-SHOWN:]


def clip_name(event: dict[str, Any]) -> str:
    """Return what the files of a call are called without their endings, as ``evidence.clip.name_of`` does."""
    at = str(event["at"])[:19].replace("-", "").replace(":", "")
    return f"{at}Z-{event['approach']}-{str(event.get('event_id'))[:8]}"


def _needed(event: dict[str, Any]) -> dict[str, Any]:
    return {key: event[key] for key in _NEEDED if key in event}
