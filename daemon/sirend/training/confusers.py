"""Sounds that are easily taken for a siren, drawn at random: beepers, bells, horns, air raid, song, squeal, music."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import signal

from sirend.audio.stream import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Callable

    from sirend.audio.stream import Pcm

Wave = Any
"""float64[n]; numpy's own types say no more of arithmetic on arrays."""


def confuser_kinds() -> dict[str, Callable[[np.random.Generator, Wave], Wave]]:
    """Return all kinds by name."""
    every = (
        steady, beeper, bell, chimes, horn, sweep, glissando, civil_siren, whistle, motor, car_alarm, singing, squeal,
        music,
    )  # fmt: skip
    return {each.__name__: each for each in every}


def draw_confuser(rng: np.random.Generator, samples: int, kind: str | None = None) -> Pcm:
    """Return one confuser, of a random kind unless named: float32[samples], peak 1; if short, it may be all pause."""
    named = confuser_kinds()
    sound = named[kind] if kind else list(named.values())[rng.integers(len(named))]
    pcm = sound(rng, np.arange(samples) / SAMPLE_RATE_HZ)
    return np.asarray(pcm / max(1e-9, float(np.max(np.abs(pcm)))), dtype=np.float32)


def _tone(rng: np.random.Generator, hz: Wave, partials: int | None = None) -> Wave:
    """Sound harmonics of random strength on the pitch ``hz`` float64[n]; none above 7 kHz."""
    turns = np.cumsum(hz) / SAMPLE_RATE_HZ
    roll = rng.uniform(0.3, 2.5)
    out = np.zeros_like(turns)
    for number in range(1, (partials or int(rng.integers(1, 10))) + 1):
        audible = number * hz < 7000.0  # noqa: PLR2004
        out += audible * number**-roll * rng.uniform(0.3, 1.0) * np.sin(2 * np.pi * (number * turns + rng.random()))
    return out


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def steady(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Hum, dial tone, alarm held on: one to three unvarying pitches."""
    return np.sum(
        [_tone(rng, np.full_like(seconds, _log_uniform(rng, 150, 3500))) for _ in range(rng.integers(1, 4))], axis=0
    )


def beeper(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Reversing beeper, smoke alarm, alarm clock: one pitch keyed on and off."""
    period_s, duty = _log_uniform(rng, 0.1, 1.6), rng.uniform(0.2, 0.7)
    keyed = ((seconds + rng.random() * period_s) % period_s) < duty * period_s
    soft = np.convolve(keyed.astype(float), np.ones(64) / 64, mode="same")
    return soft * _tone(rng, np.full_like(seconds, _log_uniform(rng, 500, 4000)))


def _strikes(rng: np.random.Generator, seconds: Wave, spacing_s: float, decay_s: float) -> list[Wave]:
    """Return an envelope for each stroke, about ``spacing_s`` apart."""
    out: list[Wave] = []
    start_s = -rng.random() * spacing_s
    while start_s < seconds[-1]:
        age = seconds - start_s
        out.append(np.where(age > 0, np.exp(-np.maximum(age, 0) / decay_s), 0.0))
        start_s += spacing_s * rng.uniform(0.9, 1.1)
    return out


def bell(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Church or crossing bell: inharmonic partials that ring out."""
    base = _log_uniform(rng, 200, 1500)
    ratios = np.array([0.5, 1.0, 1.19, 1.5, 2.0, 2.52, 3.01, 4.1]) * rng.uniform(0.98, 1.02, 8)
    envelope = np.sum(_strikes(rng, seconds, _log_uniform(rng, 0.25, 3.0), rng.uniform(0.2, 2.5)), axis=0)
    waves = [rng.uniform(0.1, 1) * np.sin(2 * np.pi * base * r * seconds + 6 * rng.random()) for r in ratios]
    return envelope * np.sum(waves, axis=0)


def chimes(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Ice-cream van, ringtone, melody: notes of a scale, never the same two in turn."""
    scale = np.array([0, 2, 4, 5, 7, 9, 11, 12, 14, 16])
    base, out = _log_uniform(rng, 250, 1200), np.zeros_like(seconds)
    for envelope in _strikes(rng, seconds, _log_uniform(rng, 0.12, 0.6), rng.uniform(0.1, 0.8)):
        pitch = base * 2 ** (rng.choice(scale) / 12)
        out += envelope * _tone(rng, np.full_like(seconds, pitch), 3)
    return out


def horn(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Car, lorry or train horn: a chord with sharp edges."""
    base = _log_uniform(rng, 180, 600)
    chord = [base * ratio for ratio in (1.0, *rng.choice([1.19, 1.26, 1.335, 1.5, 1.68], rng.integers(1, 4)))]
    start_s = rng.uniform(-1.0, 1.2)
    sounding = (seconds > start_s) & (seconds < start_s + _log_uniform(rng, 0.15, 3.0))
    return (sounding + 1e-3) * np.sum([_tone(rng, np.full_like(seconds, pitch), 9) for pitch in chord], axis=0)


def sweep(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Make a measurement's sine sweep, up or down, slower than any siren or one-way."""
    low, high = _log_uniform(rng, 40, 400), _log_uniform(rng, 1500, 7500)
    length_s = _log_uniform(rng, 4, 30)
    place = np.clip((seconds + rng.uniform(0, length_s)) / length_s % 1.0, 0, 1)
    hz = low * (high / low) ** (place if rng.random() < 0.5 else 1 - place)  # noqa: PLR2004
    return _tone(rng, hz, 1)


def glissando(rng: np.random.Generator, seconds: Wave) -> Wave:
    """One slide and a held tone: a slide whistle, a motor starting, tyres."""
    start, end = _log_uniform(rng, 150, 2500), _log_uniform(rng, 150, 2500)
    at_s, length_s = rng.uniform(-0.5, 1.5), _log_uniform(rng, 0.1, 1.5)
    return _tone(rng, start * (end / start) ** np.clip((seconds - at_s) / length_s, 0, 1))


def civil_siren(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Air-raid or tornado siren: a two-rotor chord that climbs or falls for many seconds, or holds."""
    top, period_s = _log_uniform(rng, 330, 900), rng.uniform(10.0, 40.0)
    place = 2 * np.pi * (seconds / period_s + rng.random())
    hz = top * (1.0 - rng.choice([0.0, rng.uniform(0.2, 0.6)]) * (0.5 + 0.5 * np.cos(place)))
    out = _tone(rng, hz, 9)
    return out + _tone(rng, hz * rng.choice([1.2, 1.25, 1.335, 1.5]), 9) if rng.random() < 0.7 else out  # noqa: PLR2004


def whistle(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Referee, bird or kettle: high, with a fast trill."""
    hz = _log_uniform(rng, 1800, 4500) * (1 + rng.uniform(0, 0.08) * np.sin(2 * np.pi * rng.uniform(5, 40) * seconds))
    blown = np.clip(np.sin(2 * np.pi * (rng.uniform(0.3, 2) * seconds + rng.random())) * 4, 0, 1)
    return blown * _tone(rng, hz, 2)


def motor(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Rev an engine, tram or tool: a low pitch wandering slowly under many harmonics."""
    knots = np.cumsum(rng.normal(0, 0.12, 8))
    hz = _log_uniform(rng, 40, 250) * np.exp(np.interp(seconds, np.linspace(0, seconds[-1], 8), knots))
    return _tone(rng, hz, 24) + 0.05 * rng.standard_normal(len(seconds))


def car_alarm(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Parked car: its horn keyed once or twice a second, or a piezo's chirps above any siren's pitch."""
    rate_hz, place = rng.uniform(0.8, 2.2), rng.random()
    if rng.random() < 0.5:  # noqa: PLR2004
        keyed = ((seconds * rate_hz + place) % 1.0) < rng.uniform(0.3, 0.7)
        soft = np.convolve(keyed.astype(float), np.ones(160) / 160, mode="same")
        low = rng.uniform(330, 460)
        return soft * (_tone(rng, np.full_like(seconds, low), 9) + _tone(rng, np.full_like(seconds, low * 1.22), 9))
    chirp = (seconds * rate_hz * rng.uniform(2.0, 8.0) + place) % 1.0
    return _tone(rng, rng.uniform(2000, 2600) * (1.0 + rng.uniform(0.1, 0.6) * chirp), 2)


def singing(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Sing, or play the violin: notes of a scale with vibrato, sliding into one another, through two formants."""
    vibrato = 1.0 + rng.uniform(0.0, 0.03) * np.sin(2 * np.pi * rng.uniform(4.5, 7.0) * seconds + 6 * rng.random())
    step_s = _log_uniform(rng, 0.2, 1.5)
    notes = 2.0 ** (np.cumsum(rng.choice([-4, -2, -1, 0, 1, 2, 3, 5], int(seconds[-1] / step_s) + 3)) / 12.0)
    places = (np.arange(len(notes)) + rng.uniform(-0.5, 0.0)) * step_s
    glide = rng.uniform(0.02, 0.4) * step_s
    times = np.column_stack((places, places + step_s - glide)).ravel()
    pitch = _log_uniform(rng, 120, 700) * np.exp(np.interp(seconds, times, np.log(np.repeat(notes, 2))))
    breath = 0.6 + 0.4 * np.sin(2 * np.pi * rng.uniform(0.2, 1.0) * seconds + 6 * rng.random())
    out = breath * _tone(rng, np.clip(pitch, 80, 2000) * vibrato, 20)
    for centre_hz in (rng.uniform(400, 900), rng.uniform(1000, 2800)):
        out = out + rng.uniform(0.5, 3.0) * signal.lfilter(*signal.iirpeak(centre_hz, 4.0, fs=SAMPLE_RATE_HZ), out)
    return out


def squeal(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Squeal of tyres, brakes or rails: rough pitches that waver, fade in and stop."""
    knots = np.cumsum(rng.normal(0, 0.08, 12))
    hz = _log_uniform(rng, 500, 3000) * np.exp(np.interp(seconds, np.linspace(0, seconds[-1], 12), knots))
    rough = np.cumsum(rng.standard_normal(len(seconds))) * rng.uniform(0.0, 0.02)
    out = _tone(rng, hz, 3) * np.cos(rough) + rng.uniform(0.0, 0.5) * _tone(rng, hz * rng.uniform(1.1, 1.9), 2)
    start_s, length_s = rng.uniform(-1.0, 1.0), _log_uniform(rng, 0.4, 4.0)
    return out * (np.clip((seconds - start_s) / length_s, 0, 1) * (seconds < start_s + length_s) + 1e-3)


def music(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Play a tune in a car or at a stall: chords that change with the beat, a melody and a drum."""
    beat_s, base = rng.uniform(0.25, 0.8), _log_uniform(rng, 90, 300)
    beat = np.floor(seconds / beat_s + rng.random()).astype(int)
    roots = rng.choice([0, 5, 7, 9], beat[-1] // 4 + 1)[beat // 4]
    scale = np.array([0, 2, 4, 5, 7, 9, 11])
    melody = 12 + rng.choice(scale, beat[-1] + 1)[beat]
    age = (seconds / beat_s) % 1.0
    chord = np.sum([_tone(rng, base * 2.0 ** ((roots + step) / 12.0), 6) for step in (0, 4, 7)], axis=0)
    drum = rng.standard_normal(len(seconds)) * np.exp(-age * beat_s / 0.05)
    lead = _tone(rng, base * 2.0 ** ((melody + 12) / 12.0), 5) * np.exp(-age * rng.uniform(0.0, 3.0))
    return rng.uniform(0.1, 1) * chord + rng.uniform(0.2, 1) * lead + rng.uniform(0.0, 0.8) * drum
