"""Harmonics on a moving pitch: what every tonal sound of the training is made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from sirend.audio.stream import SAMPLE_RATE_HZ

Wave = Any
"""float64[n]; numpy's own types say no more of arithmetic on arrays."""
_TOP_HZ = 7000.0


def harmonics(rng: np.random.Generator, hz: Wave, partials: int | None = None) -> Wave:
    """Sound harmonics of random strength on the pitch ``hz`` float64[n], Hz over 0; none above 7 kHz."""
    first = np.exp(2j * np.pi * np.mod(np.cumsum(hz) / SAMPLE_RATE_HZ, 1.0)).astype(np.complex64)
    roll, lowest, highest = rng.uniform(0.3, 2.5), float(np.min(hz)), float(np.max(hz))
    out, turning = np.zeros(len(first), np.float32), first.copy()
    for number in range(1, (partials or int(rng.integers(1, 10))) + 1):
        amplitude = number**-roll * rng.uniform(0.3, 1.0) * np.exp(2j * np.pi * rng.random())
        if number * lowest >= _TOP_HZ:
            break
        heard = (np.complex64(amplitude) * turning).imag
        out += heard if number * highest < _TOP_HZ else heard * (number * hz < _TOP_HZ)
        turning *= first
    return out.astype(np.float64)


def keyed(seconds: Wave, period_s: float, duty: float, place: float, edge: int = 80) -> Wave:
    """Return an envelope 0..1 that is on for ``duty`` of each period, with edges of ``edge`` samples."""
    on = ((seconds + place * period_s) % period_s) < duty * period_s
    return np.convolve(on.astype(float), np.ones(edge) / edge, mode="same")


def soft(on: Wave, edge: int) -> Wave:
    """Return the envelope ``on`` with edges of ``edge`` samples, 0..1."""
    return np.convolve(np.clip(on, 0.0, 1.0), np.ones(edge) / edge, mode="same")


def chance(rng: np.random.Generator, probability: float) -> bool:
    """Draw whether something happens that has the given probability, 0..1."""
    return bool(rng.random() < probability)
