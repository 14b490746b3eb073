"""From which way a siren comes, told from the phases of its own tones at the microphones of a small array.

A plane wave's phase differs between two microphones by 2 pi f (r1 - r2) u / c. Over the partials that the pitch track
names, which stand out of a street by tens of dB, the direction u is the least-squares solution; phases that do not fit
it are the street's and are left out. Each window gives looks; what those of the last second and a half agree on
(``bearing_course``) is the bearing.

pyroomacoustics' `doa` is maintained and knows MUSIC and SRP-PHAT, but asks one set of bins of a whole stretch of sound,
where a siren sweeps from bin to bin, and has no wheels for 32-bit Arm: so it is not used.
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
from sirend.detect.frames import framed
from sirend.detect.pitch import FRAME, STEP, TONAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sirend.audio.stream import Window
    from sirend.config.geometry import Geometry
    from sirend.detect.pitch import Pitch

_LOW_HZ, _TOP_HZ = 300.0, 3800.0
_PARTIALS = 6
_FAINT = 0.15
"""Strength from which a frame's partials are looked at: the microphones agree on a siren where one of them does not
tell its tone from the street, and nothing agrees on the street's."""
_ABOUT = np.array((-1, 0, 1))
"""Bins that are summed for a partial: a sweep smears it."""
_WAVE = 2.0 * np.pi * SAMPLE_RATE_HZ / FRAME / SOUND_M_S
"""Wave number of the first bin, 1/m."""
_EVERY = 2
"""Every second frame is looked at: its neighbours share half of their samples with it."""
_PHASE = (STEP - FRAME // 2) % (STEP * _EVERY)
"""The middle of such a frame lies so far behind the stream's grid of them."""
LOOK = to_samples(0.125)
"""Frames of so long make one look: at 50 km/h a vehicle 10 m away turns by 10 degrees meanwhile."""
_FITS_RAD = 0.5
"""A partial whose phases lie so far from the fitted direction counts for half, one that is the street's for nothing."""
_ROUNDS = 2
_TURN = 2.0 * np.pi
_LONG, _SHORT = 1.4, 0.6
"""The slope of the phases over the array is 1 for a wave along its plane and the cosine of its height for others."""
_EXPLAINED = 0.5
"""Share of the phases that a direction must explain to be one. A true array's wave has .8 and more in a quiet street
and .5 at 0 dB, one with two neighbours swapped .1 to .5."""
_TOLD_DEG = 25.0
"""One that is less sure is none."""
_PAST_S = 0.25
_STEADY_DEG_S = 8.0
_PAUSE = to_samples(0.5)
"""A bearing that turns no faster is looked for so often, and carried on between: half the CPU."""
_CALM_DEG_S = 4.0
_LONG_PAUSE = to_samples(1.0)
"""One that surely turns no faster is 2 s or more from passing: 6 m aside with 70 km/h, or 3 m with 30."""

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
    level_dbfs: float | None = None
    """How loud its tone was over the last second; None where nobody asks for it."""
    nears_db: float = 0.0
    """By how much the siren became louder after it, where that is known, dB."""

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
        self._unfit = 1.0 / (len(self._first) * _FITS_RAD**2)
        self._inverse = np.linalg.pinv(self._between)  # float64[2, pairs]
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
        self._pause = 0
        self.past = ()
        self.has_tone = False

    @property
    def is_asked(self) -> bool:
        """Whether it has looked at a window since it forgot everything."""
        return self._end is not None

    def update(self, window: Window, pitch: Pitch, *, is_settled: bool = False) -> Bearing | None:
        """Return the bearing at the end of ``window``, whose rows are the microphones; None while it is not known.

        ``pitch`` holds the frames of one or more channels up to the same end; the first says where the partials are.
        The first window after a reset is looked at as a whole, later ones as far as they are fresh. ``is_settled``:
        nothing depends on where exactly it is, so that a look a second is enough, two where it turns.
        """
        pause = self._pause
        if is_settled:
            pause = _LONG_PAUSE if self._last is not None and self._last.is_steady else _PAUSE
        if self._end is not None and 0 < window.end - self._end < pause:
            self.past = ()
            return None if self._last is None else self._last.at(window.end)
        is_first = not self.is_asked
        self._looks.extend(self._look(window, pitch))
        self._end = window.end
        self.past = self._earlier(window) if is_first else ()
        while self._looks and window.end - self._looks[0].at > to_samples(MEMORIES_S[0]):
            self._looks.popleft()
        before, self._last = self._last, self._at(window.end, self._looks)
        self._pause = _pause(before, self._last)
        return self._last

    def _earlier(self, window: Window) -> tuple[Bearing, ...]:
        """Return the bearings within ``window``, which is the first that is looked at, before its end.

        There is none where no look was added to those of the one before: it would be that one over again.
        """
        start = window.end - window.pcm.shape[1]
        found, known = [], 0
        for end in range(start + to_samples(MEMORIES_S[1]), window.end, to_samples(_PAST_S)):
            looks = [look for look in self._looks if look.at < end]
            if len(looks) > known and (bearing := self._at(Samples(end), looks)) is not None:
                found.append(bearing)
            known = len(looks)
        return tuple(found)

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
        since = start + FRAME if self._end is None else max(self._end, window.end - _PAUSE)
        begin = int(np.searchsorted(pitch.at, since - FRAME // 2, side="right"))
        strength = pitch.strength[0, begin:]
        self.has_tone = bool((strength >= TONAL).any())
        heard = begin + np.flatnonzero((strength >= _FAINT) & (pitch.at[begin:] % (STEP * _EVERY) == _PHASE))
        bins, frames = partials(pitch.hz[0, heard], self._top_hz)
        if bins.size == 0:
            return []
        at = pitch.at[heard]
        frames_of = framed(window.pcm, FRAME, 1)[:, at - (FRAME // 2 + start)] * self._hann
        spectra = fft.rfft(frames_of, axis=-1, overwrite_x=True)  # complex64[microphones, frames, bins]
        picked = spectra[:, frames[:, np.newaxis], bins[:, np.newaxis] + _ABOUT]  # [microphones, partials, lobe]
        cross = np.einsum("pnl,pnl->pn", picked[self._first], picked[self._second].conj())
        return self._fit(at[frames], cross, np.multiply(bins, _WAVE, dtype=np.float64))

    def _fit(self, at: npt.NDArray[np.int64], cross: Complex, wave: Doubles) -> list[Look]:
        """Return the direction that fits the partials of each ``LOOK``; they stand at ``at`` int64[n], ascending.

        ``cross`` complex[pairs, n] are their phases between microphones, ``wave`` float64[n] their wave numbers, 1/m.
        """
        groups = at // LOOK
        edges = np.concatenate(((0,), 1 + np.flatnonzero(groups[1:] != groups[:-1]), (at.size,)))
        first, sizes = edges[:-1], edges[1:] - edges[:-1]
        loud = np.sqrt(np.abs(cross).sum(axis=0, dtype=np.float64))  # between power and phase alone: loud ones lead
        loud /= np.repeat(np.maximum(np.maximum.reduceat(loud, first), 1e-20), sizes)
        phase = np.angle(cross).astype(np.float64)
        left, weight, towards = phase, loud * wave, np.zeros((2, first.size))
        for _ in range(_ROUNDS):  # least squares on what is left of the phases, without partials that do not fit
            pull = np.add.reduceat(left * weight, first, axis=1)  # float64[pairs, groups]
            towards += self._inverse @ (pull / np.maximum(np.add.reduceat(weight * wave, first), 1e-20))
            left = phase - np.repeat(self._between @ towards, sizes, axis=1) * wave
            left -= _TURN * np.rint(left * (1.0 / _TURN))
            weight = loud * wave / (1.0 + np.square(np.einsum("pn,pn->n", left, left) * self._unfit))
        off = loud * (len(cross) - np.cos(np.stack((left, phase))).sum(axis=1))  # before and after, float64[2, n]
        remains, turned = np.add.reduceat(off, first, axis=1)
        explained = 1.0 - remains / np.maximum(turned, 1e-20)
        length = np.hypot(*towards)
        deg = np.rad2deg(np.arctan2(*towards)) % 360.0
        when = np.add.reduceat(at, first) // sizes
        return [
            Look(Samples(int(when[each])), float(deg[each]), float(explained[each]))
            for each in np.flatnonzero((length >= _SHORT) & (length <= _LONG) & (explained >= _EXPLAINED))
        ]


def _pause(before: Bearing | None, last: Bearing | None) -> int:
    """Return for how many samples ``last`` is carried on, which was looked for after ``before``."""
    if last is None or not last.is_steady:
        return 0
    is_calm = abs(last.turning_deg_s) + last.turning_sd_deg_s <= _CALM_DEG_S
    return _LONG_PAUSE if is_calm and before is not None and before.is_steady else _PAUSE


def partials(
    hz: npt.NDArray[np.float32], top_hz: float = _TOP_HZ
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return bins int64[n] and frames int64[n] of the partials up to ``top_hz`` of pitches ``hz`` float32[frames]."""
    every = np.outer(hz.astype(np.float64), np.arange(1, _PARTIALS + 1))
    frames, number = np.nonzero((every >= _LOW_HZ) & (every <= top_hz))
    return np.rint(every[frames, number] * (FRAME / SAMPLE_RATE_HZ)).astype(np.int64), frames
