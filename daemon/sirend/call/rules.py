"""The thresholds and times of a call: what is configured, and what a model recommends where that is left open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sirend.audio.stream import Samples, to_samples
from sirend.errors import ConfigError

if TYPE_CHECKING:
    from sirend.config.settings import CallConfig, DetectConfig


class Recommended(Protocol):
    """What a model bundle recommends."""

    @property
    def enter(self) -> float:
        """Evidence at which a siren is heard, 0..1."""

    @property
    def exit(self) -> float:
        """Evidence below which it is gone, 0..1."""

    @property
    def confirm_s(self) -> float:
        """How long the evidence must be there, s."""

    @property
    def release_s(self) -> float:
        """How long it must be gone, s."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The thresholds and times of a call; times in samples."""

    enter: float
    exit: float
    confirm: Samples
    release: Samples
    min_duration: Samples
    max_presence: Samples
    rearm_gap: Samples
    max_calls_per_hour: int
    departed: Samples | None = None
    """Driving away for so long ends a call; None: only silence does."""
    stationary: Samples | None = None
    """Standing still for so long ends a call; None: only the maximum presence does."""
    tones: frozenset[str] | None = None
    """Kinds of siren that may start a call; None: all."""

    @classmethod
    def of(cls, detect: DetectConfig, call: CallConfig, point: Recommended) -> Rules:
        """Return the configured rules, with the model's ``point`` where the configuration leaves it the choice.

        Raises ``ConfigError`` when the two together leave no hysteresis.
        """
        enter = point.enter if detect.enter is None else detect.enter
        leave = point.exit if detect.exit is None else detect.exit
        if not 0.0 < leave < enter < 1.0:
            problem = (
                f"exit {leave:g} must lie below enter {enter:g}; what is null in the configuration is the model's own"
            )
            raise ConfigError("detect", [problem])
        return cls(
            enter=enter,
            exit=leave,
            confirm=to_samples(point.confirm_s if detect.confirm_s is None else detect.confirm_s),
            release=to_samples(point.release_s if detect.release_s is None else detect.release_s),
            min_duration=to_samples(call.min_duration_s),
            max_presence=to_samples(call.max_presence_s),
            rearm_gap=to_samples(call.rearm_gap_s),
            max_calls_per_hour=call.max_calls_per_hour,
            departed=None if call.departed_s is None else to_samples(call.departed_s),
            stationary=None if call.stationary_s is None else to_samples(call.stationary_s),
            tones=None if detect.tones is None else frozenset(detect.tones),
        )
