"""Wind at a microphone: the turbulence about its windscreen, which is low noise that comes in gusts.

The spectrum is M. Strasberg's, "Dimensional analysis of windscreen noise" (J. Acoust. Soc. Am. 83, 1988, 544): pressure
in third octaves over rho V^2 is -81 dB - 23 log10(f D / V), whatever the speed V and the screen's diameter D. Gusts
have the spectrum of wind near the ground by Kaimal and others (1972). What wind does to the way of sound, bending it up
or down, is not simulated: `in_sight_m` weakens a siren by far more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import signal

from sirend.simulate.background import noise
from sirend.simulate.levels import RATE_HZ, rms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sirend.simulate.scene import Scene

AIR_KG_M3 = 1.2
AT_ONE_DB, PER_DECADE_DB = -81.0, -23.0
"""Strasberg's line, at f D / V = 1 and for each decade above."""
THIRD_OCTAVE = 2.0 ** (1 / 6) - 2.0 ** (-1 / 6)
"""Width of a third octave over its middle."""
LARGEST = 0.05
"""f D / V under which eddies are larger than any that the line was drawn for: it goes on level there."""
MICROPHONE_HZ = 20.0
"""Where a microphone made for speech has lost 3 dB (assumed)."""
HEIGHT_M = 5.0
"""Height of the microphone."""
INTENSITY = 0.25
"""Standard deviation of the wind over its mean: a street between houses (assumed)."""
GUST_HZ = 1.0
"""Faster changes are part of the noise itself."""
LEAST, POWER = 0.2, 2.0 - PER_DECADE_DB / 20.0
"""A lull keeps so much of the mean speed; pressure at one frequency grows with this power of the speed."""
_STREAM = 0x77
"""Wind is drawn from a stream of its own: a scene in the wind has the siren and the street of one without."""


def turbulence(scene: Scene, samples: int, microphone: int = 0) -> NDArray[np.float32]:
    """Return the noise of the wind at a microphone, float32[samples], Pa; other microphones hear another one."""
    if not scene.wind_m_s:
        return np.zeros(samples, np.float32)
    rng = np.random.default_rng((scene.seed, _STREAM, microphone))
    steady = noise(samples, rng, lambda hz: spectrum_pa(scene.wind_m_s, scene.windscreen_m, hz))
    # `noise` has an RMS of 1: its power over all of the spectrum says how loud that is.
    hz = np.linspace(0.0, RATE_HZ / 2.0, 1 + max(RATE_HZ, samples))[1:]
    steady *= np.sqrt(np.mean(spectrum_pa(scene.wind_m_s, scene.windscreen_m, hz) ** 2) * RATE_HZ / 2.0)
    low, high = signal.butter(1, MICROPHONE_HZ, "highpass", fs=RATE_HZ)
    return np.asarray(signal.lfilter(low, high, steady * _gusts(scene.wind_m_s, samples, rng)), np.float32)


def spectrum_pa(wind_m_s: float, windscreen_m: float, hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the square root of the spectral density at ``hz`` float64[n], Pa per root Hz: float64[n]."""
    reduced = np.maximum(hz * windscreen_m / wind_m_s, LARGEST)
    third_db = AT_ONE_DB + PER_DECADE_DB * np.log10(reduced)
    middle_hz = reduced * wind_m_s / windscreen_m
    return np.asarray(AIR_KG_M3 * wind_m_s**2 * 10.0 ** (third_db / 20.0) / np.sqrt(THIRD_OCTAVE * middle_hz))


def _gusts(wind_m_s: float, samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how the noise swells and falls with the speed of the wind, float64[samples], RMS 1."""
    slow = np.arange(2 + int(4 * GUST_HZ * samples / RATE_HZ)) / (4 * GUST_HZ)

    def kaimal(hz: NDArray[np.float64]) -> NDArray[np.float64]:
        hz = hz * 4 * GUST_HZ / RATE_HZ  # `noise` counts in sound's samples, these are four a second
        amplitude = np.sqrt(1.0 / (1.0 + 33.0 * hz * HEIGHT_M / wind_m_s) ** (5.0 / 3.0))
        return np.where((hz > 0.0) & (hz <= GUST_HZ), amplitude, 0.0)

    changes = noise(max(slow.size, 256), rng, kaimal)[: slow.size]
    speed = np.maximum(1.0 + INTENSITY * changes, LEAST)
    swell = np.interp(np.arange(samples) / RATE_HZ, slow, speed) ** POWER
    return np.asarray(swell / rms(swell))
