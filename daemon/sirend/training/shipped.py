"""The backbone of a bundle that is there already: it stays as it is, and the bundle's head learns on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ai_edge_litert import schema_py_generated as tflite

from sirend.detect.bundle import Head
from sirend.errors import ConfigError
from sirend.training import patches, temporal, waking
from sirend.training.backbone import VEHICLES
from sirend.training.episodes import LABEL_S
from sirend.training.listening import Speaking
from sirend.training.specs import PATCH_FRAMES
from sirend.training.tflite_file import TfliteFile
from sirend.training.waking import Waking

if TYPE_CHECKING:
    from pathlib import Path

    import keras

    from sirend.detect.bundle import Bundle
    from sirend.training.listening import Heard
    from sirend.training.recipe import Recipe


@dataclass(frozen=True)
class ShippedBackbone:
    """See ``streaming.Backbone``."""

    speaking: Speaking
    vehicles: int
    begin: temporal.HeadWeights
    bundle: Bundle

    def shipped(self, model: keras.Model) -> bytes:  # noqa: ARG002  it is the same for every head
        """Return the bundle's own backbone."""
        return self.speaking.network

    def waking(
        self,
        heard: Heard,
        which: np.ndarray,
        log_odds: np.ndarray,
        folder: Path,  # noqa: ARG002  it learns nothing
    ) -> Waking:
        """Return the bundle's own network, woken by less where it slept through sirens that the head has learned."""
        found = self.bundle.streaming.wake
        if found is None:
            raise ConfigError("recipe", [f"wake must be left out: {self.bundle.name} listens to everything"])
        said = waking.wake_log_odds(found.model_bytes, heard, which, self.bundle.feature_spec.bands)
        return Waking(found.model_bytes, waking.low_enough(said, log_odds, found.over))


def shipped_backbone(plan: Recipe, bundle: Bundle) -> ShippedBackbone:
    """Return that of ``bundle``; raise ``ConfigError`` when ``plan`` is of other networks than these."""
    spoken, units = bundle.streaming.patches, plan.temporal.units
    found = (bundle.feature_spec, bundle.streaming.head, spoken.patch_frames, spoken.outputs, spoken.step_s)
    head = Head(temporal.PLACES, patches.SPACING_S, units)
    if found != (plan.features, head, PATCH_FRAMES, units + VEHICLES, LABEL_S):
        raise ConfigError(
            "recipe", [f"features and temporal.units must be those of {bundle.name}, whose backbone the head learns on"]
        )
    return ShippedBackbone(
        Speaking(bundle.path, spoken.model_bytes, spoken.outputs, with_mel=True),
        units,
        head_weights(bundle.model_bytes),
        bundle,
    )


def head_weights(flatbuffer: bytes) -> temporal.HeadWeights:
    """Return the weights of a shipped head in the order in which ``temporal.head_network`` has them, float32."""
    file, found = TfliteFile.of(flatbuffer), list[np.ndarray]()
    file.unpack()
    for operator in file.graph.operators:
        is_convolution = file.is_of(operator, tflite.BuiltinOperator.CONV_2D)
        if is_convolution or file.is_of(operator, tflite.BuiltinOperator.FULLY_CONNECTED):
            kernel, bias = (file.constant(tensor) for tensor in operator.inputs[1:3])
            if kernel is None or bias is None:
                raise AssertionError("a head's weights are constants")
            # [units, 1, taps, inputs] of two dimensions, or [1, units], become what Keras has of one, or of none
            found += [kernel[:, 0].transpose(1, 2, 0) if is_convolution else kernel.T, bias]
    return found
