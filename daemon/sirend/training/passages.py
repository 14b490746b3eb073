"""What networks are tried on that left sources out: their streets, sirens in these, and what is taken for a siren.

Each source is left out by one fold, and a passage is made of what its own fold left out and of synthetic sounds alone.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sirend.audio.stream import SAMPLE_RATE_HZ, to_samples
from sirend.simulate import sirens, synthesis
from sirend.simulate.scene import Scene, render_scene
from sirend.training import lookalikes
from sirend.training.channel import add_while_sounding
from sirend.training.corpus import Kind
from sirend.training.episodes import loudness
from sirend.training.trials import looped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sirend.audio.stream import Pcm
    from sirend.training.corpus import Clip, Corpus

LEAD_S = 4.0
"""Street before a siren begins."""
SIREN_S = 8.0
SNRS_DB = (-15.0, -10.0, -5.0, 0.0, 5.0, 10.0)
TONE_SNRS_DB = (0.0, 10.0, 20.0)
CUTS = 3
"""Cuts of one recording of a siren, at most."""
DRIVES, TONE_SEEDS, CONFUSER_SEEDS = 30, 4, 12
"""Drives in all, and drawings of each tone of the table and of each kind that is taken for a siren."""
LEAST_BED_S = 3.0
"""A street that is shorter is not mixed into."""
AUDIBLE_DB = -10.0
"""A siren that is mixed into a street is audible from where it is no fainter than this against itself."""
_AUDIBLE_STEP_S = 0.25
_SEED = 5
_NAMED = re.compile("alarm|wolf|whistle|siren", re.IGNORECASE)
"""A recording so named in a set of streets is no street: it counts with the other sounds."""
_LONGEST_S = 600.0
_SOUNDING_S = 10.0


@dataclass(frozen=True)
class Folds:
    """Which sources each fold leaves out."""

    sets: tuple[tuple[str, ...], ...] = (
        ("kaggle_sirens", "sg_street"), ("us8k", "tampere"), ("esc50", "uiowa", "alarms", "civil_new"),
    )  # fmt: skip
    """Whole data sets."""
    divided: tuple[str, ...] = ("sfx_ambience", "siren_new")
    """Sets of many sources, of which each fold leaves out its share of the recordings."""
    streets: tuple[str, ...] = ("sfx_ambience", "tampere", "sg_street", "uiowa", "kaggle_sirens")
    """Sets whose other sounds are streets."""

    def of(self, group: str) -> int | None:
        """Return the fold that leaves out the recording ``group``, "set/name"; None when all folds hear it."""
        name = group.partition("/")[0]
        if name in self.divided:
            return int.from_bytes(hashlib.sha256(group.encode()).digest()[4:8], "big") % len(self.sets)
        return next((fold for fold, sets in enumerate(self.sets) if name in sets), None)


@dataclass(frozen=True, slots=True)
class Passage:
    """One stream to listen to."""

    kind: str
    """``street``, ``other``, ``civil``, ``siren``, ``recorded``, ``tone``, ``confuser`` or ``drive``."""
    label: str
    """What it is, within its kind."""
    fold: int
    """Whose head is asked."""
    clips: tuple[int, ...] = ()
    """Cuts played one after the other; for what is mixed, the siren's cuts."""
    street: tuple[int, ...] = ()
    """The street's."""
    snr_db: float = float("nan")
    """Of what sounds over its street, both broadband."""
    seed: int = 0

    @property
    def begin_s(self) -> float:
        """When the siren begins."""
        return LEAD_S if self.street else 0.0

    def render(self, corpus: Corpus) -> Pcm:
        """Return the sound, float32[n] in [-1, 1], of at least a second."""
        if self.kind == "drive":
            return render_scene(_drive(self._rng(), self.seed)).pcm
        if not self.street:
            pcm = np.concatenate([corpus.audio(clip) for clip in self.clips])
            return pcm if len(pcm) > SAMPLE_RATE_HZ else np.pad(pcm, (SAMPLE_RATE_HZ - len(pcm), 1))
        wanted, lead = self._wanted(corpus), to_samples(LEAD_S)
        background = looped(np.concatenate([corpus.audio(clip) for clip in self.street]), lead + len(wanted))
        out = background.copy()
        out[lead:] = add_while_sounding(wanted.astype(np.float32), background[lead:], self.snr_db)
        return np.asarray(out / max(1.0, float(np.abs(out).max())), np.float32)

    def audible_s(self, corpus: Corpus) -> float:
        """Return when the siren is first as loud as ``AUDIBLE_DB`` under its level while it sounds.

        A recording's cut may begin seconds before that; where the siren is not mixed in, ``begin_s``.
        """
        if not self.street or self.kind not in ("siren", "tone"):
            return self.begin_s
        wanted = self._wanted(corpus)
        step = to_samples(_AUDIBLE_STEP_S)
        level = np.sqrt(np.mean(np.square(wanted[: len(wanted) // step * step].reshape(-1, step)), axis=1))
        is_audible = level >= loudness(wanted) * 10.0 ** (AUDIBLE_DB / 20.0)
        return self.begin_s + float(np.argmax(is_audible)) * _AUDIBLE_STEP_S

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng((17, self.seed))

    def _wanted(self, corpus: Corpus) -> Pcm:
        """Return what sounds over the street, float32[n]."""
        if self.kind == "confuser":
            return lookalikes.draw_lookalike(self._rng(), to_samples(_SOUNDING_S), self.label)[0]
        if self.kind == "tone":
            tone = sirens.find_siren(*self.label.split(" ", 1))
            return synthesis.synthesise_cut(tone, to_samples(SIREN_S), SAMPLE_RATE_HZ, self._rng())
        return looped(np.concatenate([corpus.audio(clip) for clip in self.clips]), to_samples(SIREN_S))


@dataclass(frozen=True, slots=True)
class RenderedPassage:
    """A passage, and what is known of it once it was rendered."""

    passage: Passage
    seconds: float
    """Its length."""
    audible_s: float
    """See ``Passage.audible_s``."""


def _drive(rng: np.random.Generator, seed: int) -> Scene:
    """Draw a vehicle that drives towards the microphone and ends at it."""
    profile, siren = sirens.CALLING[seed % len(sirens.CALLING)]
    return Scene(
        siren=siren, profile=profile, start_m=500.0, after_m=20.0, speed_kmh=float(rng.uniform(30, 70)),
        in_sight_m=float(rng.choice([100, 200, 400])), seed=seed,
    )  # fmt: skip


def plan_passages(corpus: Corpus, folds: Folds) -> list[Passage]:
    """Return all passages, those of a fold from its own sources."""
    rng = np.random.default_rng(_SEED)
    streets = {fold: _runs(corpus, _left_out(folds, fold, Kind.OTHER, folds.streets)) for fold in _numbers(folds)}
    out: list[Passage] = []
    for fold in _numbers(folds):
        out += [Passage("street", _label(corpus, run), fold, run) for run in streets[fold]]
        others = _runs(corpus, _left_out(folds, fold, Kind.OTHER, folds.streets, of_these=False))
        out += [Passage("other", _label(corpus, run), fold, run) for run in others]
        civil = _runs(corpus, _left_out(folds, fold, Kind.CIVIL_SIREN))
        out += [Passage("civil", _label(corpus, run), fold, run) for run in civil]
        beds = [run for run in streets[fold] if sum(corpus.clips[clip].seconds for clip in run) >= LEAST_BED_S]
        out += _sirens(corpus, rng, fold, _runs(corpus, _left_out(folds, fold, Kind.EMERGENCY)), beds)
        out += _synthetic(rng, fold, beds, len(folds.sets))
    return out


def _numbers(folds: Folds) -> range:
    return range(len(folds.sets))


def _left_out(
    folds: Folds, fold: int, kind: Kind, sets: Sequence[str] = (), *, of_these: bool = True
) -> Callable[[Clip], bool]:
    def keep(clip: Clip) -> bool:
        is_street = clip.set in sets and not _NAMED.search(f"{clip.label} {clip.group.partition('/')[2]}")
        is_one = not sets or is_street == of_these
        return clip.kind is kind and is_one and folds.of(clip.group) == fold

    return keep


def _runs(corpus: Corpus, keep: Callable[[Clip], bool]) -> list[tuple[int, ...]]:
    """Return the cuts of each recording in their order, those of long ones in parts."""
    groups: dict[str, list[int]] = {}
    for index in corpus.where(keep):
        groups.setdefault(corpus.clips[index].group, []).append(index)
    runs: list[tuple[int, ...]] = []
    for members in groups.values():
        part: list[int] = []
        for index in members:
            if part and sum(corpus.clips[each].seconds for each in part) > _LONGEST_S:
                runs.append(tuple(part))
                part = []
            part.append(index)
        runs.append(tuple(part))
    return runs


def _label(corpus: Corpus, run: Sequence[int]) -> str:
    return f"{corpus.clips[run[0]].group} {corpus.clips[run[0]].label}"


def _bed(rng: np.random.Generator, beds: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Draw a street to mix into: a few cuts of one recording."""
    run = beds[int(rng.integers(len(beds)))]
    first = int(rng.integers(len(run)))
    return run[first : first + 3]


def _sirens(
    corpus: Corpus,
    rng: np.random.Generator,
    fold: int,
    runs: Sequence[tuple[int, ...]],
    beds: Sequence[tuple[int, ...]],
) -> list[Passage]:
    out: list[Passage] = []
    for run in runs:
        for cut in range(min(CUTS, len(run))):
            first = len(run) * cut // min(CUTS, len(run))
            clips, label = run[first : first + 3], _label(corpus, run)
            out.append(Passage("recorded", label, fold, clips))
            street = _bed(rng, beds)
            out += [Passage("siren", label, fold, clips, street, snr_db) for snr_db in SNRS_DB]
    return out


def _synthetic(rng: np.random.Generator, fold: int, beds: Sequence[tuple[int, ...]], folds: int) -> list[Passage]:
    """Return the fold's share of synthetic sirens and of what is taken for one, in its streets."""
    out = [Passage("drive", str(seed), fold, seed=seed) for seed in range(fold, DRIVES, folds)]
    for number, (profile, siren) in enumerate(sirens.TONES):
        if siren == sirens.HORN or number % folds != fold:
            continue
        for seed in range(TONE_SEEDS):
            street, name = _bed(rng, beds), f"{profile} {siren}"
            out += [Passage("tone", name, fold, (), street, snr_db, 100 + seed) for snr_db in TONE_SNRS_DB]
    for number, kind in enumerate(sorted(lookalikes.lookalike_kinds())):
        for seed in range(CONFUSER_SEEDS):
            if (number + seed) % folds == fold:
                snr_db = float(rng.uniform(-10, 20))
                out.append(Passage("confuser", kind, fold, (), _bed(rng, beds), snr_db, 10_000 + seed))
    return out
