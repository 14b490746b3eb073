"""A backbone of YAMNet's published weights, with an ear beside it that learns along with the head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sirend.errors import ConfigError
from sirend.training import backbone, rounding, temporal, waking
from sirend.training.export import to_tflite
from sirend.training.listening import Speaking
from sirend.training.specs import EMBEDDING
from sirend.training.waking import Waking

if TYPE_CHECKING:
    from pathlib import Path

    import keras
    import numpy as np

    from sirend.training.backbone import Weights
    from sirend.training.corpus import Corpus
    from sirend.training.listening import Heard
    from sirend.training.recipe import Recipe
    from sirend.training.specs import TeacherSpec

OUTPUTS = EMBEDDING + len(backbone.CLASSES)


@dataclass(frozen=True)
class PublishedBackbone:
    """See ``streaming.Backbone``."""

    plan: Recipe
    recordings: Corpus
    weights: Weights
    speaking: Speaking
    vehicles: int = EMBEDDING
    begin: None = None

    def shipped(self, model: keras.Model) -> bytes:
        """Return backbone and ear as a TFLite file, its weights stored as the recipe says."""
        speaking = backbone.backbone_network(self.plan.features.bands, self.weights)
        return packed_backbone(self.plan, temporal.listener(model, speaking, self.plan.temporal), self.recordings)

    def waking(self, heard: Heard, which: np.ndarray, log_odds: np.ndarray, folder: Path) -> Waking:
        """Return a network that learns when there is something to hear."""
        if self.plan.wake is None:
            raise ConfigError("recipe", ["without wake no network learns to wake the backbone"])
        model = waking.fit_wake(heard, which, log_odds, self.plan.wake, folder)
        return Waking(to_tflite(model), self.plan.wake.over)


def published_backbone(
    plan: Recipe, teacher: TeacherSpec, recordings: Corpus, published: Path, work: Path
) -> PublishedBackbone:
    """Return that of the weights in ``published``; its network is kept in ``work``.

    Raises ``ConfigError`` when the weights are not those that ``teacher`` names.
    """
    weights = backbone.read_weights(published / teacher.variables, teacher.sha256)
    path = work / "speaking.tflite"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(to_tflite(backbone.backbone_network(plan.features.bands, weights)))
    return PublishedBackbone(plan, recordings, weights, Speaking(path, path.read_bytes(), OUTPUTS, with_mel=True))


def packed_backbone(plan: Recipe, listener: keras.Model, recordings: Corpus) -> bytes:
    """Return the shipped backbone as a TFLite file, its weights stored as the recipe says.

    Those in int8 are rounded on what episodes of ``recordings`` sound like; raises ``ConfigError`` where it then says
    something else.
    """
    flatbuffer = to_tflite(listener, plan.stored)
    if plan.stored != "int8":
        return flatbuffer
    return rounding.rounded(flatbuffer, *rounding.sounds(plan, recordings))
