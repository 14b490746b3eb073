"""What lies between a sound and its recording: a street, wind, a microphone, a codec."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import soundfile
from scipy import signal

from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.simulate.levels import rms
from sirend.training.partials import chance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sirend.audio.stream import Pcm


def add_while_sounding(wanted: Pcm, background: Pcm, snr_db: float) -> Pcm:
    """Add ``wanted`` to ``background`` (float32[n]) so that its RMS while it sounds is ``snr_db`` higher."""
    sounding = np.abs(wanted) > 1e-3 * np.max(np.abs(wanted), initial=1e-9)
    power = float(np.mean(np.square(wanted[sounding]))) if sounding.any() else 0.0
    street = float(np.mean(np.square(background)))
    gain = np.sqrt(max(street, 1e-10) / max(power, 1e-12)) * 10.0 ** (snr_db / 20.0)
    return np.asarray(background + wanted * np.float32(gain), dtype=np.float32)


def down_a_street(rng: np.random.Generator, pcm: Pcm, impulses: Sequence[Pcm]) -> Pcm:
    """Send float32[n] down a street: distance dulls it, walls return it, as some of ``impulses`` or none does."""
    out = pcm
    if chance(rng, 0.5):
        cutoff = np.exp(rng.uniform(np.log(1200), np.log(7000)))
        out = signal.lfilter(*signal.butter(1, cutoff, fs=SAMPLE_RATE_HZ), out)
    if chance(rng, 0.4):
        out = signal.oaconvolve(out, _impulse(rng, impulses))[: len(pcm)]
    return np.asarray(out, dtype=np.float32)


def _impulse(rng: np.random.Generator, impulses: Sequence[Pcm]) -> Pcm:
    """Return a measured impulse response or, mostly, a random one: direct sound, some echoes, a decaying tail."""
    if impulses and chance(rng, 0.2):
        return impulses[int(rng.integers(len(impulses)))][: SAMPLE_RATE_HZ // 2]
    length = int(SAMPLE_RATE_HZ * rng.uniform(0.1, 0.6))
    decay = np.exp(-np.arange(length) / (length * rng.uniform(0.08, 0.3)))
    tail = rng.standard_normal(length) * decay * rng.uniform(0.0, 0.08)
    for _ in range(rng.integers(0, 5)):
        tail[rng.integers(16, length)] += rng.uniform(-0.6, 0.6)
    tail[0] = 1.0
    return tail.astype(np.float32)


def colour(rng: np.random.Generator, pcm: Pcm) -> Pcm:
    """Give it a microphone's colour: a high-pass corner and a resonance (Q of 1 up: wider ones would be unstable)."""
    corner = rng.uniform(50, 400)
    out = signal.lfilter(*signal.butter(1, corner, "high", fs=SAMPLE_RATE_HZ), pcm)
    peak = signal.lfilter(*signal.iirpeak(rng.uniform(300, 6000), rng.uniform(1.0, 3), fs=SAMPLE_RATE_HZ), out)
    return np.asarray(out + rng.uniform(-0.7, 1.5) * peak, dtype=np.float32)


def wind(rng: np.random.Generator, samples: int) -> Pcm:
    """Blow into the microphone: noise of RMS 1 that falls with frequency, in gusts."""
    corner = rng.uniform(20, 200)
    noise = signal.lfilter(*signal.butter(1, corner, fs=SAMPLE_RATE_HZ), rng.standard_normal(samples))
    gusts = np.exp(np.interp(np.arange(samples), np.linspace(0, samples, 9), rng.normal(0, 0.7, 9)))
    blown = noise * gusts
    return np.asarray(blown / (rms(blown) + 1e-9), dtype=np.float32)


def coded(rng: np.random.Generator, pcm: Pcm) -> Pcm:
    """Send float32[n] through a lossy codec at a random quality: what video sites and phones leave of it."""
    kind, subtype = (("MP3", "MPEG_LAYER_III"), ("OGG", "OPUS"), ("OGG", "VORBIS"))[rng.integers(3)]
    stream = io.BytesIO()
    soundfile.write(stream, pcm, SAMPLE_RATE_HZ, subtype, format=kind, compression_level=float(rng.uniform(0.3, 1.0)))
    stream.seek(0)
    heard, _ = soundfile.read(stream, dtype="float32")
    return np.asarray(np.clip(np.resize(heard, len(pcm)), -1.0, 1.0), dtype=np.float32)
