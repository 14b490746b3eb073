"""Where the patches of a stream lie, and the patches themselves, as training takes them of log-mel frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sirend.audio.stream import to_samples
from sirend.training.episodes import LABEL_S
from sirend.training.specs import PATCH_FRAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sirend.detect.features import FeatureSpec

SPACING_S = 0.5
EACH = round(SPACING_S / LABEL_S)
"""Of the patches a quarter of a second apart, every so manieth is the head's own."""
FIRST = 4
"""The first patch that lies within the stream ends at 1 s: at the fourth label."""


def ends(spec: FeatureSpec, frames: int, each: int = EACH) -> tuple[int, ...]:
    """Return where the patches of a stream of so many frames end, in frames.

    They end at every ``each``th quarter of a second, on the grid on which the daemon's lie.
    """
    step = to_samples(LABEL_S)
    quarters = range(FIRST, (frames * spec.step_samples + spec.frame_samples) // step + 1, each)
    found = [(number * step - spec.frame_samples) // spec.step_samples + 1 for number in quarters]
    return tuple(end for end in found if end <= frames)


def cut(mel: np.ndarray, until: Sequence[int]) -> np.ndarray:
    """Return the patches [..., patches, 96, bands] of log-mel frames [..., frames, bands] that end at ``until``."""
    return np.stack([mel[..., end - PATCH_FRAMES : end, :] for end in until], axis=-3)
