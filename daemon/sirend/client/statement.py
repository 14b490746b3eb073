"""One message of a site as a value, or why it is none: the strict reader of ``sirend/event/1``."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, NoReturn

from sirend.call.event import SCHEMA, Mode
from sirend.call.state import CallState

LARGEST_BYTES = 8192
"""No statement of the contract comes near it: names have 64 characters, the longest file name of a replay 4096."""
_NAME = re.compile(r"[a-z0-9-]{1,64}")
_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_CANONICAL = re.compile(rb'"boot_id":"([^"\\]+)",.*"seq":([0-9]{1,15}),.*"valid_until":"(\d{4}-[^"\\]{5,30}Z)"')
_CALL = b'"type":"emergency_approaching"'
_LONGEST_TEXT = 128
_TYPES = {"emergency_approaching": CallState.APPROACHING, "emergency_cleared": CallState.CLEAR}


class Fault(StrEnum):
    """Why a message does not count."""

    TOO_BIG = "too_big"
    MALFORMED = "malformed"
    """No JSON, or no object of the contract's shape."""
    SCHEMA = "schema"
    """Another version of the contract, or another contract."""
    ELSEWHERE = "elsewhere"
    """Its site or approach is not that of its topic."""
    UNKNOWN_APPROACH = "unknown_approach"
    TOO_LONG = "too_long"
    """It claims to be valid for longer than the contract allows."""
    SIGNATURE = "signature"
    REPLAYED = "replayed"
    """Said before: its number does not grow, or its run of the daemon is over."""
    STALE = "stale"
    CROWDED_OUT = "crowded_out"
    """Nobody looked at it: too many came at once, and none of the rest was signed."""


class StatementError(Exception):
    """A message that does not count; ``fault`` is the kind, the text says more and quotes nothing secret."""

    def __init__(self, fault: Fault, text: str) -> None:
        """Refuse for ``fault``, explained by ``text``."""
        self.fault = fault
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Statement:
    """What a site said of one approach: the fields of ``sirend/event/1`` that decide."""

    site: str
    approach: str
    state: CallState
    reason: str
    event_id: str
    boot_id: str
    seq: int
    at: datetime
    valid_until: datetime
    mode: Mode
    advisory: bool
    payload: dict[str, Any] = field(repr=False, compare=False)
    """The whole object, for its signature and for whoever wants the rest."""


class Peek(NamedTuple):
    """What shows of a statement before it is decoded."""

    boot_id: str
    seq: int
    valid_until: datetime
    is_call: bool


def peek(payload: bytes) -> Peek | None:
    """Return what shows of a statement in canonical form, or None.

    It says nothing of whose word that is: ask it about what is signed.
    """
    found = _CANONICAL.search(payload)
    try:
        if found is not None:
            until = datetime.fromisoformat(found[3].decode())
            return Peek(found[1].decode(), int(found[2]), until, _CALL in payload)
    except ValueError:  # such as the 31st of February
        pass
    return None


def parse_statement(payload: bytes) -> Statement:
    """Return what ``payload`` states; raise ``StatementError`` when it is not a statement of the contract."""
    if len(payload) > LARGEST_BYTES:
        raise StatementError(Fault.TOO_BIG, f"it has {len(payload)} bytes; no statement has more than {LARGEST_BYTES}")
    try:
        found = json.loads(payload, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise StatementError(Fault.MALFORMED, f"it is no JSON ({type(error).__name__})") from None
    if not isinstance(found, dict):
        raise StatementError(Fault.MALFORMED, "it is no JSON object")
    if found.get("schema") != SCHEMA:
        raise StatementError(Fault.SCHEMA, f"its schema is not {SCHEMA}")
    state = _TYPES.get(_text(found, "type"))
    if state is None or found.get("state") != state or (_text(found, "reason") == "siren") != (state == "approaching"):
        raise _malformed("type, state and reason")
    seq, mode = found.get("seq"), found.get("mode")
    if not isinstance(seq, int) or isinstance(seq, bool) or seq < 1:
        raise _malformed("seq")
    if mode not in ("live", "replay"):
        raise _malformed("mode")
    _check_options(found)
    at, valid_until = _utc(found, "at"), _utc(found, "valid_until")
    if valid_until < at:
        raise _malformed("valid_until")
    return Statement(
        site=_name(found, "site"),
        approach=_name(found, "approach"),
        state=state,
        reason=_text(found, "reason"),
        event_id=_text(found, "event_id"),
        boot_id=_text(found, "boot_id"),
        seq=seq,
        at=at,
        valid_until=valid_until,
        mode="live" if mode == "live" else "replay",
        advisory="advisory" in found,
        payload=found,
    )


def _check_options(found: dict[str, Any]) -> None:
    """Refuse what may lack, where it is there and wrong; a tone that is not known yet is none of that."""
    if found.get("advisory", True) is not True:
        raise _malformed("advisory")
    if "tone" in found:
        _text(found, "tone")


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)


def _malformed(what: str) -> StatementError:
    return StatementError(Fault.MALFORMED, f"{what}: missing or not of {SCHEMA}")


def _text(found: dict[str, Any], key: str) -> str:
    value = found.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TEXT or not value.isprintable():
        raise _malformed(key)
    return value


def _name(found: dict[str, Any], key: str) -> str:
    value = _text(found, key)
    if not _NAME.fullmatch(value):
        raise _malformed(key)
    return value


def _utc(found: dict[str, Any], key: str) -> datetime:
    value = _text(found, key)
    try:
        if _UTC.fullmatch(value):
            return datetime.fromisoformat(value)
    except ValueError:  # such as the 31st of February
        pass
    raise _malformed(key)
