"""What the network hears of an array: the beam in which a tone stands out most, of one towards each leg.

A beam weighs the microphones so that a wave from its direction is heard whole, and a street all round, and what is each
microphone's own, as little as can be (superdirective, with a bound on the latter: H. Cox and others, "Robust adaptive
beamforming", IEEE Trans. ASSP 35, 1987, 1365). Measured on 53 drives past 64 mm of 0 to 12 dB as they pass: 37 are
called on their leg, with one microphone 33; with the loudest beam of each bin, which makes the street loud, far fewer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import fft

from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.config.geometry import SOUND_M_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sirend.audio.stream import Pcm
    from sirend.config.geometry import Geometry

TAPS = 96
"""Length of a beam's filters, 6 ms."""
LATE = TAPS // 2
"""Samples by which what they give out lies behind what they are given."""
_PIECE = 2000
"""So many samples are heard with one beam at most: one that passes turns by 45 degrees in that eighth of a second."""
_LOW_HZ, _TOP_HZ = 250.0, 3500.0
"""Elsewhere one microphone is heard: lower, waves are too long for the array; higher, a siren has hardly a partial."""
_EDGE = 1.25
"""Ratio over which the beam gives way to that microphone, at either end."""
_OWN = 0.1
"""Power of what is each microphone's own, against the street's: what bounds how much of it a beam lets through."""
_WIDEST_DEG = 120.0
"""Beams are no further apart: between them a siren would be fainter than at one microphone."""
_KEEPS = 0.3
"""What an eighth of a second says of the beams counts for so much of the next one."""
_ROUND_DEG = 5.0
_BINS = 512

Complex = npt.NDArray[np.complex128]
Floats = npt.NDArray[np.float32]


class Beams:
    """The beams of one array, and which of them is listened to."""

    def __init__(self, geometry: Geometry, towards_deg: Sequence[float]) -> None:
        """Form a beam towards each of ``towards_deg``, clockwise from the array's front."""
        self._length = int(fft.next_fast_len(_PIECE + TAPS - 1, real=True))
        self._filters = fft.rfft(filters(geometry, towards_deg), self._length, axis=-1)  # [beams, microphones, bins]
        hz = fft.rfftfreq(self._length, 1.0 / SAMPLE_RATE_HZ)
        inside = np.flatnonzero((hz >= _LOW_HZ) & (hz <= _TOP_HZ))
        self._inside = slice(int(inside[0]), int(inside[-1]) + 1)
        self._inside_filters = np.ascontiguousarray(self._filters[..., self._inside])
        self._tilt = hz[inside].astype(np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget what was heard."""
        self._tonal: Floats = np.zeros(len(self._filters), np.float32)

    def hear(self, pcm: Pcm) -> Floats:
        """Return what the beams make of float32[microphones, TAPS - 1 + n], ``LATE`` behind its last n: float32[n]."""
        new = range(0, pcm.shape[1] - (TAPS - 1), _PIECE)
        return np.concatenate([self._hear(pcm[:, begin : begin + TAPS - 1 + _PIECE]) for begin in new])

    def _hear(self, pcm: Pcm) -> Floats:
        spectra = fft.rfft(pcm, self._length, axis=-1)
        beams = (self._inside_filters * spectra[:, self._inside]).sum(axis=1)
        power = np.square(beams.real)
        power += np.square(beams.imag)
        power *= self._tilt  # near white for a street, of which the square makes little and much of a tone
        self._tonal = _KEEPS * self._tonal + np.square(power).sum(axis=1)
        best = self._filters[int(self._tonal.argmax())]
        heard = fft.irfft((best * spectra).sum(axis=0), self._length)
        return np.asarray(heard[TAPS - 1 : pcm.shape[1]], np.float32)


def filters(geometry: Geometry, towards_deg: Sequence[float]) -> Floats:
    """Return the filters of each beam, float32[beams, microphones, TAPS]."""
    hz = np.maximum(fft.rfftfreq(_BINS, 1.0 / SAMPLE_RATE_HZ), 1.0)
    to_edge = np.minimum(np.log(hz * _EDGE / _LOW_HZ), np.log(_TOP_HZ * _EDGE / hz)) / math.log(_EDGE)
    share = np.clip(to_edge, 0.0, 1.0)[:, np.newaxis]
    found = weights(hz, geometry, towards_deg) * share[..., np.newaxis]
    found[..., 0] += 1.0 - share
    taps = np.roll(fft.irfft(found, axis=0), LATE, axis=0)[:TAPS]
    taps *= np.hanning(TAPS + 2)[1:-1, np.newaxis, np.newaxis]
    return np.asarray(taps.transpose(1, 2, 0), np.float32)


def weights(hz: npt.NDArray[np.float64], geometry: Geometry, towards_deg: Sequence[float]) -> Complex:
    """Return by what each beam multiplies the microphones, complex[bins, beams, microphones]."""
    around = _waves(hz, geometry, np.arange(0.0, 360.0, _ROUND_DEG))
    street = np.einsum("bdm,bdn->bmn", around, around.conj()) / around.shape[1]
    towards = _waves(hz, geometry, np.asarray(towards_deg))
    found = np.linalg.solve(street + _OWN * np.eye(street.shape[-1]), towards.transpose(0, 2, 1)).transpose(0, 2, 1)
    found /= np.einsum("bdm,bdm->bd", towards.conj(), found)[..., np.newaxis]
    return np.asarray(found.conj())


def _waves(hz: npt.NDArray[np.float64], geometry: Geometry, deg: npt.NDArray[np.float64]) -> Complex:
    """Return a wave from each of ``deg`` at the microphones, complex[bins, directions, microphones]."""
    towards = np.stack((np.sin(np.deg2rad(deg)), np.cos(np.deg2rad(deg))), axis=-1)
    lead_s = towards @ np.array(geometry.places_m).T / SOUND_M_S
    return np.asarray(np.exp(2j * np.pi * hz[:, np.newaxis, np.newaxis] * lead_s))


def directions_deg(legs_deg: Sequence[float]) -> list[float]:
    """Return where beams look: along each leg, and between legs so that all round a siren is heard."""
    legs = sorted(deg % 360.0 for deg in legs_deg) or [0.0]
    found = []
    for leg, following in zip(legs, [*legs[1:], legs[0] + 360.0], strict=True):
        parts = max(1, math.ceil((following - leg) / _WIDEST_DEG))
        found += [(leg + part * (following - leg) / parts) % 360.0 for part in range(parts)]
    return found
