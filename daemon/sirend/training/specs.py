"""What a recipe says of networks and their training. Free of TensorFlow: reading a recipe does not need it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

EMBEDDING = 1024
"""Numbers that the backbone says of a patch."""
PATCH_FRAMES = 96
"""YAMNet judges 0.96 s and knows the edges of its patch: run over longer input in one piece it loses its judgement."""
PLACES = (0, 50, 100)
"""Where patches begin in a window, frames: half a second apart, so that at any hop that divides half a second a window
has but one patch that no window before it had."""

Stored: TypeAlias = Literal["float32", "float16", "dynamic", "int8"]
"""How weights lie in a TFLite file: ``dynamic`` is int8 with activations quantised as they come, ``int8`` the same for
the backbone's convolutions over single places alone, with weights rounded by what they hear (``rounding``)."""


@dataclass(frozen=True)
class StudentSpec:
    """The small CNN; part of a recipe."""

    filters: tuple[int, int, int, int, int] = (24, 32, 64, 96, 128)
    dropout: float = 0.3
    auxiliary: int = 96
    """Principal components of the teacher's embedding that it also learns to predict while training; 0 for none."""


@dataclass(frozen=True)
class HeadSpec:
    """The siren head on the backbone; part of a recipe."""

    units: int = 128
    dropout: float = 0.5
    l2: float = 1e-4
    evidence: float = 0.5
    """Share of the backbone's own class evidence beside the heads' opinions in the log-odds, 0..1."""
    heads: int = 3
    """Heads fitted from different starts and averaged."""
    epochs: int = 8
    seed: int = 1


@dataclass(frozen=True)
class TemporalSpec:
    """The head over eight seconds of patches; part of a recipe."""

    units: int = 128
    ear: int = 48
    """Filters of the convolutions over the frames of a patch, beside the backbone."""
    dropout: float = 0.4
    epochs: int = 6
    batch: int = 16
    learning_rate: float = 1e-3
    evidence: float = 0.4
    """Share of the backbone's vehicle classes beside the head's logit, 0..1: chosen on recordings left out, for a
    network that learns it on mixtures discounts it."""
    evidence_memory_s: float = 0.0
    """Over how long the odds of those classes are averaged; 0 takes the newest patch alone."""
    suspect: float | None = None
    """Log-odds over which also the patches between those of the head are heard; None hears all."""
    seed: int = 1


@dataclass(frozen=True)
class PupilSpec:
    """The small network of one patch that learns what the large one says; part of a recipe."""

    filters: tuple[int, int, int, int] = (16, 32, 64, 96)
    units: int = 160
    dropout: float = 0.1
    steps: int = 16_000
    batch: int = 64
    learning_rate: float = 2e-3
    seed: int = 1


@dataclass(frozen=True)
class FusedSpec:
    """How the small network is shipped with its teacher; part of a recipe."""

    student: float = 0.5
    """Share of the small network in a weighted mean of log-odds, 0..1; heads and class evidence have the rest."""
    highest: float = 0.0
    """Share of the mean of the two highest of the three opinions beside that weighted mean, 0..1: what one opinion
    never learned, the two others may call."""
    head: HeadSpec = field(default_factory=lambda: HeadSpec(dropout=0.7))
    """Heads fitted more strictly than those that only teach: they must be sure of what they never heard."""


@dataclass(frozen=True)
class TeacherSpec:
    """Where the published weights are and how the head is fitted; part of a recipe."""

    variables: str
    """File with the variables of the SavedModel, relative to ``--teacher``."""
    sha256: str
    published: str
    """Where a user gets it."""
    head: HeadSpec = field(default_factory=HeadSpec)
    components: int = 96
    """Principal components of the embedding that the small network also learns."""


@dataclass(frozen=True)
class FitSpec:
    """How the small network is trained; part of a recipe."""

    steps: int = 6000
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    label_smoothing: float = 0.03
    hard_positive: float = 0.7
    """Weight of the label against the teacher's opinion where there is a siren; the teacher misses faint ones."""
    hard_negative: float = 0.5
    """The same where there is none; the teacher knows which everyday sounds are close to one."""
    auxiliary: float = 0.3
    """Weight of predicting the teacher's embedding."""
    mask_frames: int = 30
    mask_bands: int = 8
    """Longest run of frames and of bands that is blanked in a training window (SpecAugment)."""
