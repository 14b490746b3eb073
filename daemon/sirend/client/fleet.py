"""Many sites at a glance: one row a site, from what each keeps on the broker. Nothing here acts on a call.

How old something is goes by the clock that nobody sets: neither a site's clock nor ours, when it is set, makes a call
last or a silent site look well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sirend.client.consumer import Moment

MOST_SITES = 20_000
LARGEST_BYTES = 64_000
LONGEST_TEXT = 200
STALE_S = 90.0
"""Health comes every 30 s: three are missing."""
SKEW_S = 2.0
"""A clock that is off by more makes a call too old or too early for its consumer."""
DRIFT_DB = 10.0
"""A noise floor that moved by more: something happened to the microphone, or beside it (assumed)."""
TROUBLES = ("offline", "failed", "silent", "degraded", "clock", "drift", "ok")
"""What may be wrong with a site, worst first."""
COLUMNS = ("trouble", "site", "call", "model", "version", "floor", "clock", "temperature", "uptime")
"""What can be sorted by."""


@dataclass(slots=True)
class Site:
    """What is known of one site."""

    name: str
    is_online: bool | None = None
    state: str = ""
    reasons: tuple[str, ...] = ()
    model: str = ""
    version: str = ""
    floor_dbfs: float | None = None
    """Of the approach whose floor drifted most."""
    drift_db: float | None = None
    skew_s: float | None = None
    """By how much its clock was ahead of ours when it last spoke, s; None when only an old message is known."""
    health_s: float | None = None
    """Monotonic time, s, at which it last said how it is."""
    temperature_c: float | None = None
    uptime_s: float | None = None
    called_at: datetime | None = None
    """Last change of a call, UTC."""
    called_on: str = ""
    calls: dict[str, float] = field(default_factory=dict)
    """Approaches that call, each with the monotonic time, s, after which that does not count any more."""

    def trouble(self, now: Moment) -> str:
        """Return the worst of ``TROUBLES`` that it has."""
        if self.is_online is False:
            return "offline"
        if self.state == "failed":
            return "failed"
        if self.health_s is None or now.mono_s - self.health_s > STALE_S:
            return "silent"
        if self.state != "ok":
            return "degraded"
        if self.skew_s is not None and abs(self.skew_s) > SKEW_S:
            return "clock"
        return "drift" if self.drift_db is not None and abs(self.drift_db) > DRIFT_DB else "ok"

    def calling(self, now: Moment) -> list[str]:
        """Return the approaches whose call is valid."""
        return sorted(name for name, until_s in self.calls.items() if until_s > now.mono_s)


class Fleet:
    """The sites of one broker."""

    def __init__(self, prefix: str) -> None:
        """Read topics below ``prefix``."""
        self._head = f"{prefix}/"
        self.sites: dict[str, Site] = {}
        self.refused = 0
        """Messages that were none of a site."""

    @property
    def filters(self) -> list[str]:
        """What to subscribe to."""
        return [f"{self._head}+/availability", f"{self._head}+/health", f"{self._head}+/+/emergency"]

    def take(self, topic: str, payload: bytes, now: Moment, *, retained: bool) -> None:
        """Take a message that came at ``now``; what is none is counted."""
        levels = topic.removeprefix(self._head).split("/")
        if not topic.startswith(self._head) or len(payload) > LARGEST_BYTES or not _is_name(levels[0]):
            self.refused += 1
            return
        if levels[0] not in self.sites and len(self.sites) >= MOST_SITES:
            self.refused += 1
            return
        site = self.sites.setdefault(levels[0], Site(levels[0]))
        match levels[1:]:
            case ["availability"]:
                site.is_online = payload == b"online"
            case ["health"] if payload:
                self._count(_health(site, _decoded(payload), now, retained=retained))
            case [approach, "emergency"]:
                if not payload:  # a state that nobody knows any more
                    site.calls.pop(approach, None)
                else:
                    self._count(_state(site, approach, _decoded(payload), now))

    def _count(self, is_right: bool) -> None:
        self.refused += not is_right

    def rows(self, now: Moment, *, wanted: str = "", by: str = "trouble") -> list[Site]:
        """Return the sites in which every word of ``wanted`` is found, sorted by one of ``COLUMNS``."""
        key = _KEYS[by]
        found = [
            site for site in self.sites.values() if all(word in text_of(site, now) for word in wanted.lower().split())
        ]
        return sorted(found, key=lambda site: (key(site, now), site.name))


def text_of(site: Site, now: Moment) -> str:
    """Return what a filter looks at, in small letters."""
    words: Iterable[str] = (
        site.name, site.trouble(now), site.state, site.model, site.version, site.called_on, *site.reasons,
        "calling" if site.calling(now) else "",
    )  # fmt: skip
    return " ".join(words).lower()


def _number(value: float | None, *, descending: bool = True) -> float:
    """Return what sorts a number that may be missing: the largest first, those without one last."""
    if value is None:
        return float("inf")
    return -abs(value) if descending else value


_KEYS: dict[str, Callable[[Site, Moment], Any]] = {
    "trouble": lambda site, now: TROUBLES.index(site.trouble(now)),
    "site": lambda site, _now: site.name,
    "call": lambda site, now: (
        not site.calling(now),
        _number(None if site.called_at is None else site.called_at.timestamp()),
    ),
    "model": lambda site, _now: site.model,
    "version": lambda site, _now: site.version,
    "floor": lambda site, _now: _number(site.drift_db),
    "clock": lambda site, _now: _number(site.skew_s),
    "temperature": lambda site, _now: _number(site.temperature_c),
    "uptime": lambda site, _now: _number(site.uptime_s, descending=False),
}


def _is_name(name: str) -> bool:
    return 0 < len(name) <= 64 and name.isascii() and name.replace("-", "").isalnum()  # noqa: PLR2004  of the contract


def _decoded(payload: bytes) -> dict[str, Any]:
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    """Return text that a terminal may be shown: no control characters, and bounded."""
    return "".join(char for char in str(value)[:LONGEST_TEXT] if char.isprintable())


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and abs(value) < 1e9 else None  # noqa: PLR2004  absurd beyond


def _utc(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(value).astimezone(UTC) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None


def _health(site: Site, said: dict[str, Any], now: Moment, *, retained: bool) -> bool:
    """Take a health message; return whether it is one."""
    at, reasons = _utc(said.get("at")), said.get("reasons")
    if said.get("schema") != "sirend/health/1" or at is None or not isinstance(reasons, list):
        return False
    site.state, site.reasons = _text(said.get("state")), tuple(_text(reason) for reason in reasons[:20])
    site.model, site.version = _text(said.get("model")), _text(said.get("version"))
    site.temperature_c, site.uptime_s = _float(said.get("temperature_c")), _float(said.get("uptime_s"))
    # When it came says more of now than what its clock says; of an old one that is all there is.
    ahead_s = (at - now.utc).total_seconds()
    site.health_s = now.mono_s + (min(0.0, ahead_s) if retained else 0.0)
    if not retained:
        site.skew_s = ahead_s
    floors, drifts = said.get("floors_dbfs"), said.get("floor_drifts_db")
    if isinstance(floors, dict) and isinstance(drifts, dict) and floors:
        worst = max(floors, key=lambda name: abs(_float(drifts.get(name)) or 0.0))
        site.floor_dbfs, site.drift_db = _float(floors[worst]), _float(drifts.get(worst))
    return True


def _state(site: Site, approach: str, said: dict[str, Any], now: Moment) -> bool:
    """Take the state of an approach; return whether it is one."""
    at, until = _utc(said.get("at")), _utc(said.get("valid_until"))
    if said.get("schema") != "sirend/event/1" or at is None or until is None or not _is_name(approach):
        return False
    if said.get("state") == "approaching":
        # As a consumer has it: no longer than it says from when it came, and not past the end that it names.
        site.calls[approach] = now.mono_s + min(until - at, until - now.utc).total_seconds()
    else:
        site.calls.pop(approach, None)
        if said.get("reason") == "shutdown":  # the state that a run begins with tells of no call
            return True
    at = min(at, now.utc)  # of a clock that is ahead, or nothing later would be the latest
    if site.called_at is None or at >= site.called_at:
        site.called_at, site.called_on = at, approach
    return True
