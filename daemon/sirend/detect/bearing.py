"""From which way a siren comes, told from the phases of its own tones at the microphones of a small array.

A plane wave's phase differs between two microphones by 2 pi f (r1 - r2) u / c. Over the partials that the pitch track
names, which stand out of a street by tens of dB, the direction u is the least-squares solution; phases that do not fit
it are the street's and are left out. Each window gives one look; looks of the last seconds give the bearing, how fast
it turns, and its uncertainty, and those that disagree with most do not count.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import fft

from sirend.audio.stream import SAMPLE_RATE_HZ, Samples, to_samples
from sirend.config.geometry import SOUND_M_S
from sirend.detect.pitch import FRAME, TONAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sirend.audio.stream import Window
    from sirend.config.geometry import Geometry
    from sirend.detect.pitch import Pitch

_FFT = 1024
_LOW_HZ, _TOP_HZ = 300.0, 3800.0
_PARTIALS = 6
_LOBE = 1
"""Bins to either side of a partial that are summed with it: a sweep smears it."""
_FITS_RAD = 0.8
"""A phase further from the fitted direction is the street's."""
_LONG, _SHORT = 1.4, 0.6
"""The slope of the phases over the array is 1 for a wave along its plane and the cosine of its height for others."""
_MEMORY_S = 1.5
"""Looks that are older say nothing of now: at 50 km/h a vehicle 30 m away has turned by 40 degrees meanwhile."""
_AGREES_DEG = 10.0
"""A look this far from the rest is a reflection's, or another siren's."""
_LEAST_LOOKS = 3
_LEAST_AGREEING = 0.6
_EXPLAINED = 0.5
"""Share of the phases that a direction must explain to be one. A true array's wave has .8 and more in a quiet street
and .5 at 0 dB, one with two neighbours swapped .1 to .5."""
_MOST_DEG_S = 180.0
"""A vehicle that passes at 5 m with 50 km/h turns as fast as that."""
_FLOOR_DEG = 2.0
"""No bearing is stated better than that: the array's own heading is set by hand."""

Complex = npt.NDArray[np.complex64]


@dataclass(frozen=True, slots=True)
class Bearing:
    """Where a siren is."""

    end: Samples
    """End of the window in which it was heard."""
    deg: float
    """Compass bearing, 0..360."""
    sd_deg: float
    """Its uncertainty, one sigma, degrees."""
    turning_deg_s: float = 0.0
    """How fast it turns, clockwise over 0, degrees a second."""

    @property
    def came_from_deg(self) -> float:
        """Where it was a second ago, 0..360: a vehicle that is heard late is passing already."""
        return (self.deg - self.turning_deg_s) % 360.0


@dataclass(frozen=True, slots=True)
class Look:
    """What the fresh samples of one window say."""

    at: Samples
    """The middle of what was looked at."""
    deg: float
    explained: float
    """Share of the phases that it explains, up to 1."""


class Compass:
    """Follows the bearing of the siren that an array hears, window after window."""

    def __init__(self, geometry: Geometry, heading_deg: float = 0.0) -> None:
        """Listen with ``geometry``, whose front looks to the compass bearing ``heading_deg``."""
        self._heading_deg = heading_deg
        places = np.array(geometry.places_m)
        self._first, self._second = np.triu_indices(len(places), 1)
        self._between = places[self._first] - places[self._second]  # float64[pairs, 2]
        longest = float(np.max(np.hypot(*self._between.T)))
        self._top_hz = min(_TOP_HZ, 0.45 * SOUND_M_S / longest)  # half a wave between two: their phase turns once
        self.has_tone = False
        """Whether there was a tone to look for in the last window."""
        self._hann = (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(FRAME) / FRAME)).astype(np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._looks: deque[Look] = deque()
        self.has_tone = False

    def update(self, window: Window, pitch: Pitch) -> Bearing | None:
        """Return the bearing at the end of ``window``, whose rows are the microphones; None while it is not known.

        ``pitch`` holds the frames of one or more channels up to the same end; the first says where the partials are.
        """
        self.has_tone = False
        look = self._look(window, pitch)
        if look is not None:
            self._looks.append(look)
        while self._looks and window.end - self._looks[0].at > to_samples(_MEMORY_S):
            self._looks.popleft()
        agreed = agree(self._looks, window.end)
        if agreed is None:
            return None
        deg, sd_deg, turning_deg_s = agreed
        return Bearing(window.end, (deg + self._heading_deg) % 360.0, sd_deg, turning_deg_s)

    def _look(self, window: Window, pitch: Pitch) -> Look | None:
        """Return what the frames say that end in the fresh samples of ``window``; None without a tone there."""
        start = window.end - window.pcm.shape[1]
        begin = int(np.searchsorted(pitch.at, max(window.end - window.fresh, start + FRAME) - FRAME // 2, side="right"))
        tonal = begin + np.flatnonzero(pitch.strength[0, begin:] >= TONAL)
        if tonal.size == 0:
            return None
        self.has_tone = True
        firsts = pitch.at[tonal] - FRAME // 2 - start
        framed = window.pcm[:, firsts[:, np.newaxis] + np.arange(FRAME)] * self._hann
        spectra = fft.rfft(framed, _FFT, axis=-1)  # complex64[microphones, frames, bins]
        bins, frames = partials(pitch.hz[0, tonal], self._top_hz)
        if bins.size == 0:
            return None
        lobe = bins[:, np.newaxis] + np.arange(-_LOBE, _LOBE + 1)
        picked = spectra[:, frames[:, np.newaxis], lobe]  # [microphones, partials, bins of the lobe]
        cross = np.sum(picked[self._first] * np.conj(picked[self._second]), axis=2)
        wave = bins.astype(np.float64) * (2.0 * np.pi * SAMPLE_RATE_HZ / _FFT / SOUND_M_S)
        return self._fit(Samples(int(pitch.at[tonal].mean())), cross, wave)

    def _fit(self, at: Samples, cross: Complex, wave: npt.NDArray[np.float64]) -> Look | None:
        """Return the direction that fits ``cross`` complex[pairs, n] at wave numbers ``wave`` float64[n], 1/m."""
        loud = np.sqrt(np.abs(cross).mean(axis=0))  # between power and phase alone: loud partials lead
        weight = np.broadcast_to(loud / max(float(loud.max()), 1e-20), cross.shape)
        towards, left = np.zeros(2), np.angle(cross)
        turned = float(np.sum(loud * (1.0 - np.cos(left))))
        for _ in range(3):  # Gauss-Newton on what is left of the phases, without those that do not fit
            each = weight * wave
            slopes = (each * wave).sum(axis=1)
            normal = (self._between.T * slopes) @ self._between
            towards = towards + np.linalg.solve(normal + 1e-12 * np.eye(2), self._between.T @ (each * left).sum(axis=1))
            left = np.angle(cross * np.exp(-1j * np.outer(self._between @ towards, wave)))
            weight = np.where(np.abs(left) < _FITS_RAD, loud / max(float(loud.max()), 1e-20), 1e-3)
        explained = 1.0 - float(np.sum(loud * (1.0 - np.cos(left)))) / max(turned, 1e-20)
        length = math.hypot(*towards)
        if not _SHORT <= length <= _LONG or explained < _EXPLAINED:
            return None
        return Look(at, math.degrees(math.atan2(towards[0], towards[1])) % 360.0, explained)


def partials(
    hz: npt.NDArray[np.float32], top_hz: float = _TOP_HZ
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return bins int64[n] and frames int64[n] of the partials up to ``top_hz`` of pitches ``hz`` float32[frames]."""
    every = np.outer(hz.astype(np.float64), np.arange(1, _PARTIALS + 1))
    frames, number = np.nonzero((every >= _LOW_HZ) & (every <= top_hz))
    return np.rint(every[frames, number] * (_FFT / SAMPLE_RATE_HZ)).astype(np.int64), frames


def agree(looks: Sequence[Look], now: Samples) -> tuple[float, float, float] | None:
    """Return the bearing at ``now`` that most of ``looks`` lead to, its sigma and its turning; None if too few agree.

    A line through those that agree: a vehicle that passes turns, and its bearing is the line's end.
    """
    if len(looks) < _LEAST_LOOKS:
        return None
    deg = np.array([look.deg for look in looks])
    age_s = np.array([look.at - now for look in looks]) / SAMPLE_RATE_HZ
    one, other = np.triu_indices(len(looks), 1)
    turning = apart(deg[other], deg[one]) / np.maximum(age_s[other] - age_s[one], 1e-3)
    off = apart(deg, deg[one, np.newaxis] + turning[:, np.newaxis] * (age_s - age_s[one, np.newaxis]))
    fits = (np.abs(off) <= _AGREES_DEG) & (np.abs(turning) <= _MOST_DEG_S)[:, np.newaxis]
    best = fits[int(np.argmax(fits.sum(axis=1)))]
    count = int(best.sum())
    if count < max(_LEAST_LOOKS, _LEAST_AGREEING * len(looks)):
        return None
    origin = deg[best][-1]
    place, since = apart(deg[best], origin), age_s[best]
    middle, mean = float(since.mean()), float(place.mean())
    spread_s = float(np.sum(np.square(since - middle)))
    slope = float((since - middle) @ (place - mean)) / max(spread_s, 1e-6)
    left = float(np.sqrt(np.sum(np.square(place - mean - slope * (since - middle))) / max(1, count - 2)))
    # Looks of neighbouring windows share what disturbs them (a reflection lasts): a third of their number counts.
    sd_deg = left * math.sqrt(3.0 * (1.0 / count + middle**2 / max(spread_s, 1e-6)))
    return float(origin + mean - slope * middle) % 360.0, max(_FLOOR_DEG, sd_deg), slope


def apart(deg: npt.ArrayLike, other: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return how far ``deg`` lies clockwise of ``other``, -180..180 degrees."""
    return np.asarray((np.asarray(deg, np.float64) - np.asarray(other, np.float64) + 180.0) % 360.0 - 180.0)
