"""What a backbone says of drawn episodes, on disk: the head learns from these, and no episode is heard twice."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sirend.detect.features import log_mel, mel_frames
from sirend.detect.network import Network
from sirend.training import patches, work
from sirend.training.episodes import LABELS, SAMPLES, Episodes
from sirend.training.specs import PATCH_FRAMES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sirend.detect.features import FeatureSpec
    from sirend.training.corpus import Clip, Corpus
    from sirend.training.episodes import EpisodeSpec

SHARD = 100


@dataclass(frozen=True)
class Speaking:
    """A backbone as training asks it: by the runtime that the daemon has."""

    path: Path
    """Where it is from, to be named in errors."""
    network: bytes
    """TFLite file, float32[1, 96, bands] -> float32[1, outputs]."""
    outputs: int
    with_mel: bool = False
    """Whether what learns from it is given the frames too."""

    def load(self, features: FeatureSpec) -> Network:
        """Return it ready to be asked; raises ``ConfigError`` when it cannot be run."""
        shape = (PATCH_FRAMES, features.bands)
        return Network(self.path, self.network, rows=1, inputs=[shape], outputs=self.outputs)

    @property
    def digest(self) -> str:
        """Names all that decides what is kept of an episode."""
        return f"{hashlib.sha256(self.network).hexdigest()} {self.with_mel}"


@dataclass(frozen=True)
class Heard:
    """Episodes in the order drawn."""

    said: np.ndarray
    """float16[episodes, patches, outputs], patches half a second apart."""
    mel: np.ndarray | None
    """Log-mel frames float16[episodes, frames, bands]; None where no one asked for them."""
    until: tuple[int, ...]
    """Frames at which their patches end."""
    label: np.ndarray
    """float32[episodes, patches] at the ends of the patches; nan where undecided."""
    groups: tuple[tuple[str, ...], ...]
    """The recordings that went into each."""

    def without(self, left_out: str) -> np.ndarray:
        """Return the indices of the episodes in which the data set ``left_out`` had no part; all when it is empty."""
        part = f"{left_out}/"
        return np.flatnonzero([not left_out or not any(each.startswith(part) for each in one) for one in self.groups])


def hear_episodes(
    corpus: Corpus, spec: EpisodeSpec, features: FeatureSpec, speaking: Speaking, keep: Callable[[Clip], bool],
    folder: Path, *, seed: int, purpose: str,
) -> Heard:  # fmt: skip
    """Draw the episodes of ``spec`` that ``folder`` lacks, on all cores, and return all of them as heard."""

    def prepare() -> Callable[[int], dict[str, Any]]:
        episodes = Episodes(corpus, spec, keep)
        backbone = speaking.load(features)

        def one(shard: int) -> dict[str, Any]:
            rng = np.random.default_rng((seed, *purpose.encode(), shard))
            said, mel, label, groups = [], [], [], []
            for _ in range(min(SHARD, spec.count - shard * SHARD)):
                episode = episodes.episode(rng)
                frames = log_mel(features, mel_frames(features, episode.pcm))
                heard = patches.cut(frames, patches.ends(features, len(frames)))
                said.append(np.concatenate([backbone(patch[np.newaxis]) for patch in heard]).astype(np.float16))
                mel.append(frames.astype(np.float16))
                label.append(episode.label[patches.FIRST - 1 :: patches.EACH])
                groups.append(episode.groups)
            return {
                "said": np.stack(said), "label": np.stack(label), "groups": np.array(json.dumps(groups)),
                **({"mel": np.stack(mel)} if speaking.with_mel else {}),
            }  # fmt: skip

        return one

    described = [asdict(spec), features.digest, seed, purpose, corpus.digest(keep), LABELS, speaking.digest]
    shards = -(-spec.count // SHARD)
    parts = list(work.spread(prepare, shards, json.dumps(described), folder, title="drawing episodes"))
    groups = tuple(tuple(one) for part in parts for one in json.loads(str(part["groups"])))
    said, label = (np.concatenate([part[name] for part in parts]) for name in ("said", "label"))
    mel = np.concatenate([part["mel"] for part in parts]) if speaking.with_mel else None
    frames = 1 + (SAMPLES - features.frame_samples) // features.step_samples
    return Heard(said, mel, patches.ends(features, frames), label, groups)
