"""A siren driving down a street: what a microphone beside it receives.

The source moves on a straight level line at constant speed. Each path (the direct one, and the one mirrored in the
road) is a delay line read at the exact emission time, whence the Doppler shift, and weakened by 1/distance. Air
absorption follows ISO 9613-1:1993.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy import fft, ndimage, signal

if TYPE_CHECKING:
    from numpy.typing import NDArray

OVERSAMPLING = 2  # brings the quintic spline's error at 6 kHz in 16 kHz sound under -70 dB
ABSORPTION_FRAME = 512  # samples; the vehicle moves a metre or so meanwhile, and absorption is stated per kilometre
NEAREST_M = 1.0  # 1/distance holds outside the vehicle; the source's level is the level at this distance
KMH = 1.0 / 3.6  # m/s in one km/h


@dataclass(frozen=True, slots=True)
class Air:
    """The weather, as far as sound feels it."""

    temperature_c: float = 15.0
    """Temperature, degrees Celsius, -20..50."""
    humidity_percent: float = 70.0
    """Relative humidity, %, 10..100."""
    pressure_kpa: float = 101.325
    """Static pressure, kPa."""

    @property
    def sound_m_s(self) -> float:
        """Speed of sound, m/s (ISO 9613-1, 343.2 m/s at 20 degrees)."""
        return 343.2 * math.sqrt((self.temperature_c + 273.15) / 293.15)

    def absorption_db_m(self, frequency_hz: NDArray[np.float64]) -> NDArray[np.float64]:
        """Absorption of a pure tone, dB/m float64[n], at `frequency_hz` float64[n]; ISO 9613-1 equations (3) to (6)."""
        kelvin = self.temperature_c + 273.15
        warmth = kelvin / 293.15
        pressure = self.pressure_kpa / 101.325
        saturation = 10.0 ** (-6.8346 * (273.16 / kelvin) ** 1.261 + 4.6151)
        vapour = self.humidity_percent * saturation / pressure  # molar concentration, %
        oxygen_hz = pressure * (24.0 + 4.04e4 * vapour * (0.02 + vapour) / (0.391 + vapour))
        nitrogen_hz = (
            pressure / math.sqrt(warmth) * (9.0 + 280.0 * vapour * math.exp(-4.170 * (warmth ** (-1 / 3) - 1.0)))
        )
        squared = np.square(frequency_hz)
        oxygen = 0.01275 * math.exp(-2239.1 / kelvin) / (oxygen_hz + squared / oxygen_hz)
        nitrogen = 0.1068 * math.exp(-3352.0 / kelvin) / (nitrogen_hz + squared / nitrogen_hz)
        classical = 1.84e-11 / pressure * math.sqrt(warmth)
        return np.asarray(8.686 * squared * (classical + warmth**-2.5 * (oxygen + nitrogen)))


@dataclass(frozen=True, slots=True)
class DriveBy:
    """A drive-by: where the vehicle is at time 0, and how it passes the microphone."""

    start_m: float
    """Distance along the street from the vehicle at time 0 to the point nearest the microphone, m."""
    speed_kmh: float
    """Speed, km/h, 0 (standing) .. below that of sound."""
    pass_m: float
    """Distance from the microphone's pole to the vehicle's lane, m."""
    source_height_m: float = 2.0
    """Height of the siren, m."""
    mic_height_m: float = 5.0
    """Height of the microphone, m."""
    ground_reflection: float = 0.8
    """Pressure reflection of the road at low frequency, 0 (none) .. 1 (hard)."""
    ground_cutoff_hz: float = 4000.0
    """Where the road's reflection has lost 3 dB, Hz: asphalt is porous and rough."""

    @property
    def closest_s(self) -> float:
        """Time at which the vehicle is nearest, s; infinite for one that stands."""
        return self.start_m / (self.speed_kmh * KMH) if self.speed_kmh > 0.0 else math.inf

    def distance_m(self, seconds: NDArray[np.float64], *, mirrored: bool = False) -> NDArray[np.float64]:
        """Distance siren to microphone, m float64[n], at `seconds` float64[n]; `mirrored` by way of the road."""
        return np.sqrt((self.speed_kmh * KMH * seconds - self.start_m) ** 2 + self._offset_m(mirrored=mirrored) ** 2)

    def emission_s(self, seconds: NDArray[np.float64], air: Air, *, mirrored: bool = False) -> NDArray[np.float64]:
        """Solve when the sound heard at `seconds` float64[n] was emitted: s float64[n], exact.

        The earlier root of c² (t - e)² = (v e - start)² + offset².
        """
        speed_m_s, sound_m_s = self.speed_kmh * KMH, air.sound_m_s
        offset_m = self._offset_m(mirrored=mirrored)
        a = sound_m_s**2 - speed_m_s**2
        b = sound_m_s**2 * seconds - speed_m_s * self.start_m
        c = (sound_m_s * seconds) ** 2 - self.start_m**2 - offset_m**2
        return np.asarray((b - np.sqrt(b**2 - a * c)) / a)

    def source_samples(self, samples: int, rate_hz: int, air: Air | None = None) -> int:
        """Count the samples a source must have so that it still sounds in the last of `samples` received ones."""
        first_s, last_s = self.emission_s(np.array([0.0, samples / rate_hz]), air or Air())
        return math.ceil(float(last_s - first_s) * rate_hz) + 1

    def _offset_m(self, *, mirrored: bool) -> float:
        """Distance from the line of travel (or its mirror image under the road) to the microphone, m."""
        rise_m = self.mic_height_m + (self.source_height_m if mirrored else -self.source_height_m)
        return math.hypot(self.pass_m, rise_m)


@dataclass(frozen=True, slots=True)
class DelayLine:
    """A source, made ready to be read between its samples: half of a drive-by's work, once for all of its ways."""

    spline: NDArray[np.float64]
    """Coefficients float64[OVERSAMPLING m] of the quintic spline through the oversampled source."""

    @classmethod
    def of(cls, source: NDArray[np.float32]) -> Self:
        """Prepare a source float32[m]."""
        images = signal.firwin(64 * OVERSAMPLING + 1, 1.0 / OVERSAMPLING, window=("kaiser", 8.0))  # -80 dB
        wide = signal.resample_poly(np.asarray(source, np.float64), OVERSAMPLING, 1, window=images)
        return cls(ndimage.spline_filter1d(wide, order=5))

    @property
    def size(self) -> int:
        """Samples of the source, m."""
        return self.spline.size // OVERSAMPLING

    def read(self, at: NDArray[np.float64]) -> NDArray[np.float64]:
        """Read it between its samples: float64[n] at `at` float64[n], counted in those of the source."""
        where = (at * OVERSAMPLING)[np.newaxis]
        return np.asarray(ndimage.map_coordinates(self.spline, where, order=5, mode="constant", prefilter=False))


def drive_by(  # noqa: PLR0913 - the geometry is one argument already; the rest are independent switches
    source: NDArray[np.float32] | DelayLine,
    geometry: DriveBy,
    rate_hz: int,
    *,
    air: Air | None = None,
    absorbing: bool = True,
    samples: int | None = None,
    impulse_response: NDArray[np.float32] | None = None,
    since_s: float | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Drive a siren past the microphone: (received float32[n], distance_m float64[n]).

    Args:
        source: float32[m], the siren 1 m away. Its first sample is the one heard at time 0, emitted a little earlier:
            the siren is on already when the drive begins. Past its end there is silence (see `source_samples`).
            Where several ways are rendered, its `DelayLine` saves the work of making one for each.
        geometry: the drive.
        rate_hz: sample rate, Hz.
        air: weather; `Air()` when left out.
        absorbing: whether the air absorbs; off leaves pure 1/distance.
        samples: n, how many to receive; as many as the source has when left out.
        since_s: when the first sample of the source was emitted, s; when what is heard at time 0 was, if left out.
            Microphones that hear one siren share it, and so the exact delays between them.
        impulse_response: float32[k], the street's echo, convolved as it is: its direct sound should be 1.0 at sample 0.

    Returns:
        What the microphone receives, and where the vehicle truly is at each sample (not where it sounds to be).

    """
    air = air or Air()
    line = source if isinstance(source, DelayLine) else DelayLine.of(source)
    seconds = np.arange(line.size if samples is None else samples) / rate_hz
    emitted_s = geometry.emission_s(seconds, air)
    heard_m = air.sound_m_s * (seconds - emitted_s)
    begun_s = float(emitted_s[0]) if since_s is None else since_s
    received = line.read((emitted_s - begun_s) * rate_hz) / np.maximum(heard_m, NEAREST_M)
    if geometry.ground_reflection > 0.0:
        mirrored_s = geometry.emission_s(seconds, air, mirrored=True)
        mirrored_m = air.sound_m_s * (seconds - mirrored_s)
        echo = line.read((mirrored_s - begun_s) * rate_hz) / np.maximum(mirrored_m, NEAREST_M)
        lowpass = signal.butter(1, min(geometry.ground_cutoff_hz, 0.45 * rate_hz), fs=rate_hz)
        received += geometry.ground_reflection * signal.lfilter(*lowpass, echo)
    if absorbing:
        received = _absorb(received, heard_m, air, rate_hz)
    if impulse_response is not None:
        received = signal.oaconvolve(received, np.asarray(impulse_response, np.float64))[: seconds.size]
    return received.astype(np.float32), geometry.distance_m(seconds)


def _absorb(pcm: NDArray[np.float64], path_m: NDArray[np.float64], air: Air, rate_hz: int) -> NDArray[np.float64]:
    """Take from float64[n] what the air absorbs on its way of `path_m` float64[n], in overlapping short frames.

    The gain is smooth over frequency, so its impulse response is far shorter than a frame, and frames that overlap by
    three quarters fade it from one distance to the next.
    """
    hop = ABSORPTION_FRAME // 4
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(ABSORPTION_FRAME) / ABSORPTION_FRAME)
    frames = pcm.size // hop + 4
    padded = np.zeros((frames + 3) * hop)
    padded[ABSORPTION_FRAME - hop : ABSORPTION_FRAME - hop + pcm.size] = pcm
    spectrum = fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, ABSORPTION_FRAME)[::hop] * hann, axis=1)
    middle = np.arange(frames) * hop + ABSORPTION_FRAME // 2 - (ABSORPTION_FRAME - hop)
    loss_db_m = air.absorption_db_m(fft.rfftfreq(ABSORPTION_FRAME, 1.0 / rate_hz))
    spectrum *= np.exp((-np.log(10.0) / 20.0) * np.outer(np.interp(middle, np.arange(pcm.size), path_m), loss_db_m))
    faded = fft.irfft(spectrum, ABSORPTION_FRAME, axis=1) * (hann / 1.5)  # the four squared Hann windows add up to 1.5
    out = np.zeros((frames + 3, hop))
    for part in range(4):
        out[part : part + frames] += faded[:, part * hop : (part + 1) * hop]
    return out.ravel()[ABSORPTION_FRAME - hop : ABSORPTION_FRAME - hop + pcm.size]
