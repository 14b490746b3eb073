"""The value types of the sample stream.

Inside the pipeline time is a count of samples at 16 kHz since the stream began. Wall time appears only where an event
is written (``call.clock``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NewType, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Samples = NewType("Samples", int)
"""A count of samples at ``SAMPLE_RATE_HZ``: the only clock inside the pipeline."""

Pcm: TypeAlias = "npt.NDArray[np.float32]"

SAMPLE_RATE_HZ = 16_000
SILENCE_DBFS = -120.0
"""What digital silence is reported as: a named floor, never 0, which would read as full scale."""


def to_samples(seconds: float) -> Samples:
    """Return ``seconds`` as the nearest whole count of samples."""
    return Samples(round(seconds * SAMPLE_RATE_HZ))


def to_seconds(samples: int) -> float:
    """Return a count of samples in seconds."""
    return samples / SAMPLE_RATE_HZ


class GapReason(StrEnum):
    """Why samples are missing."""

    OVERFLOW = "overflow"
    """The host or the ring dropped samples because the worker was late; the stream goes on."""
    STALLED = "stalled"
    """The device delivered nothing for ``audio.stall_s``."""
    DEVICE_LOST = "device_lost"
    """The device went away and was opened again."""


@dataclass(frozen=True, slots=True)
class Block:
    """A run of consecutive samples."""

    start: Samples
    """Count of samples before the first of this block."""
    pcm: Pcm
    """float32[n, channels] in [-1, 1]."""

    @property
    def end(self) -> Samples:
        """Count of samples up to and including the last of this block."""
        return Samples(self.start + len(self.pcm))


@dataclass(frozen=True, slots=True)
class Gap:
    """A place where samples are missing; no window spans it."""

    at: Samples
    """Count of samples that arrived before the gap; what is lost is not counted, for nobody knows how much it was."""
    reason: GapReason

    @property
    def is_fault(self) -> bool:
        """Whether the input itself was lost, so that whatever was heard before says nothing about now."""
        return self.reason is not GapReason.OVERFLOW


@dataclass(frozen=True, slots=True)
class Window:
    """Two seconds of every approach, ending at a multiple of the hop."""

    end: Samples
    pcm: Pcm
    """float32[approaches, window_samples] in [-1, 1]."""
    fresh: int
    """How many of the last samples were not in the window before: one hop, or all of them after a start or a gap."""


@dataclass(frozen=True, slots=True)
class Score:
    """What the classifier says of one approach in one window."""

    end: Samples
    """The window's end."""
    approach: str
    siren: float
    """Calibrated probability of a siren, 0..1."""
    level_dbfs: float
    """RMS level of the window, ``SILENCE_DBFS``..0."""
