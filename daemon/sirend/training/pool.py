"""A pool of drawn windows on disk: features, labels, what went in, and what the teacher makes of them.

Written in shards, each seeded by its own number: a stopped run goes on where it was, and the number of workers does not
change what is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from sirend.detect.features import Spectrogram
from sirend.detect.network import Network
from sirend.training.scenes import Scenes, SceneSpec
from sirend.training.specs import EMBEDDING, PATCH_FRAMES, PLACES
from sirend.training.work import workers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sirend.detect.features import FeatureSpec
    from sirend.training.corpus import Clip, Corpus

SHARD = 500


@dataclass(frozen=True)
class PoolSpec:
    """What a pool is made of; part of a recipe."""

    scenes: SceneSpec
    features: FeatureSpec
    windows: int
    seed: int
    purpose: str
    """Windows for another purpose are drawn from another seed."""
    teacher: Path | None = None
    """TFLite file: float32[1, patch frames, bands] -> float32[1, embedding]; None for no teacher."""


@dataclass(frozen=True)
class Pool:
    """Windows in the order drawn."""

    features: np.ndarray
    """float16[windows, frames, bands]."""
    siren: np.ndarray
    """bool[windows]."""
    snr_db: np.ndarray
    """float32[windows]; see ``Scene.snr_db``."""
    sets: np.ndarray
    """str[windows], the sets that went in, joined by ``+``."""
    kind: np.ndarray
    """str[windows]."""
    embedding: np.ndarray | None
    """float16[windows, patches, embedding] of the teacher."""

    def without(self, left_out: str) -> np.ndarray:
        """Return the indices of the windows in which ``left_out`` had no part; all of them when it is empty."""
        if not left_out:
            return np.arange(len(self.sets))
        return np.flatnonzero([left_out not in sets.split("+") for sets in self.sets])


def make(corpus: Corpus, spec: PoolSpec, keep: Callable[[Clip], bool], folder: Path) -> Pool:
    """Draw what ``folder`` lacks from the clips that ``keep`` accepts, on all cores; return the whole pool."""
    folder.mkdir(parents=True, exist_ok=True)
    shards = -(-spec.windows // SHARD)
    missing = [n for n in range(shards) if not (folder / f"{n:05d}.npz").exists()]
    if missing:
        with workers(len(missing), _Worker.start, corpus, spec, keep, folder) as processes:
            done = processes.imap_unordered(_Worker.write, missing)
            for _ in tqdm(done, total=len(missing), desc="drawing windows", unit="shard"):
                pass
    return _read(folder, shards)


def _read(folder: Path, shards: int) -> Pool:
    parts: dict[str, list[np.ndarray]] = {}
    for number in range(shards):
        with np.load(folder / f"{number:05d}.npz") as shard:
            for name in shard.files:
                parts.setdefault(name, []).append(shard[name])
    whole = {}
    for name in list(parts):
        whole[name] = np.concatenate(parts.pop(name))
    return Pool(embedding=whole.pop("embedding", None), **whole)


class _Worker:
    """State of one worker process: the corpus it inherited and its own interpreter."""

    scenes: Scenes
    spec: PoolSpec
    folder: Path

    @classmethod
    def start(cls, corpus: Corpus, spec: PoolSpec, keep: Callable[[Clip], bool], folder: Path) -> None:
        cls.scenes = Scenes(corpus, spec.scenes, spec.features.window_samples, keep)
        cls.spec, cls.folder = spec, folder

    @classmethod
    def write(cls, number: int) -> None:
        rng = np.random.default_rng((cls.spec.seed, *cls.spec.purpose.encode(), number))
        drawn = [cls.scenes.draw(rng) for _ in range(SHARD)]
        heard = [Spectrogram.of(cls.spec.features, scene.pcm[np.newaxis]) for scene in drawn]
        arrays = {
            "features": np.concatenate([each.log for each in heard]).astype(np.float16),
            "siren": np.array([scene.siren for scene in drawn]),
            "snr_db": np.array([scene.snr_db for scene in drawn], dtype=np.float32),
            "sets": np.array(["+".join(sorted(scene.sets)) for scene in drawn], dtype="U64"),
            "kind": np.array([scene.kind for scene in drawn], dtype="U32"),
        }
        if cls.spec.teacher is not None:
            arrays["embedding"] = embeddings(cls.spec.teacher, heard)
        unfinished = cls.folder / f"{number:05d}.part"
        with unfinished.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
        unfinished.rename(cls.folder / f"{number:05d}.npz")


def embeddings(teacher: Path, heard: Sequence[Spectrogram]) -> np.ndarray:
    """Return what the teacher says of each patch of each window: float16[windows, places, embedding]."""
    frames, bands = PATCH_FRAMES, heard[0].spec.bands
    network = Network(teacher, teacher.read_bytes(), rows=1, inputs=[(frames, bands)], outputs=EMBEDDING)
    out = np.empty((len(heard), len(PLACES), EMBEDDING), dtype=np.float16)
    for each, embedding in zip(heard, out, strict=True):
        for number, place in enumerate(PLACES):
            embedding[number] = network(each.patch(place, frames))[0]
    return out
