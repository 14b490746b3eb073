"""What a street sounds like without the siren: a recording, or one that is made up."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import soundfile
from scipy import fft, signal

from sirend.errors import InputError
from sirend.simulate.levels import RATE_HZ, SILENT, in_band, rms

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

CROSSFADE_S = 0.5


def background(recording: Path | None, samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a background, float32[samples]: a recording from its beginning, or a synthetic street.

    Raises:
        InputError: The recording cannot be read, is empty or silent.

    """
    if recording is None:
        return synthetic_street(samples, rng)
    return _looped(_read(recording, samples), samples)


def synthetic_street(samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Make up a street: float32[samples] of traffic rumble, passing cars with tyre hiss, and a thud now and then.

    RMS is 1. Spectra and rates are chosen by ear and eye, not measured; a real `background` is the better test.
    """
    seconds = np.arange(samples) / RATE_HZ
    length_s = samples / RATE_HZ
    knots_s = np.arange(0.0, length_s + 8.0, 4.0)
    swell = 10.0 ** (np.interp(seconds, knots_s, 3.0 * rng.standard_normal(knots_s.size)) / 20.0)
    # Cars pass every seven seconds or so; incoherent sources add in power.
    cars = np.zeros(samples)
    for _ in range(rng.poisson(length_s / 7.0)):
        lane_m, speed_m_s = rng.uniform(5.0, 15.0), rng.uniform(7.0, 16.0)
        along_m = (seconds - rng.uniform(0.0, length_s)) * speed_m_s
        cars += (8.0 * 10.0 ** (3.0 * rng.standard_normal() / 20.0)) ** 2 / (lane_m**2 + along_m**2)
    rumble = swell * noise(samples, rng, lambda hz: hz / (30.0 + hz) / (1.0 + (hz / 90.0) ** 1.1))
    tyres = noise(samples, rng, lambda hz: (hz / 800.0) / (1.0 + (hz / 900.0) ** 2.4))
    haze = noise(samples, rng, lambda hz: 1.0 / (1.0 + hz / 1000.0))
    street = rumble * (1.0 + np.sqrt(cars)) + 0.5 * np.sqrt(cars) * tyres + 0.04 * haze
    for _ in range(rng.poisson(length_s / 20.0)):
        # A wheel over a manhole cover: the body booms, the lid clacks.
        since = seconds - rng.uniform(0.0, length_s)
        struck = np.flatnonzero((since >= 0.0) & (since < 0.5))  # noqa: PLR2004 - long after it has died away
        boom = np.sin(2 * np.pi * rng.uniform(50.0, 110.0) * since[struck]) * np.exp(-since[struck] / 0.08)
        clack = rng.standard_normal(struck.size) * np.exp(-since[struck] / 0.012)
        street[struck] += rng.uniform(2.0, 5.0) * boom + clack
    return np.asarray(street / rms(street), np.float32)


def noise(
    samples: int, rng: np.random.Generator, gain: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Make noise float64[samples] of RMS 1 with the amplitude spectrum `gain` of Hz."""
    length = fft.next_fast_len(samples + 1, real=True)
    hz = fft.rfftfreq(length, 1.0 / RATE_HZ)
    white = rng.standard_normal(hz.size) + 1j * rng.standard_normal(hz.size)
    noise = fft.irfft(gain(hz) * white, length)[:samples]
    return np.asarray(noise / rms(noise))


def _read(path: Path, samples: int) -> NDArray[np.float32]:
    """Read the beginning of a sound file, mixed down, at `RATE_HZ`: float32[n], at most `samples`."""
    try:
        with path.open("rb") as stream, soundfile.SoundFile(stream) as file:
            rate_hz = file.samplerate
            pcm = file.read(math.ceil(samples * rate_hz / RATE_HZ), dtype="float32", always_2d=True).mean(axis=1)
    except OSError as error:
        raise InputError(f"cannot read the background '{path}': {error.strerror}") from error
    except soundfile.SoundFileError as error:
        raise InputError(f"the background '{path}' is not a sound file that libsndfile reads: {error}") from error
    if not pcm.size:
        raise InputError(f"the background '{path}' is empty")
    if not np.isfinite(pcm).all():
        raise InputError(f"the background '{path}' has samples that are not numbers")
    common = math.gcd(rate_hz, RATE_HZ)
    pcm = signal.resample_poly(pcm, RATE_HZ // common, rate_hz // common)[:samples]
    if rms(in_band(pcm)) < SILENT:
        raise InputError(f"the background '{path}' is silent: an SNR over it means nothing")
    return np.asarray(pcm, np.float32)


def _looped(pcm: NDArray[np.float32], samples: int) -> NDArray[np.float32]:
    """Repeat float32[m] until it is float32[samples], its end faded into its beginning at equal power."""
    if pcm.size >= samples:
        return pcm[:samples]
    fade = min(round(CROSSFADE_S * RATE_HZ), pcm.size // 2)
    angle = np.linspace(0.0, np.pi / 2, fade, dtype=np.float32)
    turn = pcm[:fade] * np.sin(angle) + pcm[pcm.size - fade :] * np.cos(angle)
    loop = np.concatenate((pcm[fade : pcm.size - fade], turn))
    return np.concatenate((pcm[:fade], np.resize(loop, samples - fade)))
