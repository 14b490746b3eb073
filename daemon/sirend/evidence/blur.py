"""Sound in which nobody can be understood: what changes fast is averaged away, and phases are drawn anew.

A wail, a two-tone, an engine, a horn stay what they are to a detector, roughly; the beat of a yelp is lost with speech.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sirend.audio.stream import Pcm

FRAME = 512
"""Samples: 32 ms, 31 Hz a bin."""
STEP = 256
SMEAR = 16
"""Frames averaged: 0.256 s holds modulations up to 2 Hz only; speech smeared to that is lost (Drullman, Festen and
Plomp, Effect of temporal envelope smearing on speech reception, JASA 95, 1994)."""


def blurred(pcm: Pcm, seed: int) -> Pcm:
    """Return float32[n] in [-1, 1] with level and slow spectrum of ``pcm``, float32[n]; ``seed`` draws phases."""
    window = np.sqrt(np.hanning(FRAME + 1)[:-1]).astype(np.float32)
    padded = np.concatenate((np.zeros(FRAME, dtype=np.float32), pcm, np.zeros(2 * FRAME, dtype=np.float32)))
    count = (len(padded) - FRAME) // STEP
    places = STEP * np.arange(count)[:, np.newaxis] + np.arange(FRAME)
    power = np.square(np.abs(np.fft.rfft(padded[places] * window, axis=1)))
    total = np.cumsum(np.vstack((np.zeros((1, power.shape[1])), power)), axis=0)
    first = np.maximum(0, np.arange(count) - SMEAR // 2)
    last = np.minimum(count, first + SMEAR)
    # A frame of random phases holds its power evenly, so that the window takes half of it away a second time.
    smeared = np.sqrt(2.0 * (total[last] - total[first]) / (last - first)[:, np.newaxis])
    phases = np.random.default_rng(seed).uniform(0.0, 2.0 * np.pi, smeared.shape)
    frames = np.fft.irfft(smeared * np.exp(1j * phases), FRAME, axis=1) * window
    made = np.zeros(len(padded))
    for index, frame in enumerate(frames):
        made[STEP * index : STEP * index + FRAME] += frame
    return np.clip(made[FRAME : FRAME + len(pcm)], -1.0, 1.0).astype(np.float32)
