"""Two-second training windows, drawn at random from a corpus: sirens into streets, streets alone, confusers.

Each window remembers which data sets went into it, so that one pool serves every leave-one-set-out fold.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import soundfile
from scipy import signal

from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.simulate.sirens import HORN
from sirend.simulate.synthesis import synthesise_cut
from sirend.simulate.variation import random_tone
from sirend.training import confusers
from sirend.training.corpus import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from sirend.audio.stream import Pcm
    from sirend.training.corpus import Clip, Corpus

AUDIBLE_S = 0.5
"""A window with less siren than this teaches nothing: neither positive nor negative."""


@dataclass(frozen=True)
class SceneSpec:
    """How windows are drawn; part of a recipe."""

    positive: float = 0.45
    """Share of windows with a siren."""
    synthetic: float = 0.4
    """Share of the sirens that are synthesised."""
    confuser: float = 0.15
    """Share of the negatives that are synthetic confusers."""
    clean: float = 0.2
    """Share of the sirens with no background."""
    snr_db: tuple[float, float] = (-15.0, 20.0)
    codec: float = 0.0
    """Share of the windows that a lossy codec has passed: recordings of other people's are seldom anything else."""
    wind: float = 0.0
    """Share of the windows with wind in the microphone."""
    set_weights: dict[str, float] | None = None
    """How often a negative comes from each set, relative; 1 where not named."""


@dataclass(frozen=True, slots=True)
class TrainingScene:
    """One window."""

    pcm: Pcm
    """float32[window_samples]."""
    siren: bool
    sets: frozenset[str]
    """The data sets that went in; empty when all is synthetic."""
    snr_db: float
    """Siren over background; +inf when clean, nan when there is no siren."""
    kind: str
    """What it was made from, for tables: the siren's or the clip's label."""


class Scenes:
    """Draws windows from a corpus."""

    def __init__(self, corpus: Corpus, spec: SceneSpec, window: int, keep: Callable[[Clip], bool]) -> None:
        """Draw windows of ``window`` samples from the clips that ``keep`` accepts."""
        self._corpus, self._spec, self._window = corpus, spec, window
        clips = corpus.clips
        usable = corpus.where(keep)
        self._impulses = [i for i in usable if clips[i].kind is Kind.IMPULSE_RESPONSE]
        self._sirens = self._grouped([i for i in usable if clips[i].kind is Kind.EMERGENCY])
        others = [i for i in usable if clips[i].kind in (Kind.OTHER, Kind.CIVIL_SIREN)]
        self._others = self._grouped(others)
        weights = spec.set_weights or {}
        drawn = np.array([weights.get(clips[members[0]].set, 1.0) for members in self._others])
        self._other_weights = drawn / drawn.sum() if len(drawn) else drawn

    def _grouped(self, indices: list[int]) -> list[list[int]]:
        """Gather clips by recording, so that one with many cuts is not heard more often than one with few."""
        groups: dict[str, list[int]] = {}
        for index in indices:
            groups.setdefault(self._corpus.clips[index].group, []).append(index)
        return list(groups.values())

    def draw(self, rng: np.random.Generator) -> TrainingScene:
        """Return one window."""
        return self._positive(rng) if rng.random() < self._spec.positive else self._negative(rng)

    def _positive(self, rng: np.random.Generator) -> TrainingScene:
        if rng.random() < self._spec.synthetic or not self._sirens:
            tone = random_tone(rng)
            while tone.siren == HORN:
                tone = random_tone(rng)
            siren = synthesise_cut(tone, self._window, SAMPLE_RATE_HZ, rng)
            kind, sets = f"synthetic {tone.siren}", frozenset[str]()
        else:
            index = _pick(rng, self._sirens)
            siren = self._crop(rng, index, pitch=True)
            kind, sets = self._corpus.clips[index].label, frozenset((self._corpus.clips[index].set,))
        siren = self._channel(rng, siren)
        siren = _partly(rng, siren) if rng.random() < 0.35 else siren  # noqa: PLR2004
        if rng.random() < self._spec.clean:
            return self._finish(rng, siren, siren=True, sets=sets, snr_db=np.inf, kind=kind)
        street, more = self._background(rng)
        snr_db = float(rng.uniform(*self._spec.snr_db))
        return self._finish(
            rng, add_while_sounding(siren, street, snr_db), siren=True, sets=sets | more, snr_db=snr_db, kind=kind
        )

    def _negative(self, rng: np.random.Generator) -> TrainingScene:
        pcm, sets = self._background(rng)
        kind = "recording"
        if rng.random() < self._spec.confuser:
            confuser = self._channel(rng, confusers.draw_confuser(rng, self._window))
            pcm = add_while_sounding(confuser, pcm, float(rng.uniform(-5, 30)))
            kind = "confuser"
        elif rng.random() < 0.25:  # noqa: PLR2004
            other, more = self._background(rng)
            pcm, sets = add_while_sounding(other, pcm, float(rng.uniform(-10, 10))), sets | more
        if rng.random() < 0.3:  # noqa: PLR2004
            pcm = self._channel(rng, pcm)
        return self._finish(rng, pcm, siren=False, sets=sets, snr_db=np.nan, kind=kind)

    def _background(self, rng: np.random.Generator) -> tuple[Pcm, frozenset[str]]:
        if not self._others:
            return np.asarray(rng.standard_normal(self._window) * 0.05, dtype=np.float32), frozenset()
        members = self._others[rng.choice(len(self._others), p=self._other_weights)]
        index = members[rng.integers(len(members))]
        return self._crop(rng, index, pitch=rng.random() < 0.3), frozenset((self._corpus.clips[index].set,))  # noqa: PLR2004

    def _crop(self, rng: np.random.Generator, index: int, *, pitch: bool) -> Pcm:
        """Cut a random window out of a clip, up to 9 % off its pitch when ``pitch``; a short clip stands in silence."""
        ratio = rng.uniform(0.92, 1.09) if pitch else 1.0
        need = int(self._window * ratio) + 2
        pcm = self._corpus.pcm[index]
        if len(pcm) >= need:
            start = rng.integers(len(pcm) - need + 1)
            cut = pcm[start : start + need].astype(np.float32)
        else:
            cut = np.zeros(need, dtype=np.float32)
            start = rng.integers(need - len(pcm) + 1)
            cut[start : start + len(pcm)] = pcm
        cut /= np.float32(32768.0)
        if not pitch:
            return cut[: self._window]
        return np.asarray(
            np.interp(np.arange(self._window) * ratio, np.arange(need), cut).astype(np.float32), dtype=np.float32
        )

    def _channel(self, rng: np.random.Generator, pcm: Pcm) -> Pcm:
        """Send it down a street: distance dulls it, walls return it."""
        if rng.random() < 0.5:  # noqa: PLR2004
            cutoff = np.exp(rng.uniform(np.log(1200), np.log(7000)))
            pcm = signal.lfilter(*signal.butter(1, cutoff, fs=SAMPLE_RATE_HZ), pcm)
        if rng.random() < 0.4:  # noqa: PLR2004
            pcm = signal.oaconvolve(pcm, self._impulse(rng))[: self._window]
        return np.asarray(pcm, dtype=np.float32)

    def _impulse(self, rng: np.random.Generator) -> Pcm:
        """Return a measured impulse response or, mostly, a random one: direct sound, some echoes, a decaying tail."""
        if self._impulses and rng.random() < 0.2:  # noqa: PLR2004
            return self._corpus.audio(self._impulses[rng.integers(len(self._impulses))])[: SAMPLE_RATE_HZ // 2]
        length = int(SAMPLE_RATE_HZ * rng.uniform(0.1, 0.6))
        decay = np.exp(-np.arange(length) / (length * rng.uniform(0.08, 0.3)))
        tail = rng.standard_normal(length) * decay * rng.uniform(0.0, 0.08)
        for _ in range(rng.integers(0, 5)):
            tail[rng.integers(16, length)] += rng.uniform(-0.6, 0.6)
        tail[0] = 1.0
        return tail.astype(np.float32)

    def _finish(
        self, rng: np.random.Generator, pcm: Pcm, *, siren: bool, sets: frozenset[str], snr_db: float, kind: str
    ) -> TrainingScene:
        """Hear it through a microphone: gain, colour, hiss, clipping."""
        out = pcm * (10.0 ** (rng.uniform(-55, -8) / 20.0) / (_rms(pcm) + 1e-6))
        if rng.random() < self._spec.wind:
            out = out + wind(rng, len(out)) * 10.0 ** (rng.uniform(-10, 20) / 20.0) * _rms(out)
        if rng.random() < 0.4:  # noqa: PLR2004
            out = colour(rng, out)
        if rng.random() < 0.5:  # noqa: PLR2004
            out = out + rng.standard_normal(len(out)) * 10.0 ** (rng.uniform(-90, -50) / 20.0)
        if rng.random() < 0.08:  # noqa: PLR2004
            peak = np.max(np.abs(out)) * rng.uniform(0.2, 0.9)
            out = np.clip(out, -peak, peak)
        out = np.clip(out, -1.0, 1.0).astype(np.float32)
        if rng.random() < self._spec.codec:
            out = coded(rng, out)
        return TrainingScene(out, siren, sets, snr_db, kind)


def add_while_sounding(wanted: Pcm, background: Pcm, snr_db: float) -> Pcm:
    """Add ``wanted`` to ``background`` (float32[n]) so that its RMS while it sounds is ``snr_db`` higher."""
    sounding = np.abs(wanted) > 1e-3 * np.max(np.abs(wanted), initial=1e-9)
    power = float(np.mean(np.square(wanted[sounding]))) if sounding.any() else 0.0
    street = float(np.mean(np.square(background)))
    gain = np.sqrt(max(street, 1e-10) / max(power, 1e-12)) * 10.0 ** (snr_db / 20.0)
    return np.asarray(background + wanted * np.float32(gain), dtype=np.float32)


def _pick(rng: np.random.Generator, groups: list[list[int]]) -> int:
    members = groups[rng.integers(len(groups))]
    return members[rng.integers(len(members))]


def _partly(rng: np.random.Generator, siren: Pcm) -> Pcm:
    """Let the siren begin or end inside the window, at least ``AUDIBLE_S`` of it."""
    samples = len(siren)
    audible = int(rng.uniform(AUDIBLE_S * SAMPLE_RATE_HZ, samples))
    keep = np.zeros(samples, dtype=np.float32)
    if rng.random() < 0.75:  # noqa: PLR2004
        keep[samples - audible :] = 1.0
    else:
        keep[:audible] = 1.0
    edge = int(rng.uniform(0.005, 0.3) * SAMPLE_RATE_HZ)
    return np.asarray(siren * signal.oaconvolve(keep, np.ones(edge) / edge, mode="same"), dtype=np.float32)


def colour(rng: np.random.Generator, pcm: Pcm) -> Pcm:
    """Give it a microphone's colour: a high-pass corner and a resonance (Q of 1 up: wider ones would be unstable)."""
    corner = rng.uniform(50, 400)
    out = signal.lfilter(*signal.butter(1, corner, "high", fs=SAMPLE_RATE_HZ), pcm)
    peak = signal.lfilter(*signal.iirpeak(rng.uniform(300, 6000), rng.uniform(1.0, 3), fs=SAMPLE_RATE_HZ), out)
    return np.asarray(out + rng.uniform(-0.7, 1.5) * peak, dtype=np.float32)


def _rms(pcm: Pcm) -> float:
    return float(np.sqrt(np.mean(np.square(pcm))))


def wind(rng: np.random.Generator, samples: int) -> Pcm:
    """Blow into the microphone: noise of RMS 1 that falls with frequency, in gusts."""
    corner = rng.uniform(20, 200)
    noise = signal.lfilter(*signal.butter(1, corner, fs=SAMPLE_RATE_HZ), rng.standard_normal(samples))
    gusts = np.exp(np.interp(np.arange(samples), np.linspace(0, samples, 9), rng.normal(0, 0.7, 9)))
    blown = noise * gusts
    return np.asarray(blown / (_rms(blown) + 1e-9), dtype=np.float32)


def coded(rng: np.random.Generator, pcm: Pcm) -> Pcm:
    """Send float32[n] through a lossy codec at a random quality: what video sites and phones leave of it."""
    kind, subtype = (("MP3", "MPEG_LAYER_III"), ("OGG", "OPUS"), ("OGG", "VORBIS"))[rng.integers(3)]
    stream = io.BytesIO()
    soundfile.write(stream, pcm, SAMPLE_RATE_HZ, subtype, format=kind, compression_level=float(rng.uniform(0.3, 1.0)))
    stream.seek(0)
    heard, _ = soundfile.read(stream, dtype="float32")
    return np.asarray(np.clip(np.resize(heard, len(pcm)), -1.0, 1.0), dtype=np.float32)
