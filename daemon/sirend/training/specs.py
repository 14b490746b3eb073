"""What a recipe says of networks and their training. Free of TensorFlow: reading a recipe does not need it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

EMBEDDING = 1024
"""Numbers that the backbone says of a patch."""
PATCH_FRAMES = 96
"""YAMNet judges 0.96 s and knows the edges of its patch: run over longer input in one piece it loses its judgement."""

Stored: TypeAlias = Literal["float32", "float16", "dynamic", "int8"]
"""How weights lie in a TFLite file: ``dynamic`` is int8 with activations quantised as they come, ``int8`` the same for
the backbone's convolutions over single places alone, with weights rounded by what they hear (``rounding``)."""


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
class WakeSpec:
    """The network that decides when the backbone is asked; part of a recipe."""

    over: float
    """Log-odds over which it is: chosen on streets left out."""
    over_sparing: float
    """The same for a site with little to spend."""
    hold_s: float = 2.0
    """For how long."""
    back: int = 2
    """Patches of the head before that which are heard too."""
    filters: int = 8
    """Of the first convolution; the last has eight times as many."""
    epochs: int = 5
    batch: int = 256
    learning_rate: float = 3e-3
    seed: int = 1


@dataclass(frozen=True)
class TeacherSpec:
    """Which published weights the backbone has; part of a recipe."""

    variables: str
    """File with the variables of the SavedModel, relative to ``--teacher``."""
    sha256: str
    published: str
    """Where a user gets it."""
