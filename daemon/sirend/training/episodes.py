"""Episodes of twelve seconds: a street, what is taken for a siren, and sirens that come and go; labels along the way.

Each remembers the recordings that went into it, so that one pool serves every evaluation that leaves some out.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sirend.audio.stream import SAMPLE_RATE_HZ, to_samples
from sirend.simulate.levels import rms
from sirend.simulate.variation import between
from sirend.training import lookalikes, repertoire
from sirend.training.channel import coded, colour, down_a_street, wind
from sirend.training.corpus import Kind
from sirend.training.partials import chance

if TYPE_CHECKING:
    from collections.abc import Callable

    from sirend.audio.stream import Pcm
    from sirend.training.corpus import Clip, Corpus

EPISODE_S = 12.0
SAMPLES = to_samples(EPISODE_S)
LABEL_S = 0.25
"""A label for each quarter of a second: whether the last second holds a siren for at least half of it."""
LABELS = round(EPISODE_S / LABEL_S)
_STEP = to_samples(0.1)
_PAUSE_STEPS = 18
"""Pauses of up to 1.8 s belong to a siren's pattern."""
_FAINT_DB = -24.0
"""A siren so far below the street is neither heard nor denied."""
_TONAL = re.compile(
    "horn|alarm|bell|whistle|wolf|tram|bus|train|music|bird|dog|children|construction|motorbike|vacuum|saw|crying|"
    "rooster|clock|engine|airplane|helicopter|brake|tone|violin|flute|trumpet|synth|guitar|voice|chime",
    re.IGNORECASE,
)
"""Labels of recordings that also sound alone, on top of a street."""


@dataclass(frozen=True)
class EpisodeSpec:
    """How episodes are drawn; part of a recipe."""

    count: int = 6_000
    positive: float = 0.5
    """Share with a siren."""
    synthetic: float = 0.45
    """Share of the sirens that are synthesised."""
    clean: float = 0.1
    """Share of the sirens that are nearly alone."""
    snr_db: tuple[float, float] = (-18.0, 20.0)
    level_dbfs: tuple[float, float] = (-50.0, -12.0)
    set_weights: dict[str, float] = field(default_factory=dict)
    """How often a recording of each set is drawn, relative; 1 where not named."""


@dataclass(frozen=True, slots=True)
class Episode:
    """One stretch of sound."""

    pcm: Pcm
    """float32[192000]."""
    label: np.ndarray
    """float32[LABELS]: 1 siren, 0 none, nan undecided, at the end of each quarter second."""
    groups: tuple[str, ...]
    """The recordings that went in."""
    snr_db: float
    """Siren over street; nan when there is no siren."""
    kind: str
    """What it was made from, for tables."""


class Episodes:
    """Draws episodes from a corpus."""

    def __init__(self, corpus: Corpus, spec: EpisodeSpec, keep: Callable[[Clip], bool]) -> None:
        """Draw from the clips that ``keep`` accepts."""
        self._corpus, self._drawn = corpus, spec
        usable = corpus.where(keep)
        kinds = [corpus.clips[index].kind for index in usable]
        self._impulses = [
            corpus.audio(index) for index, kind in zip(usable, kinds, strict=True) if kind is Kind.IMPULSE_RESPONSE
        ]
        others = [index for index, kind in zip(usable, kinds, strict=True) if kind in (Kind.OTHER, Kind.CIVIL_SIREN)]
        self._rich = self._runs([i for i, kind in zip(usable, kinds, strict=True) if kind is Kind.EMERGENCY])
        self._streets = self._runs(others)
        self._tonal = self._runs([index for index in others if self._is_tonal(corpus.clips[index])])

    @staticmethod
    def _is_tonal(clip: Clip) -> bool:
        return clip.kind is Kind.CIVIL_SIREN or _TONAL.search(clip.label) is not None

    def _runs(self, indices: list[int]) -> tuple[list[list[int]], np.ndarray]:
        """Gather the cuts of each recording in their order, and how often it is drawn."""
        groups: dict[tuple[str, Kind], list[int]] = {}
        for index in indices:
            clip = self._corpus.clips[index]
            groups.setdefault((clip.group, clip.kind), []).append(index)
        runs = [
            sorted(members, key=lambda index: _natural(self._corpus.clips[index].path)) for members in groups.values()
        ]
        weights = np.array([self._weight(members) for members in runs])
        return runs, weights / weights.sum() if runs else weights

    def _weight(self, members: list[int]) -> float:
        clip = self._corpus.clips[members[0]]
        if clip.kind is Kind.EMERGENCY:
            return float(min(4.0, np.sqrt(len(members))))
        return self._drawn.set_weights.get(clip.set, 1.0) * (3.0 if clip.kind is Kind.CIVIL_SIREN else 1.0)

    def episode(self, rng: np.random.Generator) -> Episode:
        """Return one episode."""
        spec, groups, kinds = self._drawn, set[str](), list[str]()
        street = self._street(rng, groups)
        sounds = np.zeros(SAMPLES, np.float32)
        for _ in range(int(rng.choice(3, p=[0.3, 0.45, 0.25]))):
            sounds += self._sound(rng, groups, kinds)
        label, snr_db = np.zeros(LABELS, np.float32), float("nan")
        if chance(rng, spec.positive):
            snr_db = float(rng.uniform(*spec.snr_db))
            siren, name = self._siren(rng, groups)
            siren = siren / (loudness(siren) + 1e-9) * np.float32(10.0 ** (snr_db / 20.0))
            alone = chance(rng, spec.clean)
            street = street * np.float32(10.0 ** (-rng.uniform(25, 60) / 20.0)) if alone else street
            label = labels(siren, _FAINT_DB - (80.0 if alone else 0.0))
            kinds.insert(0, name)
            out = street + sounds + siren
        else:
            out = street + sounds
            out = self._down_a_street(rng, out) if chance(rng, 0.3) else out
        return Episode(self._heard(rng, out), label, tuple(sorted(groups)), snr_db, "+".join(kinds))

    def _street(self, rng: np.random.Generator, groups: set[str]) -> Pcm:
        """Return one or two layers of street, RMS 1."""
        street = self._layer(rng, groups)
        if chance(rng, 0.5):
            street = street + self._layer(rng, groups) * np.float32(10.0 ** (rng.uniform(-12, 3) / 20.0))
        return np.asarray(street / (rms(street) + 1e-9), np.float32)

    def _layer(self, rng: np.random.Generator, groups: set[str]) -> Pcm:
        if not self._streets[0]:
            return rng.standard_normal(SAMPLES).astype(np.float32)
        members = self._pick_run(rng, self._streets, groups)
        pcm = self._stream(rng, members, SAMPLES + SAMPLES // 8, again=True)
        pcm = (_repitched(rng, pcm) if chance(rng, 0.3) else pcm)[:SAMPLES]
        pcm = pcm + rng.standard_normal(len(pcm)).astype(np.float32) * np.float32(1e-5)
        return np.asarray(pcm / (rms(pcm) + 1e-9), np.float32)

    def _pick_run(
        self, rng: np.random.Generator, runs: tuple[list[list[int]], np.ndarray], groups: set[str]
    ) -> list[int]:
        members = runs[0][int(rng.choice(len(runs[0]), p=runs[1]))]
        groups.add(self._corpus.clips[members[0]].group)
        return members

    def _sound(self, rng: np.random.Generator, groups: set[str], kinds: list[str]) -> Pcm:
        """Return something that is taken for a siren, somewhere in the episode, at any level against RMS 1."""
        samples = to_samples(rng.uniform(2.0, EPISODE_S))
        if chance(rng, 0.6) or not self._tonal[0]:
            pcm, kind = lookalikes.draw_lookalike(rng, samples)
        else:
            members = self._pick_run(rng, self._tonal, groups)
            kind = self._corpus.clips[members[0]].label
            pcm = _repitched(rng, self._stream(rng, members, samples, again=chance(rng, 0.7)))[:SAMPLES]
        if chance(rng, 0.5):
            pcm = self._down_a_street(rng, pcm)
        kinds.append(kind)
        pcm = _faded(rng, pcm) * _ramp(rng, len(pcm))
        out = np.zeros(SAMPLES, np.float32)
        begin = int(rng.integers(SAMPLES - len(pcm) + 1))
        out[begin : begin + len(pcm)] = pcm / (loudness(pcm) + 1e-9) * 10.0 ** (rng.uniform(-12, 22) / 20.0)
        return out

    def _siren(self, rng: np.random.Generator, groups: set[str]) -> tuple[Pcm, str]:
        """Return a siren where it sounds in the episode, float32[SAMPLES], and what it is."""
        begin, end = _span(rng, SAMPLES)
        if chance(rng, self._drawn.synthetic) or not self._rich[0]:
            pcm, name = repertoire.draw_siren(rng, end - begin)
        else:
            members, name = self._pick_run(rng, self._rich, groups), "recorded"
            pcm = self._stream(rng, members, (end - begin) * 9 // 8, again=chance(rng, 0.8))
            pcm = _repitched(rng, pcm, 0.2 if chance(rng, 0.4) else 0.08)[: end - begin]
            if begin:
                begin = end - len(pcm)
        pcm = pcm * _ramp(rng, len(pcm))
        pcm = _faded(rng, self._down_a_street(rng, pcm))
        out = np.zeros(SAMPLES, np.float32)
        out[begin : begin + len(pcm)] = pcm
        return out, name

    def _down_a_street(self, rng: np.random.Generator, pcm: Pcm) -> Pcm:
        """Return float32[n] at most ``SAMPLES`` long as a street leaves it, to the last digit as in older versions."""
        padded = np.pad(pcm, (0, SAMPLES - len(pcm)))
        return down_a_street(rng, padded, self._impulses)[: len(pcm)]

    def _stream(self, rng: np.random.Generator, members: list[int], need: int, *, again: bool) -> Pcm:
        """Return consecutive cuts of a recording put together, float32 of ``need`` samples, fewer if not ``again``."""
        place = int(rng.integers(len(members)))
        place = min(place, max(0, len(members) - 4))
        parts: list[Pcm] = []
        while sum(map(len, parts)) < need:
            pcm = self._corpus.audio(members[place])
            if not parts and len(pcm) > 2 * SAMPLE_RATE_HZ:
                pcm = pcm[int(rng.integers(max(len(pcm) - need, len(pcm) // 2))) :]
            parts.append(_soft(pcm[:need]))
            place += 1
            if place == len(members):
                if not again:
                    break
                place = 0 if len(members) > 1 else place - 1
        return np.concatenate(parts)[:need]

    def _heard(self, rng: np.random.Generator, pcm: Pcm) -> Pcm:
        """Hear it through a microphone: level, wind, colour, hiss, clipping, codec."""
        out = pcm * 10.0 ** (rng.uniform(*self._drawn.level_dbfs) / 20.0) / (rms(pcm) + 1e-9)
        if chance(rng, 0.1):
            out = out + wind(rng, len(out)) * 10.0 ** (rng.uniform(-10, 20) / 20.0) * rms(out)
        if chance(rng, 0.4):
            out = colour(rng, out)
        if chance(rng, 0.5):
            out = out + rng.standard_normal(len(out)) * 10.0 ** (rng.uniform(-90, -52) / 20.0)
        if chance(rng, 0.07):
            peak = float(np.max(np.abs(out))) * rng.uniform(0.2, 0.9)
            out = np.clip(out, -peak, peak)
        out = np.clip(out, -1.0, 1.0).astype(np.float32)
        return coded(rng, out) if chance(rng, 0.08) else out


def labels(siren: Pcm, faint_db: float = _FAINT_DB) -> np.ndarray:
    """Return float32[LABELS] for a siren float32[n] alone, its level against a street of RMS 1."""
    steps = np.abs(siren[: len(siren) // _STEP * _STEP]).reshape(-1, _STEP).max(axis=1)
    sounding = np.flatnonzero(steps > 1e-4 * np.max(steps, initial=1e-12))
    on = np.zeros(len(steps), bool)
    on[sounding] = True
    for before, after in itertools.pairwise(sounding):
        if after - before <= _PAUSE_STEPS:
            on[before:after] = True
    out = np.zeros(LABELS, np.float32)
    for number in range(LABELS):
        end = to_samples((number + 1) * LABEL_S)
        begin = max(0, end - SAMPLE_RATE_HZ)
        share = float(np.mean(on[begin // _STEP : max(1, end // _STEP)]))
        faint = 10.0 * np.log10(float(np.mean(np.square(siren[begin:end]))) + 1e-12) < faint_db
        out[number] = 0.0 if share == 0.0 else np.nan if share < 0.5 or faint else 1.0  # noqa: PLR2004
    return out


def loudness(pcm: Pcm) -> float:
    """Return the RMS of float32[n] while it sounds."""
    short = pcm[: len(pcm) // 800 * 800].reshape(-1, 800)
    power = np.mean(np.square(short), axis=1)
    return float(np.sqrt(np.mean(power[power >= 1e-3 * power.max()]))) if power.any() else 0.0


def _span(rng: np.random.Generator, samples: int) -> tuple[int, int]:
    """Draw from where to where a siren sounds: throughout, from or until some moment, or for a while."""
    how, rate = rng.random(), SAMPLE_RATE_HZ
    if how < 0.25:  # noqa: PLR2004
        return 0, samples
    if how < 0.7:  # noqa: PLR2004
        return int(rng.uniform(0.5, 10.5) * rate), samples
    if how < 0.85:  # noqa: PLR2004
        return 0, int(rng.uniform(1, 10) * rate)
    begin = int(rng.uniform(0.5, 6) * rate)
    return begin, min(samples, begin + int(rng.uniform(1.5, 6) * rate))


def _natural(path: str) -> list[tuple[int, str]]:
    """Order the cuts of a recording by their numbers."""
    return [(int(part) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", path)]


def _repitched(rng: np.random.Generator, pcm: Pcm, most: float = 0.08) -> Pcm:
    """Play float32[n] up to a share of ``most`` faster or slower."""
    ratio = between(rng, 1.0 - most, 1.0 / (1.0 - most))
    places = np.arange(int(len(pcm) / ratio)) * ratio
    return np.asarray(np.interp(places, np.arange(len(pcm)), pcm), np.float32)


def _soft(pcm: Pcm) -> Pcm:
    """Take the click from the ends of a cut."""
    out = pcm.copy()
    edge = min(160, len(out) // 4)
    out[:edge] *= np.linspace(0, 1, edge, dtype=np.float32)
    out[len(out) - edge :] *= np.linspace(1, 0, edge, dtype=np.float32)
    return out


def _faded(rng: np.random.Generator, pcm: Pcm) -> Pcm:
    out = pcm.astype(np.float32)
    up, down = (min(int(between(rng, 0.01, most_s) * SAMPLE_RATE_HZ), len(out) // 2) for most_s in (1.0, 1.5))
    out[:up] *= np.linspace(0, 1, up, dtype=np.float32)
    out[len(out) - down :] *= np.linspace(1, 0, down, dtype=np.float32)
    return out


def _ramp(rng: np.random.Generator, samples: int) -> Pcm:
    """Draw slow changes of level, as of a vehicle that comes, goes or passes behind houses; often none."""
    if chance(rng, 0.4):
        return np.ones(samples, np.float32)
    knots = rng.uniform(-9, 9, 4) if chance(rng, 0.4) else np.linspace(rng.uniform(-12, 6), rng.uniform(-6, 12), 4)
    db = np.interp(np.arange(samples), np.linspace(0, samples, 4), knots)
    return (10.0 ** (db / 20.0)).astype(np.float32)
