"""Other makes of a siren, and sirens that no table knows, drawn at random."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np

from sirend.simulate.siren_sound import Curve, Segment, SirenSound, Sweep, steps, sweep
from sirend.simulate.sirens import ELECTRONIC, PNEUMATIC, SOFT, TONES


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw between two positive bounds, evenly in the logarithm."""
    return float(low * (high / low) ** rng.random())


def vary(tone: SirenSound, rng: np.random.Generator) -> SirenSound:
    """Draw a plausible other make of the same siren.

    All pitches move together by up to 5 % (the widest legal tolerance, Italy's) and the outer two apart by 2 %; the
    rate falls anywhere in its band; sweep shape, glides, gaps, harmonics, distortion, horn and breath change freely.
    """
    pitch, width, place = rng.uniform(0.95, 1.05), rng.uniform(0.98, 1.02), rng.random()
    stretch = np.exp(rng.uniform(-0.4, 0.4, 8))
    curve: Curve = get_args(Curve)[rng.integers(len(get_args(Curve)))]
    glide_s = 0.15 * rng.random() if rng.random() < 0.4 else 0.0  # noqa: PLR2004
    gap_s = 0.15 * rng.random() if rng.random() < 0.2 else 0.0  # noqa: PLR2004

    def moved(motion: Sweep) -> Sweep:
        """Apply the one draw to a motion, so that all layers stay together."""
        ends = [hz for segment in motion.segments for hz in (segment.from_hz, segment.to_hz)]
        middle = np.sqrt(min(ends) * max(ends))
        out: list[Segment] = []
        for index, segment in enumerate(motion.segments):
            start, end = (float(hz * pitch * width ** np.sign(hz - middle)) for hz in (segment.from_hz, segment.to_hz))
            gliding = segment.from_hz != segment.to_hz
            seconds = segment.seconds * stretch[index % 8] ** (1.0 if gliding else 0.1)
            before = motion.segments[index - 1]
            if gliding or before.gain == 0.0 or segment.gain == 0.0 or len(motion.segments) == 1:
                out.append(Segment(seconds, start, end, curve if gliding else "linear", segment.gain))
                continue
            # A step of a two-tone: it may slide in from the pitch before it, and may end with a short gap.
            slide, gap = min(glide_s, 0.3 * seconds), min(gap_s, 0.2 * seconds)
            before_hz = float(before.to_hz * pitch * width ** np.sign(before.to_hz - middle))
            parts = (Segment(slide, before_hz, start), Segment(seconds - slide - gap, start, end))
            out += [part for part in (*parts, Segment(gap, end, end, gain=0.0)) if part.seconds > 0.0]
        slowest, fastest = motion.band_cpm
        scale = 60.0 / (slowest * (fastest / slowest) ** place) / sum(segment.seconds for segment in out)
        return Sweep(tuple(replace(segment, seconds=segment.seconds * scale) for segment in out), motion.band_cpm)

    voice = replace(
        tone.voice,
        even=float(np.clip(tone.voice.even + rng.uniform(-0.4, 0.6), 0.0, 1.0)),
        rolloff=tone.voice.rolloff * between(rng, 0.7, 2.2),
        third=between(rng, 0.5, 2.5),
        drive=between(rng, 0.3, 6.0),
        band_hz=(tone.voice.band_hz[0] * between(rng, 0.5, 1.3), between(rng, 2000.0, 7000.0)),
        peaks=tuple((between(rng, 400.0, 5000.0), rng.uniform(-9.0, 9.0)) for _ in range(rng.integers(0, 4))),
        breath=tone.voice.breath * between(rng, 0.3, 3.0) + 0.02 * rng.random(),
        drift=tone.voice.drift * between(rng, 0.3, 4.0),
    )
    layers = tuple((moved(motion), gain * between(rng, 0.5, 1.5)) for motion, gain in tone.layers)
    return replace(tone, motion=moved(tone.motion), voice=voice, layers=layers)


def random_tone(rng: np.random.Generator, *, free: float = 0.2) -> SirenSound:
    """Draw a varied siren: each of the table alike, or with probability `free` (0..1) one that no table here knows.

    A detector is judged on sirens nobody listed; the free ones (profile `any`) keep it from learning it by heart.
    """
    every = tuple(TONES.values())
    if rng.random() >= free:
        return vary(every[rng.integers(len(every))], rng)
    voice = (ELECTRONIC, PNEUMATIC, SOFT)[rng.integers(3)]
    if rng.integers(2):
        low_hz, cpm = between(rng, 280.0, 1100.0), between(rng, 7.0, 400.0)  # §1021: beyond 400 it is no siren
        high_hz = min(low_hz * between(rng, 1.25, 3.5), 3000.0)
        return vary(SirenSound("any", "sweep", sweep((low_hz, high_hz), (cpm, cpm), cpm), voice), rng)
    pitches_hz = [between(rng, 340.0, 1100.0)]
    pitches_hz += [pitches_hz[0] * between(rng, 1.1, 1.9) for _ in range(rng.choice((1, 1, 1, 2)))]
    step_s = between(rng, 0.2, 1.6)
    cpm = 60.0 / step_s / len(pitches_hz)
    return vary(SirenSound("any", "steps", steps(tuple(pitches_hz), (cpm, cpm), step_s), voice), rng)
