"""More sounds that are easily taken for a siren: beepers, glides of drives, animals, horns, tools, wind.

Each is drawn over many seconds, with the pauses that such sounds have; ``confusers`` has those that fill two seconds.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from scipy import signal

from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.simulate.variation import between
from sirend.training import confusers
from sirend.training.partials import Wave, chance, harmonics, keyed, soft

if TYPE_CHECKING:
    from collections.abc import Callable

    from sirend.audio.stream import Pcm

_OFTEN = {
    "reversing": 3.0, "beeper": 2.0, "white_beeper": 1.5, "glide": 4.0, "honking": 2.0, "horn": 1.5,
    "train_horn": 1.5, "music": 2.5, "civil_siren": 2.5, "howl": 1.5, "gull": 1.5, "fire_alarm": 1.5, "singing": 1.5,
    "glissando": 1.5, "wires": 2.5, "shouting": 2.5, "lorry_horn": 2.0, "saw": 1.5,
}  # fmt: skip
"""How often a kind is drawn, relative; 1 where not named: most what networks were seen to call in real streets."""


def lookalike_kinds() -> dict[str, Callable[[np.random.Generator, Wave], Wave]]:
    """Return all kinds by name, those of ``confusers`` too."""
    more = (
        reversing, white_beeper, crossing, glide, howl, gull, fire_alarm, train_horn, honking, lorry_horn, tool, saw,
        wires, shouting,
    )  # fmt: skip
    return {**confusers.confuser_kinds(), **{each.__name__: each for each in more}}


def draw_lookalike(rng: np.random.Generator, samples: int, kind: str | None = None) -> tuple[Pcm, str]:
    """Return one sound, of a random kind unless named, and its kind: float32[samples], at least 1 s, peak 1."""
    every = lookalike_kinds()
    if kind is None:
        weights = np.array([_OFTEN.get(name, 1.0) for name in every])
        kind = str(rng.choice(list(every), p=weights / weights.sum()))
    pcm = every[kind](rng, np.arange(samples) / SAMPLE_RATE_HZ)
    return np.asarray(pcm / max(1e-9, float(np.max(np.abs(pcm)))), dtype=np.float32), kind


def reversing(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Reversing beeper of a lorry: one pitch, half a second on, half off."""
    envelope = keyed(seconds, rng.uniform(0.6, 1.3), rng.uniform(0.4, 0.6), rng.random())
    return envelope * harmonics(rng, np.full_like(seconds, between(rng, 600, 3000)))


def white_beeper(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Broadband reversing alarm: bursts of hissing noise."""
    envelope = keyed(seconds, rng.uniform(0.4, 1.2), rng.uniform(0.3, 0.6), rng.random(), 160)
    low = between(rng, 300, 1500)
    band = (low, min(7500.0, low * between(rng, 2, 8)))
    noise = rng.standard_normal(len(seconds))
    return envelope * signal.lfilter(*signal.butter(2, band, "band", fs=SAMPLE_RATE_HZ), noise)


def crossing(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Pedestrian or level crossing: ticks, chirps or pips."""
    kind, rate_hz = rng.integers(3), between(rng, 0.7, 10)
    if kind == 0:
        age_s = ((seconds * rate_hz + rng.random()) % 1.0) / rate_hz
        return np.exp(-age_s / 0.01) * harmonics(rng, np.full_like(seconds, between(rng, 500, 2500)), 3)
    if kind == 1:
        rate_hz = rng.uniform(0.5, 2)
        place = (seconds * rate_hz + rng.random()) % 1.0
        hz = between(rng, 900, 2800) * (1 + rng.uniform(-0.5, 0.5) * place)
        return soft(place < rng.uniform(0.1, 0.4), 60) * harmonics(rng, hz, 2)
    envelope = keyed(seconds, 1.0 / rate_hz, rng.uniform(0.3, 0.6), rng.random(), 60)
    return envelope * harmonics(rng, np.full_like(seconds, between(rng, 600, 3000)), 3)


def glide(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Tram, electric bus, turbo or inverter: harmonics that climb or fall over seconds, in gears, some held."""
    total = float(seconds[-1])
    edges = np.concatenate(([0.0], np.sort(rng.uniform(0, total, rng.integers(0, 4))), [total]))
    low, high, start = between(rng, 70, 500), between(rng, 500, 2400), rng.uniform(0, 0.4)
    falling = chance(rng, 0.4)
    hz = np.empty_like(seconds)
    for begin, end in itertools.pairwise(edges):
        gear = (seconds >= begin) & (seconds <= end)
        place = (seconds[gear] - begin) / max(0.2, end - begin)
        first, last = start + rng.uniform(-0.1, 0.1), 1.0 - rng.uniform(0, 0.3)
        place = first + (last - first) * place ** rng.uniform(0.5, 1.5)
        hz[gear] = low * (high / low) ** np.clip(1 - place if falling else place, 0, 1)
    if chance(rng, 0.4):
        held = min(int(np.searchsorted(seconds, rng.uniform(0.3, 0.9) * total)), len(hz) - 1)
        hz[held:] = hz[held]
    out = harmonics(rng, hz, int(rng.integers(1, 8)))
    if chance(rng, 0.5):
        out = out + rng.uniform(0.2, 1) * harmonics(rng, hz * rng.uniform(1.2, 3), 3)
    if chance(rng, 0.3):
        out = out + rng.uniform(0.1, 0.6) * harmonics(rng, np.full_like(seconds, between(rng, 400, 1500)), 3)
    load = np.interp(seconds, np.linspace(0, total, 6), rng.uniform(0.1, 1, 6))
    rolling = signal.butter(1, between(rng, 300, 3000), fs=SAMPLE_RATE_HZ)
    return load * (out + rng.uniform(0, 0.3) * signal.lfilter(*rolling, rng.standard_normal(len(seconds))))


def howl(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Wolf, dog or owl: a cry that rises, holds and falls, now and then."""
    out, at_s, base = np.zeros_like(seconds), rng.uniform(-1, 2), between(rng, 220, 1000)
    while at_s < seconds[-1]:
        length_s = between(rng, 0.3, 4)
        place = np.clip((seconds - at_s) / length_s, 0, 1)
        knots, heights = (0, rng.uniform(0.1, 0.3), rng.uniform(0.5, 0.8), 1), (0.6, 1, rng.uniform(0.85, 1.05), 0.55)
        shape = np.interp(place, knots, heights) * (1 + 0.01 * np.sin(2 * np.pi * 5 * seconds))
        cry = np.sqrt(np.maximum(0.0, np.sin(np.pi * place)))
        out += (seconds > at_s) * cry * harmonics(rng, base * rng.uniform(0.8, 1.25) * shape, 5)
        at_s += length_s + between(rng, 0.2, 4)
    return out


def gull(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Gulls: hoarse yelps at 1 to 2 kHz, two or three a second, for long."""
    sway = 0.1 * np.sin(seconds * rng.uniform(0.5, 2))
    place = (seconds * rng.uniform(1.2, 4) + rng.random() + sway) % 1.0
    cry = np.sin(np.pi * np.clip(place / rng.uniform(0.4, 0.8), 0, 1))
    hz = between(rng, 800, 2200) * (1 + rng.uniform(0.05, 0.4) * np.sin(np.pi * place) * rng.choice([1, -1]))
    bouts = np.interp(seconds, np.linspace(0, seconds[-1], 8), rng.choice([0.0, 0.3, 1.0], 8))
    return bouts * cry * harmonics(rng, hz, 6) * (1 + rng.uniform(0, 0.5) * rng.standard_normal(len(seconds)))


def fire_alarm(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Alarm of a building: sweeps or two tones at a high pitch, or three pips and a pause."""
    kind = rng.integers(3)
    if kind == 0:
        place = (seconds * between(rng, 1, 12)) % 1.0
        return harmonics(rng, between(rng, 1500, 2800) * (1 + rng.uniform(0.1, 0.35) * place), 3)
    if kind == 1:
        cycle = seconds % 4.0
        pips = ((cycle % 1.0) < 0.5) & (cycle < 3.0)  # noqa: PLR2004  half a second each, three in four
        return soft(pips, 80) * harmonics(rng, np.full_like(seconds, rng.uniform(2900, 3400)), 3)
    low = between(rng, 1800, 2800)
    first = (seconds * rng.uniform(2, 8)) % 1.0 < 0.5  # noqa: PLR2004  half of each turn
    return harmonics(rng, np.where(first, low, low * rng.uniform(1.15, 1.35)), 3)


def train_horn(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Train or ship: a chord, blown for long, once or in a pattern."""
    base, out = between(rng, 90, 500), np.zeros_like(seconds)
    for ratio in (1, 1.2, 1.5, 1.68, 2.0)[: rng.integers(1, 6)]:
        out += harmonics(rng, base * ratio * (1 - 0.03 * np.exp(-seconds)), 12)
    on, at_s = np.zeros_like(seconds), rng.uniform(-1, 1.5)
    while at_s < seconds[-1]:
        length_s = rng.choice([0.4, 1.0, 2.0, 4.0])
        on += (seconds > at_s) & (seconds < at_s + length_s)
        at_s += length_s + between(rng, 0.3, 5)
    return soft(on, 1600) * out


def honking(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Sound a jam: several cars' horns, short and long."""
    out = np.zeros_like(seconds)
    for _ in range(rng.integers(1, 4)):
        hz, at_s = rng.uniform(300, 560), rng.uniform(-1, 3)
        horn = harmonics(rng, np.full_like(seconds, hz), 12)
        horn = horn + harmonics(rng, np.full_like(seconds, hz * rng.choice([1.2, 1.25, 1.26, 1.33])), 12)
        on = np.zeros_like(seconds)
        while at_s < seconds[-1]:
            length_s = between(rng, 0.08, 2)
            on += (seconds > at_s) & (seconds < at_s + length_s)
            at_s += length_s + between(rng, 0.08, 4)
        out += rng.uniform(0.2, 1) * soft(on, 240) * horn
    return out


def tool(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Saw, drill, turbine or vacuum cleaner: a pitch that follows the load, in noise."""
    load = np.interp(seconds, np.linspace(0, seconds[-1], 10), rng.uniform(0.5, 1, 10))
    return harmonics(rng, between(rng, 200, 1500) * load, 10) + rng.uniform(0.2, 2) * rng.standard_normal(len(seconds))


def wires(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Wind in wires, gaps and round houses: narrow bands of noise that wander, higher the harder it blows."""
    out = np.zeros_like(seconds)
    knots = np.linspace(0, seconds[-1], int(rng.integers(6, 30)))
    steps = np.cumsum(rng.normal(0, 0.1, len(knots)))
    gust = np.interp(seconds, knots, steps - steps.mean())
    rise = rng.uniform(0.2, 1.0)
    for _ in range(rng.integers(1, 4)):
        turns = np.cumsum(between(rng, 250, 1700) * np.exp(rise * gust)) / SAMPLE_RATE_HZ
        for wave in (np.cos, np.sin):
            narrow = signal.butter(2, between(rng, 4, 80), fs=SAMPLE_RATE_HZ)
            slow = signal.lfilter(*narrow, rng.standard_normal(len(seconds)))
            out += slow / max(1e-9, float(np.std(slow))) * wave(2 * np.pi * turns)
    return out * np.exp(rng.uniform(0, 4) * gust) * np.interp(seconds, knots, rng.uniform(0.1, 1, len(knots)))


def shouting(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Children at play: cries that glide about 1 kHz, of several voices, through a mouth's formants."""
    out = np.zeros_like(seconds)
    for _ in range(rng.integers(1, 5)):
        at_s, base = rng.uniform(-0.5, 3), between(rng, 280, 900)
        loud = rng.uniform(0.2, 1)
        while at_s < seconds[-1]:
            length_s = between(rng, 0.15, 1.6)
            inside = (seconds >= at_s) & (seconds < at_s + length_s)
            place = (seconds[inside] - at_s) / length_s
            at_s += length_s + between(rng, 0.05, 2.5)
            if not inside.any():
                continue
            heights = base * np.exp(rng.normal(0, 0.25) + rng.normal(0, 0.22, 4))
            hz = np.interp(place, np.linspace(0, 1, 4), heights)
            hz = hz * (1 + rng.uniform(0, 0.03) * np.sin(2 * np.pi * rng.uniform(4, 8) * place * length_s))
            cry = harmonics(rng, hz, int(rng.integers(3, 10))) * (
                1 + rng.uniform(0, 0.3) * rng.standard_normal(len(hz))
            )
            for formant_hz in (between(rng, 500, 1200), between(rng, 1200, 3500)):
                cry = cry + 2.0 * signal.lfilter(*signal.iirpeak(formant_hz, rng.uniform(2, 8), fs=SAMPLE_RATE_HZ), cry)
            out[inside] += loud * cry * np.sqrt(np.maximum(0.0, np.sin(np.pi * place)))
    return out


def lorry_horn(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Lorry's, bus's or ship's horn close by: two or three pipes held together, long or in a few blasts."""
    base, out = between(rng, 130, 520), np.zeros_like(seconds)
    for ratio in (1.0, *rng.choice([1.19, 1.26, 1.335, 1.5, 1.68, 2.0], int(rng.integers(1, 3)), replace=False)):
        swell = 1 - rng.uniform(0, 0.04) * np.exp(-((seconds % between(rng, 1, 6)) * rng.uniform(5, 30)))
        out += rng.uniform(0.4, 1) * harmonics(rng, base * ratio * swell, 14)
    on, at_s = np.zeros_like(seconds), rng.uniform(-1.5, 2)
    while at_s < seconds[-1]:
        length_s = between(rng, 0.15, 5)
        on += (seconds > at_s) & (seconds < at_s + length_s)
        at_s += length_s + between(rng, 0.1, 5)
    return soft(on, int(between(rng, 60, 1500))) * out


def saw(rng: np.random.Generator, seconds: Wave) -> Wave:
    """Saw, grinder or mill at a stretch: a note that holds, sags under load, and runs up and down with the switch."""
    hz, at_s, base = np.zeros_like(seconds), rng.uniform(-3, 2), between(rng, 250, 2200)
    on = np.zeros_like(seconds)
    while at_s < seconds[-1]:
        length_s, up_s, down_s = between(rng, 0.8, 7), between(rng, 0.1, 1.5), between(rng, 0.3, 3)
        since_s = seconds - at_s
        speed = np.clip(since_s / up_s, 0, 1) * np.clip((length_s + down_s - since_s) / down_s, 0, 1)
        hz = np.maximum(hz, base * speed)
        on = np.maximum(on, speed)
        at_s += length_s + down_s + between(rng, 0.2, 4)
    load = np.interp(seconds, np.linspace(0, seconds[-1], 12), rng.uniform(0.8, 1, 12))
    rough = 1 + rng.uniform(0, 0.6) * np.sin(2 * np.pi * rng.uniform(15, 120) * seconds)
    noise = rng.uniform(0.02, 1) * rng.standard_normal(len(seconds))
    return on * (rough * harmonics(rng, np.maximum(hz, 20.0) * load, 12) + noise)
