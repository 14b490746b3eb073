"""What the backbone says of drawn episodes, on disk: the head learns from these, and no episode is heard twice."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sirend.detect.features import log_mel, mel_frames
from sirend.detect.network import Network
from sirend.training import patches, work
from sirend.training.backbone import CLASSES
from sirend.training.episodes import LABELS, Episodes
from sirend.training.specs import EMBEDDING, PATCH_FRAMES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sirend.detect.features import FeatureSpec
    from sirend.training.corpus import Clip, Corpus
    from sirend.training.episodes import EpisodeSpec

SHARD = 100
OUTPUTS = EMBEDDING + len(CLASSES)


@dataclass(frozen=True)
class Heard:
    """Episodes in the order drawn."""

    said: np.ndarray
    """float16[episodes, patches, OUTPUTS], patches half a second apart."""
    mel: np.ndarray
    """Log-mel frames float16[episodes, frames, bands]."""
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
    corpus: Corpus, spec: EpisodeSpec, features: FeatureSpec, network: Path, keep: Callable[[Clip], bool], folder: Path,
    *, seed: int, purpose: str,
) -> Heard:  # fmt: skip
    """Draw the episodes of ``spec`` that ``folder`` lacks, on all cores, and return all of them as heard.

    ``network`` is a TFLite file, float32[1, 96, bands] -> float32[1, OUTPUTS].
    """

    def prepare() -> Callable[[int], dict[str, Any]]:
        episodes = Episodes(corpus, spec, keep)
        backbone = Network(
            network, network.read_bytes(), rows=1, inputs=[(PATCH_FRAMES, features.bands)], outputs=OUTPUTS
        )

        def one(shard: int) -> dict[str, Any]:
            rng = np.random.default_rng((seed, *purpose.encode(), shard))
            said, mel, label, groups = [], [], [], []
            for _ in range(min(SHARD, spec.count - shard * SHARD)):
                episode = episodes.episode(rng)
                mel.append(log_mel(features, mel_frames(features, episode.pcm)).astype(np.float16))
                heard = patches.cut(mel[-1], patches.ends(features, len(mel[-1]))).astype(np.float32)
                said.append(np.concatenate([backbone(patch[np.newaxis]) for patch in heard]).astype(np.float16))
                label.append(episode.label[patches.FIRST - 1 :: patches.EACH])
                groups.append(episode.groups)
            return {
                "said": np.stack(said), "mel": np.stack(mel), "label": np.stack(label),
                "groups": np.array(json.dumps(groups)),
            }  # fmt: skip

        return one

    described = [asdict(spec), features.digest, seed, purpose, len(corpus), LABELS, "mel"]
    shards = -(-spec.count // SHARD)
    parts = list(work.spread(prepare, shards, json.dumps(described), folder, title="drawing episodes"))
    groups = tuple(tuple(one) for part in parts for one in json.loads(str(part["groups"])))
    said, mel, label = (np.concatenate([part[name] for part in parts]) for name in ("said", "mel", "label"))
    return Heard(said, mel, patches.ends(features, mel.shape[1]), label, groups)
