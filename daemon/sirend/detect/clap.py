"""Claps beside an array of microphones: when they came, how loud, and when each microphone heard them.

A clap is short and has all frequencies, so the delay between two microphones has one answer: where their whitened cross
spectrum peaks (Knapp and Carter, The generalized correlation method for estimation of time delay, 1976). Only its first
milliseconds are looked at, for what comes later comes from walls.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import fft

from sirend.audio.level import level_dbfs
from sirend.audio.stream import SAMPLE_RATE_HZ, SILENCE_DBFS, Samples, to_samples
from sirend.config.geometry import SOUND_M_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sirend.audio.stream import Pcm
    from sirend.config.geometry import Geometry

FRAME = to_samples(0.005)
REMEMBERED = round(2.0 * SAMPLE_RATE_HZ / FRAME)
"""Frames of which the median is the street's level: 2 s."""
LEAST_FRAMES = round(0.5 * SAMPLE_RATE_HZ / FRAME)
SUDDEN_DB = 14.0
"""A clap stands so far over the street, and over the frame before the last: hands reach 20 to 40 dB at some metres."""
GONE_DB = 10.0
"""And has fallen by so much ..."""
GONE_S = 0.2
"""... after so long: a siren or a horn has not."""
PAUSE_S = 0.4
"""The next clap comes so much later at least."""
BEFORE, LONG = to_samples(0.0015), to_samples(0.008)
"""What of a clap is looked at: a wall 1.4 m behind the array returns it after 8 ms."""
DEAD_DB = 20.0
"""A microphone that hears a clap so much less than the middle one hears nothing."""
_FFT, _FINE = 512, 16
_BAND_HZ = (500.0, 6000.0)
"""Under it a street is loud, over it many microphones of an array are not alike (assumed)."""
_SLACK = 1.5
"""Delays are looked for up to so many times the longest that ``geometry`` has: it may be another one."""
_SURE_S = 4e-6
"""No delay is known better than that."""


@dataclass(frozen=True, slots=True)
class Clap:
    """One clap."""

    at: Samples
    level_dbfs: float
    """Of its first 8 ms at the middle microphone, RMS."""
    levels_dbfs: tuple[float, ...]
    """At each microphone."""
    arrival_s: tuple[float, ...]
    """When each microphone heard it, against their mean, s; NaN for one that is dead."""

    @property
    def dead(self) -> tuple[int, ...]:
        """Microphones that did not hear it, by their place in the geometry."""
        return tuple(np.flatnonzero(np.isnan(self.arrival_s)).tolist())


@dataclass(frozen=True, slots=True)
class Placed:
    """From where a clap came, if the microphones lie where they are said to."""

    deg: float
    """To the right of the array's front, 0..360."""
    sd_deg: float
    long: float
    """Delays against those of a sound along the array's plane: the cosine of its height, 1 on it."""
    residual_s: float
    """What is left of the delays, RMS, s."""


class Claps:
    """Finds the claps of a stream."""

    def __init__(self, geometry: Geometry) -> None:
        """Listen with the microphones of ``geometry``."""
        places = np.array(geometry.places_m)
        self._first, self._second = np.triu_indices(len(places), 1)
        between = places[self._first] - places[self._second]
        longest_s = float(np.max(np.hypot(*between.T))) / SOUND_M_S
        self._reach = math.ceil(_SLACK * longest_s * SAMPLE_RATE_HZ * _FINE) + _FINE
        hz = np.arange(_FFT // 2 + 1) * (SAMPLE_RATE_HZ / _FFT)
        self._band = (hz >= _BAND_HZ[0]) & (hz <= _BAND_HZ[1])
        self._held: Pcm = np.zeros((0, len(places)), np.float32)
        self._begin = 0
        self._levels: deque[float] = deque(maxlen=REMEMBERED)
        self._looked = 0
        """Frames of what is held that were looked at."""
        self._next = 0

    def push(self, pcm: Pcm) -> Iterator[Clap]:
        """Take float32[n, microphones]; yield the claps that are over."""
        self._held = np.concatenate((self._held, pcm))
        ahead = round(GONE_S * SAMPLE_RATE_HZ / FRAME) + 1
        sharp = np.diff(self._held, axis=0, prepend=self._held[:1]).max(axis=1)  # what wind and engines have little of
        frames = sharp[: len(sharp) // FRAME * FRAME].reshape(-1, FRAME)
        level = 10.0 * np.log10(np.square(frames).mean(axis=1) + 1e-12)
        while self._looked + ahead < len(level):
            now, self._looked = self._looked, self._looked + 1
            if self._is_clap(level, now, ahead) and self._begin + now * FRAME >= self._next:
                clap = self._clap(now * FRAME)
                self._next = clap.at + to_samples(PAUSE_S)
                yield clap
            self._levels.append(float(level[now]))
        kept = max(0, self._looked - 8)
        self._held, self._begin, self._looked = (
            self._held[kept * FRAME :],
            self._begin + kept * FRAME,
            self._looked - kept,
        )

    def _is_clap(self, level: npt.NDArray[np.float64], now: int, ahead: int) -> bool:
        if len(self._levels) < LEAST_FRAMES:
            return False
        peak = float(level[now : now + 3].max())
        over = peak - max(float(np.median(self._levels)), *(self._levels[back] for back in (-4, -3, -2)))
        return over >= SUDDEN_DB and peak - float(level[now + ahead - 4 : now + ahead].max()) >= GONE_DB

    def _clap(self, near: int) -> Clap:
        """Return the clap about sample ``near`` of what is held."""
        around = np.abs(self._held[max(0, near - FRAME) : near + 3 * FRAME]).max(axis=1)
        onset = max(0, near - FRAME) + int(np.argmax(around >= 0.2 * around.max()))
        begin = max(0, onset - BEFORE)
        piece = self._held[begin : begin + LONG].astype(np.float64)
        levels = [level_dbfs(column.astype(np.float32)) for column in piece.T]
        middle = float(np.median(levels))
        is_dead = np.array(levels) < max(middle - DEAD_DB, SILENCE_DBFS + 1.0)
        arrival_s = self._arrivals(piece, ~is_dead)
        return Clap(Samples(self._begin + onset), middle, tuple(levels), tuple(arrival_s.tolist()))

    def _arrivals(self, piece: npt.NDArray[np.float64], is_heard: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        """Return when the microphones heard float64[n, microphones], s against their mean: float64[microphones]."""
        found = np.full(len(is_heard), np.nan)
        if not is_heard.any():
            return found
        faded = piece * np.minimum(1.0, np.arange(len(piece), 0, -1) / (0.25 * len(piece)))[:, np.newaxis]
        spectra = fft.rfft(faded, _FFT, axis=0).T
        cross = spectra[self._first] * np.conj(spectra[self._second])
        white = np.where(self._band, cross / np.maximum(np.abs(cross), 1e-20) * np.sqrt(np.abs(cross)), 0.0)
        likeness = fft.irfft(white, _FFT * _FINE, axis=1)
        lags = np.arange(-self._reach, self._reach + 1)
        likeness = likeness[:, lags]
        peak = np.clip(likeness.argmax(axis=1), 1, len(lags) - 2)
        left, here, right = (likeness[np.arange(len(peak)), peak + step] for step in (-1, 0, 1))
        bend = left - 2.0 * here + right
        delay_s = (lags[peak] + np.where(bend < 0.0, 0.5 * (left - right) / np.minimum(bend, -1e-20), 0.0)) / (
            _FINE * SAMPLE_RATE_HZ
        )
        table = np.zeros((len(is_heard), len(is_heard)))
        table[self._first, self._second], table[self._second, self._first] = delay_s, -delay_s
        found[is_heard] = table[np.ix_(is_heard, is_heard)].mean(axis=1)
        return found


def locate_clap(places_m: npt.NDArray[np.float64], arrival_s: npt.NDArray[np.float64]) -> Placed | None:
    """Return from where a clap came that microphones at ``places_m`` float64[n, 2] heard at ``arrival_s`` float64[n].

    None where fewer than three heard it.
    """
    is_heard = ~np.isnan(arrival_s)
    if np.count_nonzero(is_heard) < 3:  # noqa: PLR2004  two have no direction in a plane
        return None
    centred = places_m[is_heard] - places_m[is_heard].mean(axis=0)
    late = arrival_s[is_heard] - arrival_s[is_heard].mean()
    towards, *_ = np.linalg.lstsq(centred, -SOUND_M_S * late, rcond=None)
    left = late + centred @ towards / SOUND_M_S
    residual_s = float(np.sqrt(np.mean(np.square(left))))
    long = float(np.hypot(*towards))
    freedom = max(1, len(late) - 3)
    sigma_s = math.sqrt(_SURE_S**2 + float(np.sum(np.square(left))) / freedom)
    across = np.array((towards[1], -towards[0])) / max(long, 1e-9)
    spread = float(across @ np.linalg.inv(centred.T @ centred) @ across)
    sd_deg = math.degrees(math.atan2(SOUND_M_S * sigma_s * math.sqrt(spread), max(long, 1e-9)))
    return Placed(math.degrees(math.atan2(towards[0], towards[1])) % 360.0, max(1.0, sd_deg), long, residual_s)
