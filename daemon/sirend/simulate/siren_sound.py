"""What a siren is: how its pitch moves, and how it is voiced.

A `SirenSound` is one or more `Sweep`s (how the pitch moves) sounding through one `Voice` (the harmonics, distortion and
horn that give the timbre). `sirens` has those of the world, `variation` draws others, `synthesis` makes sound of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Curve = Literal["linear", "log", "sine", "rc"]
EDGE_S = 0.012  # rise and fall of a keyed tone: shorter than a horn rings, long enough not to click


@dataclass(frozen=True, slots=True)
class Segment:
    """One stretch of a siren's cycle, in which the pitch goes from one value to another."""

    seconds: float
    """Length, s, over 0."""
    from_hz: float
    """Pitch at the start, Hz."""
    to_hz: float
    """Pitch at the end, Hz."""
    curve: Curve = "linear"
    """How it gets there; `rc` is the capacitor that the first electronic sirens charged and discharged."""
    gain: float = 1.0
    """Amplitude, 0 (a gap) .. 1."""

    def hz(self, part: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pitch, Hz float64[n], at `part` float64[n] of the segment, 0..1."""
        if self.curve == "log":
            return np.asarray(self.from_hz * (self.to_hz / self.from_hz) ** part)
        if self.curve == "sine":
            part = 0.5 - 0.5 * np.cos(np.pi * part)
        elif self.curve == "rc":
            part = np.expm1(-2.0 * part) / np.expm1(-2.0)
        return np.asarray(self.from_hz + (self.to_hz - self.from_hz) * part)


@dataclass(frozen=True, slots=True)
class Sweep:
    """A cycle of pitch, repeated for as long as the siren is on."""

    segments: tuple[Segment, ...]
    """The cycle, in the order played; at least one."""
    band_cpm: tuple[float, float]
    """Slowest and fastest rate still called by the siren's name, cycles a minute."""

    @property
    def cycle_s(self) -> float:
        """Length of one cycle, s."""
        return sum(segment.seconds for segment in self.segments)

    def hz(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pitch, Hz float64[n], at `seconds` float64[n] since the cycle began."""
        ends = np.cumsum([segment.seconds for segment in self.segments])
        at = np.mod(seconds, self.cycle_s)
        playing = np.minimum(np.searchsorted(ends, at, side="right"), len(ends) - 1)
        out = np.empty_like(at)
        for index, segment in enumerate(self.segments):
            here = playing == index
            out[here] = segment.hz(1.0 - (ends[index] - at[here]) / segment.seconds)
        return out

    def level(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Amplitude, 0..1 float64[n], at `seconds` float64[n] since the cycle began, with soft edges."""
        gains = np.array([segment.gain for segment in self.segments])
        starts = np.cumsum([0.0, *(segment.seconds for segment in self.segments[:-1])])
        edges = np.concatenate((starts - EDGE_S / 2, starts + EDGE_S / 2))
        return np.asarray(np.interp(seconds, edges, np.concatenate((np.roll(gains, 1), gains)), period=self.cycle_s))


@dataclass(frozen=True, slots=True)
class Voice:
    """What makes one siren sound unlike another of the same pitch."""

    even: float = 0.1
    """Even harmonics against a sawtooth's, 0 (square wave) .. 1 (sawtooth)."""
    rolloff: float = 1.0
    """Amplitude of harmonic k is k^-rolloff; 1 is a square or sawtooth, 3 nearly a sine."""
    third: float = 1.3
    """Extra gain of the third harmonic; electronic sirens are near-square with a strong third (2nd, of the PA300)."""
    drive: float = 2.0
    """How hard amplifier and driver are pushed: tanh(drive x) on a wave of peak 1."""
    band_hz: tuple[float, float] = (400.0, 4000.0)
    """What the horn lets through, Hz, second-order edges."""
    peaks: tuple[tuple[float, float], ...] = ()
    """Resonances of horn and grille: (Hz, gain in dB)."""
    breath: float = 0.0
    """Air noise against the tone, RMS ratio."""
    drift: float = 0.001
    """Slow random wander of the pitch, relative, 1 sigma."""
    softening: float = 0.0
    """Amplitude goes with pitch to this power: air chopped slower by a rotor is also chopped softer."""


@dataclass(frozen=True, slots=True)
class SirenSound:
    """A siren: who sounds it, how its pitch moves, and how it is voiced."""

    profile: str
    """Country it belongs to, a key of `TONES`, or `any`."""
    siren: str
    """Name within the profile."""
    motion: Sweep
    """The main pitch."""
    voice: Voice
    """Its timbre."""
    layers: tuple[tuple[Sweep, float], ...] = ()
    """Other pitches sounding with it and their amplitude against the main one: undertones, beats, chords."""


def sweep(
    ends_hz: tuple[float, float], band_cpm: tuple[float, float], cpm: float, curve: Curve = "rc", rise: float = 0.5
) -> Sweep:
    """Make a pitch that goes up for `rise` of the cycle and down for the rest, `cpm` times a minute."""
    low_hz, high_hz = ends_hz
    up = Segment(60.0 / cpm * rise, low_hz, high_hz, curve)
    return Sweep((up, Segment(60.0 / cpm * (1.0 - rise), high_hz, low_hz, curve)), band_cpm)


def steps(pitches_hz: tuple[float, ...], band_cpm: tuple[float, float], step_s: float, gap_s: float = 0.0) -> Sweep:
    """Make fixed pitches played one after the other, `step_s` each, with `gap_s` of silence after each."""
    keyed = [(Segment(step_s, hz, hz), Segment(gap_s, hz, hz, gain=0.0)) for hz in pitches_hz]
    return Sweep(tuple(segment for pair in keyed for segment in pair if segment.seconds > 0.0), band_cpm)


def instantaneous_hz(tone: SirenSound, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the pitch of the main motion, Hz float64[n], at `seconds` float64[n] since its cycle began."""
    return tone.motion.hz(seconds)
