"""Claps around an array, made: a burst of 10 ms from a place, its echo off the road and a wall, in a street's noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.config.geometry import SOUND_M_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sirend.audio.stream import Pcm
    from sirend.config.geometry import Geometry

ABOVE_M = 2.5
"""Height of the array over the hands."""


def claps(  # noqa: PLR0913  what a walk is made of
    array: Geometry,
    bearings_deg: Sequence[float],
    *,
    heading_deg: float = 0.0,
    away_m: float = 6.0,
    every_s: float = 1.5,
    snr_db: float = 30.0,
    seed: int = 1,
) -> Pcm:
    """Return someone who walks round ``array`` and claps at the compass bearings: float32[n, microphones].

    The array's front looks to ``heading_deg``. Capsules differ by 1 dB and 5 degrees at most, as in the street.
    """
    rng = np.random.default_rng(seed)
    samples = round((1.5 + every_s * len(bearings_deg)) * SAMPLE_RATE_HZ)
    pcm = np.zeros((samples, len(array.places_m)))
    turns = np.exp(1j * np.deg2rad(rng.uniform(-5.0, 5.0, len(array.places_m))))
    gains = 10.0 ** (rng.uniform(-1.0, 1.0, len(array.places_m)) / 20.0)
    long = 2048
    hz = np.fft.rfftfreq(long, 1.0 / SAMPLE_RATE_HZ)
    shape = np.exp(-np.square(np.log(np.maximum(hz, 1.0) / 2000.0)) / 1.0)
    for number, deg in enumerate(bearings_deg):
        burst = rng.standard_normal(long) * np.exp(-np.arange(long) / (0.003 * SAMPLE_RATE_HZ))
        spectrum = np.fft.rfft(burst) * shape
        start = round((1.0 + every_s * number) * SAMPLE_RATE_HZ)
        turn = math.radians(deg - heading_deg)
        x, y = away_m * math.sin(turn), away_m * math.cos(turn)
        for column, (px, py) in enumerate(array.places_m):
            for along, height, share in (
                ((x, y), ABOVE_M, 1.0),
                ((x, y), ABOVE_M + 2.6, 0.6),
                ((x, 2 * 9.0 - y), ABOVE_M, 0.4),
            ):
                far_m = math.hypot(along[0] - px, along[1] - py, height)
                late_s = (far_m - away_m) / SOUND_M_S
                heard = np.fft.irfft(spectrum * turns[column] * np.exp(-2j * np.pi * hz * late_s), long)
                pcm[start : start + long, column] += share * gains[column] * away_m / far_m * heard
    peak = np.abs(pcm).max()
    noise = np.cumsum(rng.standard_normal((samples, 1)), axis=0)
    noise = np.diff(0.98 * noise, axis=0, prepend=0.0) + 0.3 * rng.standard_normal(pcm.shape)
    pcm = 0.3 * pcm / peak
    return np.asarray(pcm + 0.3 * 10.0 ** (-snr_db / 20.0) / 3.0 * noise, np.float32)
