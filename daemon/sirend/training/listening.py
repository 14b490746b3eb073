"""What the backbone says of drawn episodes, on disk: the head learns from these, and no episode is heard twice."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sirend.audio.stream import to_samples
from sirend.detect.features import log_mel, mel_frames
from sirend.detect.network import Network
from sirend.training import work
from sirend.training.backbone import CLASSES
from sirend.training.episodes import LABEL_S, LABELS, Episodes
from sirend.training.specs import EMBEDDING, PATCH_FRAMES
from sirend.training.temporal import EACH

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sirend.detect.features import Features, FeatureSpec
    from sirend.training.corpus import Clip, Corpus
    from sirend.training.episodes import EpisodeSpec

SHARD = 100
OUTPUTS = EMBEDDING + len(CLASSES)
FIRST = 4
"""The first patch that lies within the stream ends at 1 s: at the fourth label."""


@dataclass(frozen=True)
class Heard:
    """Episodes in the order drawn."""

    said: np.ndarray
    """float16[episodes, patches, OUTPUTS], patches half a second apart."""
    label: np.ndarray
    """float32[episodes, patches] at the ends of the patches; nan where undecided."""
    groups: tuple[tuple[str, ...], ...]
    """The recordings that went into each."""

    def without(self, left_out: str) -> np.ndarray:
        """Return the indices of the episodes in which the data set ``left_out`` had no part; all when it is empty."""
        part = f"{left_out}/"
        return np.flatnonzero([not left_out or not any(each.startswith(part) for each in one) for one in self.groups])


def ends(spec: FeatureSpec, frames: int, each: int = EACH) -> list[int]:
    """Return where the patches of a stream of so many frames end, in frames.

    They end at every ``each``th quarter of a second, on the grid on which the daemon's lie.
    """
    step = to_samples(LABEL_S)
    quarters = range(FIRST, (frames * spec.step_samples + spec.frame_samples) // step + 1, each)
    found = [(number * step - spec.frame_samples) // spec.step_samples + 1 for number in quarters]
    return [end for end in found if end <= frames]


def patches(spec: FeatureSpec, mel: Features, each: int = EACH) -> Features:
    """Return the log-mel patches float32[patches, 96, bands] of a stream's linear mel frames float32[frames, bands]."""
    return np.stack([log_mel(spec, mel[end - PATCH_FRAMES : end]) for end in ends(spec, len(mel), each)])


def listen(
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
            said, label, groups = [], [], []
            for _ in range(min(SHARD, spec.count - shard * SHARD)):
                episode = episodes.episode(rng)
                heard = patches(features, mel_frames(features, episode.pcm))
                said.append(np.concatenate([backbone(patch[np.newaxis]) for patch in heard]).astype(np.float16))
                label.append(episode.label[FIRST - 1 :: EACH])
                groups.append(episode.groups)
            return {"said": np.stack(said), "label": np.stack(label), "groups": np.array(json.dumps(groups))}

        return one

    described = [asdict(spec), features.digest, seed, purpose, len(corpus), LABELS]
    shards = -(-spec.count // SHARD)
    parts = list(work.spread(prepare, shards, json.dumps(described), folder, title="drawing episodes"))
    groups = tuple(tuple(one) for part in parts for one in json.loads(str(part["groups"])))
    return Heard(
        np.concatenate([part["said"] for part in parts]), np.concatenate([part["label"] for part in parts]), groups
    )


def sounds(
    corpus: Corpus, spec: EpisodeSpec, features: FeatureSpec, keep: Callable[[Clip], bool], folder: Path, *,
    seed: int, purpose: str,
) -> np.ndarray:  # fmt: skip
    """Return the log-mel frames of the episodes that ``listen`` hears, float16[episodes, frames, bands]."""

    def prepare() -> Callable[[int], dict[str, Any]]:
        episodes = Episodes(corpus, spec, keep)

        def one(shard: int) -> dict[str, Any]:
            rng = np.random.default_rng((seed, *purpose.encode(), shard))
            drawn = [episodes.episode(rng).pcm for _ in range(min(SHARD, spec.count - shard * SHARD))]
            return {"mel": np.stack([log_mel(features, mel_frames(features, pcm)) for pcm in drawn]).astype(np.float16)}

        return one

    described = json.dumps([asdict(spec), features.digest, seed, purpose, len(corpus), "mel"])
    parts = work.spread(prepare, -(-spec.count // SHARD), described, folder, title="drawing episodes again")
    return np.concatenate([part["mel"] for part in parts])
