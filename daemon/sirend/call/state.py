"""The states of a call and why one is entered."""

from __future__ import annotations

from enum import StrEnum


class CallState(StrEnum):
    """What a signal controller acts on."""

    APPROACHING = "approaching"
    CLEAR = "clear"


class Reason(StrEnum):
    """Why a state was entered: ``SIREN`` for a call, the others for its end."""

    SIREN = "siren"
    QUIET = "quiet"
    """The siren is gone."""
    DEPARTED = "departed"
    """The siren is gone or going, and was driving away before."""
    MAX_PRESENCE = "max_presence"
    """It was there, or stood still, for longer than a call may last."""
    INPUT_LOST = "input_lost"
    INHIBITED = "inhibited"
    SHUTDOWN = "shutdown"


def in_words(reason: str, mode: str) -> str:
    """Return the reason of an event as people read it: a recording that ends has lost and shut down nothing."""
    is_end = mode == "replay" and reason in (Reason.SHUTDOWN, Reason.INPUT_LOST)
    return "end of the recording" if is_end else str(reason)
