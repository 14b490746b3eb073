"""The call that tests tell of, and its end; what a test is about it changes with ``dataclasses.replace``."""

from __future__ import annotations

from dataclasses import replace

from sirend.audio.stream import Samples
from sirend.call.machine import Transition
from sirend.call.state import CallState, Reason
from sirend.detect.motion import Motion

CALL = Transition(
    approach="main",
    state=CallState.APPROACHING,
    at=Samples(0),
    onset=Samples(0),
    confidence=0.9,
    level_dbfs=-30.0,
    motion=Motion.UNKNOWN,
    reason=Reason.SIREN,
    refresh=False,
)
CLEAR = replace(CALL, state=CallState.CLEAR, reason=Reason.QUIET)
