"""From which way a siren comes, told from the phases of its own tones at the microphones of a small array.

A plane wave's phase differs between two microphones by 2 pi f (r1 - r2) u / c. Over the partials that the pitch track
names, which stand out of a street by tens of dB, the direction u is the least-squares solution; phases that do not fit
it are the street's and are left out. Each window gives looks; what those of the last second and a half agree on
(``bearing_course``) is the bearing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import fft

from sirend.audio.stream import SAMPLE_RATE_HZ, Samples, to_samples
from sirend.config.geometry import SOUND_M_S
from sirend.detect.bearing_course import MEMORIES_S, Look, latest
from sirend.detect.pitch import FRAME, STEP, TONAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sirend.audio.stream import Window
    from sirend.config.geometry import Geometry
    from sirend.detect.pitch import Pitch

_LOW_HZ, _TOP_HZ = 300.0, 3800.0
_PARTIALS = 6
_LOBE = 1
"""Bins to either side of a partial that are summed with it: a sweep smears it."""
_EVERY = 2
"""Every second frame is looked at: its neighbours share half of their samples with it."""
LOOK = to_samples(0.125)
"""Frames of so long make one look: at 50 km/h a vehicle 10 m away turns by 10 degrees meanwhile."""
_FITS_RAD = 0.8
"""A phase further from the fitted direction is the street's."""
_LONG, _SHORT = 1.4, 0.6
"""The slope of the phases over the array is 1 for a wave along its plane and the cosine of its height for others."""
_EXPLAINED = 0.5
"""Share of the phases that a direction must explain to be one. A true array's wave has .8 and more in a quiet street
and .5 at 0 dB, one with two neighbours swapped .1 to .5."""
_TOLD_DEG = 25.0
"""One that is less sure is none."""
_PAUSE = to_samples(0.5)
_PAST_S = 0.25
_STEADY_DEG_S = 8.0
"""A bearing that turns no faster is looked for so often, and carried on between: half the CPU."""

Complex = npt.NDArray[np.complex64]
Doubles = npt.NDArray[np.float64]


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
    turning_sd_deg_s: float = 0.0
    """The uncertainty of that, one sigma."""
    below_db: float = 0.0
    """How far the siren lies under the loudest that it was of late, dB: one that has passed soon lies far under it."""

    @property
    def is_steady(self) -> bool:
        """Whether it hardly turns."""
        return abs(self.turning_deg_s) <= _STEADY_DEG_S

    def at(self, end: Samples) -> Bearing:
        """Return what it will be at ``end`` if it turns on as it does."""
        deg = self.deg + self.turning_deg_s * (end - self.end) / SAMPLE_RATE_HZ
        return replace(self, end=end, deg=deg % 360.0)


class Compass:
    """Follows the bearing of the siren that an array hears, window after window."""

    def __init__(self, geometry: Geometry, heading_deg: float = 0.0) -> None:
        """Listen with ``geometry``, whose front looks to the compass bearing ``heading_deg``."""
        self._heading_deg = heading_deg
        places = np.array(geometry.places_m)
        self._first, self._second = np.triu_indices(len(places), 1)
        self._between = places[self._first] - places[self._second]  # float64[pairs, 2]
        along, ahead = self._between.T
        self._squares = np.stack((along * along, along * ahead, ahead * ahead))  # float64[3, pairs]
        longest = float(np.max(np.hypot(*self._between.T)))
        self._top_hz = min(_TOP_HZ, 0.45 * SOUND_M_S / longest)  # half a wave between two: their phase turns once
        self.has_tone = False
        """Whether there was a tone to look for in the last window."""
        self.past: tuple[Bearing, ...] = ()
        """Where the siren was within the first window that it was looked for in, oldest first; empty after that."""
        self._hann = (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(FRAME) / FRAME)).astype(np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._looks: deque[Look] = deque()
        self._end: int | None = None
        self._last: Bearing | None = None
        self.past = ()
        self.has_tone = False

    def update(self, window: Window, pitch: Pitch) -> Bearing | None:
        """Return the bearing at the end of ``window``, whose rows are the microphones; None while it is not known.

        ``pitch`` holds the frames of one or more channels up to the same end; the first says where the partials are.
        The first window after a reset is looked at as a whole, later ones as far as they are fresh.
        """
        if self._last is not None and self._last.is_steady and 0 < window.end - self._last.end < _PAUSE:
            self.past = ()
            return self._last.at(window.end)
        is_first = self._end is None
        self._looks.extend(self._look(window, pitch))
        self._end = window.end
        self.past = self._earlier(window) if is_first else ()
        while self._looks and window.end - self._looks[0].at > to_samples(MEMORIES_S[0]):
            self._looks.popleft()
        self._last = self._at(window.end, self._looks)
        return self._last

    def _earlier(self, window: Window) -> tuple[Bearing, ...]:
        """Return the bearings within ``window``, which is the first that is looked at, before its end."""
        start = window.end - window.pcm.shape[1]
        ends = range(start + to_samples(MEMORIES_S[1]), window.end, to_samples(_PAST_S))
        found = (self._at(Samples(end), [look for look in self._looks if look.at < end]) for end in ends)
        return tuple(bearing for bearing in found if bearing is not None)

    def _at(self, end: Samples, looks: Sequence[Look]) -> Bearing | None:
        """Return the bearing at ``end`` by ``looks`` before it."""
        agreed = latest(looks, end)
        if agreed is None or agreed.sd_deg > _TOLD_DEG:
            return None
        deg = (agreed.deg + self._heading_deg) % 360.0
        return Bearing(end, deg, agreed.sd_deg, agreed.turning_deg_s, agreed.turning_sd_deg_s)

    def _look(self, window: Window, pitch: Pitch) -> list[Look]:
        """Return what the frames say that end in the samples of ``window`` that were not looked at."""
        self.has_tone = False
        start = window.end - window.pcm.shape[1]
        since = max(start + FRAME, start if self._end is None else self._end)
        begin = int(np.searchsorted(pitch.at, since - FRAME // 2, side="right"))
        tonal = begin + np.flatnonzero(pitch.strength[0, begin:] >= TONAL)
        tonal = tonal[pitch.at[tonal] // STEP % _EVERY == 0]
        if tonal.size == 0:
            return []
        self.has_tone = True
        firsts = pitch.at[tonal] - FRAME // 2 - start
        bins, frames = partials(pitch.hz[0, tonal], self._top_hz)
        if bins.size == 0:
            return []
        framed = window.pcm[:, firsts[:, np.newaxis] + np.arange(FRAME)] * self._hann
        spectra = fft.rfft(framed, axis=-1, overwrite_x=True)  # complex64[microphones, frames, bins]
        lobe = bins[:, np.newaxis] + np.arange(-_LOBE, _LOBE + 1)
        picked = spectra[:, frames[:, np.newaxis], lobe]  # [microphones, partials, bins of the lobe]
        cross = np.sum(picked[self._first] * np.conj(picked[self._second]), axis=2)
        wave = bins.astype(np.float64) * (2.0 * np.pi * SAMPLE_RATE_HZ / FRAME / SOUND_M_S)
        groups = pitch.at[tonal[frames]] // LOOK
        return self._fit(pitch.at[tonal[frames]], groups, cross, wave)

    def _fit(
        self, at: npt.NDArray[np.int64], groups: npt.NDArray[np.int64], cross: Complex, wave: Doubles
    ) -> list[Look]:
        """Return the direction that fits each of ``groups`` int64[n], ascending, of partials at ``at`` int64[n].

        ``cross`` complex[pairs, n] are their phases between microphones, ``wave`` float64[n] their wave numbers, 1/m.
        """
        first = np.flatnonzero(np.diff(groups, prepend=-1))
        sizes = np.diff(first, append=at.size)
        number = np.repeat(np.arange(first.size), sizes)  # of its group, int64[n]
        loud = np.sqrt(np.abs(cross).mean(axis=0)).astype(np.float64)  # between power and phase alone: loud ones lead
        loud /= np.maximum(np.maximum.reduceat(loud, first), 1e-20)[number]
        phase = np.angle(cross).astype(np.float64)
        east, north, left = np.zeros(first.size), np.zeros(first.size), phase
        turned = np.add.reduceat((loud * (1.0 - np.cos(left))).sum(axis=0), first)
        weight = np.broadcast_to(loud, cross.shape)
        for _ in range(3):  # Gauss-Newton on what is left of the phases, without those that do not fit
            each = weight * wave
            slopes = np.add.reduceat(each * wave, first, axis=1)  # float64[pairs, groups]
            pull = np.add.reduceat(each * left, first, axis=1)
            xx, xy, yy = self._squares @ slopes  # the normal equations of each group, two by two
            to_x, to_y = self._between.T @ pull
            scale = 1.0 / np.maximum(xx * yy - xy * xy, 1e-20)
            east += (yy * to_x - xy * to_y) * scale
            north += (xx * to_y - xy * to_x) * scale
            left = phase - (self._between @ np.stack((east, north)))[:, number] * wave
            left -= 2.0 * np.pi * np.rint(left / (2.0 * np.pi))
            weight = np.where(np.abs(left) < _FITS_RAD, loud, 1e-3)
        remains = np.add.reduceat((loud * (1.0 - np.cos(left))).sum(axis=0), first)
        explained = 1.0 - remains / np.maximum(turned, 1e-20)
        length = np.hypot(east, north)
        deg = np.rad2deg(np.arctan2(east, north)) % 360.0
        when = np.add.reduceat(at, first) // sizes
        return [
            Look(Samples(int(when[each])), float(deg[each]), float(explained[each]))
            for each in np.flatnonzero((length >= _SHORT) & (length <= _LONG) & (explained >= _EXPLAINED))
        ]


def partials(
    hz: npt.NDArray[np.float32], top_hz: float = _TOP_HZ
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return bins int64[n] and frames int64[n] of the partials up to ``top_hz`` of pitches ``hz`` float32[frames]."""
    every = np.outer(hz.astype(np.float64), np.arange(1, _PARTIALS + 1))
    frames, number = np.nonzero((every >= _LOW_HZ) & (every <= top_hz))
    return np.rint(every[frames, number] * (FRAME / SAMPLE_RATE_HZ)).astype(np.int64), frames
