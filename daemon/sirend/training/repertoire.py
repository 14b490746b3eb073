"""Sirens as a street hears them, drawn at random: one tone or a programme of several, from one vehicle or two."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.simulate import siren_sound, sirens, synthesis, variation
from sirend.simulate.siren_sound import Curve, Segment, SirenSound, Sweep, Voice
from sirend.simulate.variation import between
from sirend.training.partials import chance

if TYPE_CHECKING:
    from collections.abc import Callable

    from sirend.audio.stream import Pcm


KINDS = {
    "table": 0.30, "free": 0.08, "pulsed": 0.14, "two-tone": 0.20, "phaser": 0.05, "rumbler": 0.05, "hooter": 0.06,
    "sweep": 0.12,
}  # fmt: skip
"""What one tone is, and how often."""
CURVES: tuple[Curve, ...] = ("linear", "log", "sine", "rc")
_RATES_CPM = {"phaser": ((500.0, 1600.0),), "sweep": ((7.0, 40.0), (120.0, 400.0))}
SINE = Voice(even=0.0, rolloff=4.0, third=0.3, drive=0.2, band_hz=(200.0, 7000.0))
SQUARE = Voice(even=0.0, rolloff=1.0, third=1.0, drive=4.0, band_hz=(250.0, 7000.0))
BRASS = Voice(even=1.0, rolloff=0.8, third=1.2, drive=0.6, band_hz=(250.0, 7000.0), breath=0.02, drift=0.002)
VOICES = (SINE, SQUARE, BRASS, sirens.ELECTRONIC, sirens.PNEUMATIC, sirens.SOFT, sirens.ROTOR)


def voice(rng: np.random.Generator) -> Voice:
    """Draw a timbre, from a sine to brass to a square wave and all that table sirens have."""
    base = VOICES[rng.integers(len(VOICES))]
    return replace(
        base,
        even=float(np.clip(base.even + rng.uniform(-0.2, 0.3), 0.0, 1.0)),
        rolloff=base.rolloff * between(rng, 0.7, 1.5),
        third=base.third * between(rng, 0.6, 1.6),
        drive=base.drive * between(rng, 0.5, 2.5),
        band_hz=(base.band_hz[0] * between(rng, 0.5, 1.4), base.band_hz[1] * between(rng, 0.5, 1.1)),
        peaks=tuple((between(rng, 400.0, 5000.0), rng.uniform(-9.0, 9.0)) for _ in range(rng.integers(0, 3))),
        breath=base.breath * between(rng, 0.3, 3.0) + 0.02 * rng.random() * (chance(rng, 0.5)),
        drift=base.drift * between(rng, 0.3, 3.0),
    )


def pulsed(rng: np.random.Generator, sound: Voice) -> SirenSound:
    """Two to five short notes and a pause, as some services sound: pitches a third to an octave apart."""
    count = int(rng.integers(2, 6))
    base = between(rng, 330.0, 1100.0)
    ratio = float(rng.choice([1.2, 1.26, 1.335, 1.335, 1.5, 1.68, 2.0]))
    high = rng.permutation(count) % 2 if chance(rng, 0.3) else np.arange(count) % 2
    pitches = base * np.where(high == rng.integers(2), ratio, 1.0)
    note_s, gap_s, pause_s = between(rng, 0.1, 0.4), rng.uniform(0.0, 0.08), between(rng, 0.25, 1.7)
    segments = []
    for pitch in pitches:
        segments.append(Segment(note_s, float(pitch), float(pitch)))
        if gap_s > siren_sound.EDGE_S:
            segments.append(Segment(gap_s, float(pitch), float(pitch), gain=0.0))
    segments.append(Segment(pause_s, base, base, gain=0.0))
    return SirenSound("any", "pulsed", Sweep(tuple(segments), (1.0, 400.0)), sound)


def two_tone(rng: np.random.Generator, sound: Voice) -> SirenSound:
    """Two fixed pitches in turn; with gaps, glides, or one longer than the other."""
    low = between(rng, 330.0, 1000.0)
    ratio = float(rng.choice([1.122, 1.19, 1.26, 1.335, 1.335, 1.335, 1.414, 1.5, 1.68]) * rng.uniform(0.97, 1.03))
    high, step_s = low * ratio, between(rng, 0.25, 1.7)
    uneven = between(rng, 0.6, 1.7) if chance(rng, 0.3) else 1.0
    gap_s = rng.uniform(0.05, 0.35) * (chance(rng, 0.35))
    slide_s = rng.uniform(0.03, 0.3) * step_s * (chance(rng, 0.35))
    segments = []
    for before, pitch, length in ((high, low, step_s), (low, high, step_s * uneven)):
        if slide_s:
            segments.append(Segment(slide_s, before, pitch, "log"))
        segments.append(Segment(length, pitch, pitch))
        if gap_s:
            segments.append(Segment(gap_s, pitch, pitch, gain=0.0))
    return SirenSound("any", "two-tone", Sweep(tuple(segments), (1.0, 400.0)), sound)


def draw_sweep(rng: np.random.Generator, sound: Voice, cpm: tuple[float, float], name: str) -> SirenSound:
    """Move a pitch up and down at a rate within ``cpm``, of any shape."""
    low = between(rng, 300.0, 1000.0)
    high = min(low * between(rng, 1.4, 3.2), 2600.0)
    period_s, rise = 60.0 / between(rng, *cpm), rng.uniform(0.15, 0.85)
    curve = CURVES[rng.integers(4)]
    segments = [Segment(period_s * rise, low, high, curve), Segment(period_s * (1.0 - rise), high, low, curve)]
    if chance(rng, 0.25):  # holds its highest pitch
        segments.insert(1, Segment(period_s * rng.uniform(0.1, 0.6), high, high))
    if chance(rng, 0.15):  # falls at once and starts again
        segments = [segments[0], Segment(0.03, high, low)]
    return SirenSound("any", name, Sweep(tuple(segments), (1.0, 2000.0)), sound)


def hooter(rng: np.random.Generator, sound: Voice) -> SirenSound:
    """Sound the mixes of India and Latin America: quick sweeps, chirps and steps within one cycle."""
    segments: list[Segment] = []
    low = between(rng, 350.0, 900.0)
    for _ in range(rng.integers(2, 5)):
        start, end = low * between(rng, 1.0, 2.4), low * between(rng, 1.0, 2.4)
        repeats, seconds = int(rng.integers(1, 7)), between(rng, 0.08, 0.8)
        pause_s = rng.uniform(0.02, 0.2) if chance(rng, 0.3) else 0.0
        sounding = Segment(seconds, start, end, CURVES[rng.integers(3)])
        silent = [Segment(pause_s, end, end, gain=0.0)] if pause_s else []
        segments += [sounding, *silent] * repeats
    return SirenSound("any", "hooter", Sweep(tuple(segments), (1.0, 400.0)), sound)


def draw_tone(rng: np.random.Generator, sound: Voice) -> SirenSound:
    """Draw one tone, mostly in the given voice."""
    kind = str(rng.choice(list(KINDS), p=np.array(list(KINDS.values())) / sum(KINDS.values())))
    if kind in ("table", "free"):
        drawn = variation.random_tone(rng, free=float(kind == "free"))
        while drawn.siren == sirens.HORN:
            drawn = variation.random_tone(rng, free=float(kind == "free"))
        return drawn if chance(rng, 0.7) else replace(drawn, voice=sound)
    if kind in _RATES_CPM:
        rates = _RATES_CPM[kind]
        return draw_sweep(rng, sound, rates[rng.integers(len(rates))], kind)
    made: dict[str, Callable[[np.random.Generator, Voice], SirenSound]] = {
        "pulsed": pulsed, "two-tone": two_tone, "hooter": hooter, "rumbler": rumbler,
    }  # fmt: skip
    return made[kind](rng, sound)


def rumbler(rng: np.random.Generator, sound: Voice) -> SirenSound:
    """Wail or yelp with an undertone one or two octaves below it, through a box that lets the bass through."""
    upper = draw_sweep(rng, sound, ((10.0, 30.0), (150.0, 250.0))[rng.integers(2)], "rumbler")
    ratio = between(rng, 2.0, 4.2)
    under = tuple(replace(s, from_hz=s.from_hz / ratio, to_hz=s.to_hz / ratio) for s in upper.motion.segments)
    layers = ((replace(upper.motion, segments=under), between(rng, 0.4, 1.4)),)
    return replace(upper, voice=replace(sound, band_hz=(130.0, sound.band_hz[1])), layers=layers)


def draw_siren(rng: np.random.Generator, samples: int) -> tuple[Pcm, str]:
    """Return float32[samples] of peak 1, dry, and what it is."""
    first, name = programme(rng, samples)
    if chance(rng, 0.12):  # a second vehicle
        other, also = programme(rng, samples)
        first, name = first + other * np.float32(between(rng, 0.2, 1.0)), f"{name} & {also}"
    return np.asarray(first / max(1e-9, float(np.max(np.abs(first)))), dtype=np.float32), name


def programme(rng: np.random.Generator, samples: int) -> tuple[Pcm, str]:
    """One vehicle: a tone held, or one that its driver changes every few seconds."""
    sound = voice(rng)
    held = draw_tone(rng, sound)
    if chance(rng, 0.7):
        return synthesis.synthesise_cut(held, samples, SAMPLE_RATE_HZ, rng), held.siren
    tones = [held, *(draw_tone(rng, held.voice) for _ in range(rng.integers(1, 3)))]
    parts, length = [], 0
    while length < samples:
        each = tones[rng.integers(len(tones))]
        part = int(between(rng, 1.0, 7.0) * SAMPLE_RATE_HZ)
        parts.append(synthesis.synthesise_cut(each, part, SAMPLE_RATE_HZ, rng))
        length += part
    return np.concatenate(parts)[:samples], "programme"
