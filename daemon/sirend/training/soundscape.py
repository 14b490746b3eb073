"""A long soundscape: one street after another, with sirens that come and go and sounds that are taken for them.

It is kept as a seed and rebuilt stretch by stretch, so an hour of it needs the memory of five minutes. Streets and real
sirens are recordings that training keeps back whole; without recordings the streets are synthetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import signal

from sirend.audio.stream import SAMPLE_RATE_HZ, SILENCE_DBFS, to_samples
from sirend.simulate import sirens, synthesis
from sirend.simulate.background import synthetic_street
from sirend.simulate.balance import BACKGROUND_DBFS
from sirend.simulate.levels import SNR_BAND_HZ
from sirend.simulate.street import Air, DriveBy, drive_by
from sirend.simulate.truth import AUDIBLE_DB
from sirend.training import confusers
from sirend.training.trials import looped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sirend.audio.stream import Pcm
    from sirend.training.corpus import Corpus

SLOT_S = 50.0
"""At most one siren each, so that the call for one is over before the next: 5 s at least, and 3 s of release."""
SIREN_S = 30.0
STRETCH_SLOTS = 6
CONFUSER_S = 12.0
SNRS_DB = (-10.0, -5.0, 0.0, 5.0, 10.0, 20.0)
STARTS_M = (150.0, 300.0, 600.0)
"""Where a simulated siren is when it is switched on."""
_SPEED_KMH = 60.0
_FADE_S = 1.0
_STEP_S = 0.1


@dataclass(frozen=True, slots=True)
class Siren:
    """One siren of a stretch."""

    at_s: float
    name: str
    """Profile and name of a simulated one, else ``recorded``."""
    clip: int | None
    """Place of a recorded one in the corpus."""
    snr_db: float
    """RMS of its loudest second over the street's in the band of the simulator."""
    start_m: float


@dataclass(frozen=True, slots=True)
class Stretch:
    """Five minutes: one street to a slot, and what sounds in it."""

    seed: int
    streets: tuple[int, ...]
    """Places in the corpus, one for each slot; empty when they are synthetic."""
    sirens: tuple[Siren, ...]
    confusers: tuple[tuple[float, str, float], ...]
    """Begin in s, kind, SNR in dB; they overlap sirens and each other."""

    @property
    def seconds(self) -> float:
        """Length, s."""
        return SLOT_S * STRETCH_SLOTS


def plan_stretches(hours: float, seed: int, streets: Sequence[int] = (), recorded: Sequence[int] = ()) -> list[Stretch]:
    """Return stretches for at least ``hours``; a siren in half of the slots, every other recorded if any are."""
    rng = np.random.default_rng((seed, 11))
    named = sorted(sirens.CALLING)
    kinds = sorted(confusers.confuser_kinds())
    out = []
    count = 0
    for number in range(int(np.ceil(hours * 3600.0 / (SLOT_S * STRETCH_SLOTS)))):
        passing = []
        for slot in sorted(rng.choice(STRETCH_SLOTS, STRETCH_SLOTS // 2, replace=False)):
            clip = int(rng.choice(recorded)) if len(recorded) and count % 2 else None
            profile, name = named[count % len(named)]
            passing.append(
                Siren(
                    at_s=float(slot * SLOT_S + rng.uniform(3.0, SLOT_S - SIREN_S - 8.0)),
                    name=f"{profile} {name}" if clip is None else "recorded",
                    clip=clip,
                    snr_db=float(rng.choice(SNRS_DB)),
                    start_m=float(rng.choice(STARTS_M)),
                )
            )
            count += 1
        strange = tuple(
            (
                float(rng.uniform(0.0, SLOT_S * STRETCH_SLOTS - CONFUSER_S)),
                str(kinds[int(rng.integers(len(kinds)))]),
                float(rng.uniform(0.0, 15.0)),
            )
            for _ in range(STRETCH_SLOTS)
        )
        chosen = tuple(int(each) for each in rng.choice(streets, STRETCH_SLOTS)) if len(streets) else ()
        out.append(Stretch(seed + number, chosen, tuple(passing), strange))
    return out


def render_stretch(stretch: Stretch, corpus: Corpus | None = None) -> tuple[Pcm, list[tuple[float, float] | None]]:
    """Return the sound, float32[n], and for each siren from when to when it is audible, s; None where it never is."""
    rng = np.random.default_rng((stretch.seed, 13))
    slots = [_street(corpus, index, rng) for index in stretch.streets or range(-STRETCH_SLOTS, 0)]
    street = np.concatenate(slots)
    around = street.copy()
    for begin_s, kind, snr_db in stretch.confusers:
        _add(around, street, confusers.draw_confuser(rng, to_samples(CONFUSER_S), kind), begin_s, snr_db)
    out = around.copy()
    audible = []
    for siren in stretch.sirens:
        alone = np.zeros_like(street)
        _add(alone, street, _voice(siren, corpus, rng), siren.at_s, siren.snr_db)
        out += alone
        audible.append(_audible(alone, street))
    return np.asarray(out / max(1.0, float(np.max(np.abs(out)))), dtype=np.float32), audible


def _street(corpus: Corpus | None, index: int, rng: np.random.Generator) -> Pcm:
    samples = to_samples(SLOT_S)
    pcm = synthetic_street(samples, rng) if corpus is None or index < 0 else looped(corpus.audio(index), samples)
    level = 10.0 ** (BACKGROUND_DBFS / 20.0) / max(1e-6, float(np.sqrt(np.mean(np.square(pcm)))))
    return np.asarray(pcm * level, dtype=np.float32)


def _voice(siren: Siren, corpus: Corpus | None, rng: np.random.Generator) -> Pcm:
    """Return the siren as it arrives, float32[n]; a simulated one is off after 30 s."""
    samples = to_samples(SIREN_S)
    if siren.clip is not None and corpus is not None:
        return looped(corpus.audio(siren.clip), samples // 2)
    tone = sirens.find_siren(*siren.name.split(" ", 1))
    geometry = DriveBy(siren.start_m, _SPEED_KMH, 8.0)
    length = geometry.source_samples(samples, SAMPLE_RATE_HZ, Air())
    source = synthesis.synthesise_cut(tone, length, SAMPLE_RATE_HZ, rng)
    return drive_by(source, geometry, SAMPLE_RATE_HZ, samples=samples)[0]


def _add(over: Pcm, street: Pcm, sound: Pcm, begin_s: float, snr_db: float) -> None:
    """Add ``sound`` to ``over`` from ``begin_s``, its loudest second ``snr_db`` over the street, faded at both ends."""
    begin = to_samples(begin_s)
    sound = sound[: len(over) - begin].copy()
    fade = np.linspace(0.0, 1.0, to_samples(_FADE_S), dtype=np.float32)
    sound[: len(fade)] *= fade
    sound[len(sound) - len(fade) :] *= fade[::-1]
    loudest = float(np.sqrt(np.max(_power(sound), initial=1e-12)))
    quiet = float(np.sqrt(np.mean(np.square(_in_band(street[begin : begin + len(sound)])))))
    gain = 10.0 ** (snr_db / 20.0) * max(quiet, 1e-5) / max(loudest, 1e-6)
    over[begin : begin + len(sound)] += np.float32(gain) * sound


def _audible(siren: Pcm, street: Pcm) -> tuple[float, float] | None:
    """Return from when to when the siren lies above ``AUDIBLE_DB`` under the street, confusers not counted."""
    # A street that falls silent, as some recordings do, makes nothing audible that is silent too.
    least = 10.0 ** (AUDIBLE_DB / 10.0) * (_power(street) + 10.0 ** (SILENCE_DBFS / 10.0))
    loud = np.flatnonzero(_power(siren) > least)
    return (float(loud[0]) * _STEP_S, float(loud[-1] + 1) * _STEP_S) if len(loud) else None


def _power(pcm: Pcm) -> np.ndarray:
    """Return the mean square in the band over the second around each tenth of a second, float64[n / 1600]."""
    step = to_samples(_STEP_S)
    steps = np.square(_in_band(pcm))[: len(pcm) // step * step].reshape(-1, step).mean(axis=1)
    return np.convolve(steps, np.full(10, 0.1), mode="same")


def _in_band(pcm: Pcm) -> np.ndarray:
    sections = signal.butter(4, SNR_BAND_HZ, "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    return np.asarray(signal.sosfilt(sections, np.asarray(pcm, np.float64)))
