"""How loud simulated sounds are, within the band where sirens are: traffic rumble below would only spoil a figure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import signal

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE_HZ = 16_000
SNR_BAND_HZ = (300.0, 4000.0)
SHORT_S = 1.0  # window of every short-term level here
TRUTH_HZ = 10  # rate of the arrays in the truth
FLOOR_DB = -120.0
SILENT = 1e-6  # amplitude under which a recording holds nothing: -120 dBFS


def mix_at_snr(
    siren: NDArray[np.float32], background: NDArray[np.float32], snr_db: float, *, over: slice = slice(None)
) -> tuple[NDArray[np.float32], float]:
    """Add a siren float32[n] to a background float32[n], both at `RATE_HZ`: (mixture float32[n], gain of the siren).

    `snr_db` is the siren's RMS within `over` over that of the whole background, both in `SNR_BAND_HZ`. The background
    stays as loud as it is; the mixture may exceed 1. Raises ValueError when the siren or the background is silent.
    """
    siren_rms, background_rms = rms(in_band(siren)[over]), rms(in_band(background))
    if min(siren_rms, background_rms) < SILENT:
        raise ValueError("an SNR needs a siren and a background that are not silent")
    gain = 10.0 ** (snr_db / 20.0) * background_rms / siren_rms
    return np.asarray(background + np.float32(gain) * siren, np.float32), gain


def in_band(pcm: NDArray[np.float32]) -> NDArray[np.float64]:
    """Filter float32[n] to `SNR_BAND_HZ`: float64[n]."""
    sections = signal.butter(4, SNR_BAND_HZ, "bandpass", fs=RATE_HZ, output="sos")
    return np.asarray(signal.sosfilt(sections, np.asarray(pcm, np.float64)))


def short_db(pcm: NDArray[np.float32]) -> NDArray[np.float64]:
    """Level within `SNR_BAND_HZ` of the `SHORT_S` around each point, dB float64[k], `TRUTH_HZ` points a second."""
    energy = np.concatenate(([0.0], np.cumsum(np.square(in_band(pcm)))))
    middle = np.arange(0, pcm.size, RATE_HZ // TRUTH_HZ)
    half = round(SHORT_S / 2 * RATE_HZ)
    begin, end = np.maximum(middle - half, 0), np.minimum(middle + half, pcm.size)
    return np.asarray(10.0 * np.log10((energy[end] - energy[begin]) / (end - begin) + SILENT**2))


def rms(pcm: NDArray[np.float32] | NDArray[np.float64]) -> float:
    """RMS of any array."""
    return float(np.sqrt(np.mean(np.square(pcm, dtype=np.float64))))


def db(amplitude: float) -> float:
    """Amplitude in dB."""
    return 20.0 * math.log10(amplitude)
