"""A siren made into sound: harmonics one by one, the amplifier's distortion, the horn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import signal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sirend.simulate.siren_sound import SirenSound, Voice

MAX_HARMONICS = 40


def synthesise(
    tone: SirenSound, samples: int, rate_hz: int, rng: np.random.Generator, *, start_s: float = 0.0
) -> NDArray[np.float32]:
    """Sound a siren as float32[samples] (at least 1) with peak 1.0, dry, at the horn's mouth; phase-continuous.

    Harmonics are added one by one and fade out below half the sample rate, so nothing aliases. The amplifier's
    distortion has no memory: applied to one period it only changes the harmonics, and needs no oversampling.
    `start_s` is where in the cycle the sound begins.
    """
    seconds = start_s + np.arange(samples) / rate_hz
    knots = np.arange(start_s, start_s + samples / rate_hz + 1.0, 0.5)
    wander = 1.0 + tone.voice.drift * np.interp(seconds, knots, rng.standard_normal(knots.size))
    harmonics = _harmonics(tone.voice)
    pcm, sounding = np.zeros(samples, np.float32), np.zeros(samples, np.float32)
    for motion, gain in ((tone.motion, 1.0), *tone.layers):
        hz = motion.hz(seconds) * wander
        top_hz = max(max(segment.from_hz, segment.to_hz) for segment in motion.segments)
        envelope = (gain * motion.level(seconds) * (hz / top_hz) ** tone.voice.softening).astype(np.float32)
        pcm += envelope * _additive(hz, harmonics, rate_hz)
        np.maximum(sounding, envelope, out=sounding)
    if tone.voice.breath > 0.0:  # the tone's RMS is 1 by construction
        pcm += tone.voice.breath * sounding * rng.standard_normal(samples, np.float32)
    coloured = _horn(pcm, tone.voice, rate_hz)
    return np.asarray(coloured / max(float(np.max(np.abs(coloured))), 1e-9), np.float32)


def synthesise_cut(tone: SirenSound, samples: int, rate_hz: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Sound a siren as ``synthesise`` does, from anywhere in its cycle on."""
    return synthesise(tone, samples, rate_hz, rng, start_s=rng.uniform(0.0, tone.motion.cycle_s))


def _harmonics(voice: Voice) -> NDArray[np.complex64]:
    """Complex amplitudes complex64[MAX_HARMONICS] of the voice's distorted wave of RMS 1, harmonic 1 first."""
    k = np.arange(1, MAX_HARMONICS + 1)
    gain = k**-voice.rolloff * np.where(k % 2, 1.0, voice.even) * np.where(k == 3, voice.third, 1.0)  # noqa: PLR2004
    wave = gain @ np.sin(np.outer(k, 2 * np.pi * np.arange(2048) / 2048))
    spectrum = np.fft.rfft(np.tanh(voice.drive * wave / np.max(np.abs(wave))))[1 : MAX_HARMONICS + 1]
    return np.asarray(np.sqrt(2.0) * spectrum / np.linalg.norm(spectrum), np.complex64)


def _additive(hz: NDArray[np.float64], harmonics: NDArray[np.complex64], rate_hz: int) -> NDArray[np.float32]:
    """Sum the harmonics of the pitch `hz` float64[n] into float32[n]; each is gone before half the rate."""
    out = np.zeros(hz.size, np.float32)
    first = np.exp(2j * np.pi * np.mod(np.cumsum(hz) / rate_hz, 1.0)).astype(np.complex64)
    of_nyquist = (hz * (2.0 / rate_hz)).astype(np.float32)
    turning = first.copy()
    for k, amplitude in enumerate(harmonics, start=1):
        if k * of_nyquist.min() >= 1.0:
            break
        out += np.clip((1.0 - k * of_nyquist) * 10.0, 0.0, 1.0) * (amplitude * turning).real
        turning *= first
    return out


def _horn(pcm: NDArray[np.float32], voice: Voice, rate_hz: int) -> NDArray[np.float64]:
    """Send float32[n] through the horn: its pass band, then its resonances."""
    low, high = voice.band_hz
    sections = signal.butter(2, (low, min(high, 0.45 * rate_hz)), "bandpass", fs=rate_hz, output="sos")
    out = signal.sosfilt(sections, pcm.astype(np.float64))
    for centre_hz, gain_db in voice.peaks:
        resonance = signal.iirpeak(min(centre_hz, 0.45 * rate_hz), 3.0, fs=rate_hz)
        out += (10.0 ** (gain_db / 20.0) - 1.0) * signal.lfilter(*resonance, out)
    return np.asarray(out)
