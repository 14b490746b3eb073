"""The backbone learns on: its last blocks, from patches of drawn episodes, so that it knows a siren in a street.

Its published weights were learned from recordings as people publish them, where a siren is the loudest. The four
vehicle classes are asked of patches in which it lies up to 18 dB under a street, and of whatever is taken for one; what
the other classes say of a patch is held to what they said before, and the weights go but a part of the way, so that no
general knowledge is lost for it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING

import keras
import numpy as np
from tqdm import tqdm

from sirend.training import backbone, checkpoint
from sirend.training.backbone import CLASSES, VEHICLES, Weights
from sirend.training.specs import EMBEDDING, PATCH_FRAMES
from sirend.training.streaming import calibrate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sirend.training.listening import Heard
    from sirend.training.specs import TuningSpec

log = logging.getLogger(__name__)

_KEPT_EACH = 500
"""Steps after which what was learned is kept on disk."""
_LONGEST_STEP = 1.0
"""Norm that a gradient is cut to."""
_OTHERS = slice(EMBEDDING + VEHICLES, EMBEDDING + len(CLASSES))


def fine_tuned(weights: Weights, heard: Heard, which: np.ndarray, spec: TuningSpec, folder: Path) -> Weights:
    """Return ``weights`` after they learned from the episodes ``which`` of ``heard``, as they were heard with them.

    Goes on from the last step that ``folder`` holds of the same weights, episodes and ``spec``.
    """
    if heard.mel is None:
        raise AssertionError("patches are cut from the frames of the episodes")
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(spec.seed)
    network = backbone.backbone_network(heard.mel.shape[2], weights)
    _open_blocks(network, spec.blocks)
    places = np.argwhere(np.isfinite(heard.label[which]))
    places[:, 0] = which[places[:, 0]]
    total = spec.epochs * len(places) // spec.batch
    schedule = keras.optimizers.schedules.CosineDecay(
        spec.learning_rate / 10, total, warmup_target=spec.learning_rate, warmup_steps=max(1, total // 10)
    )
    optimizer = keras.optimizers.Adam(schedule, global_clipnorm=_LONGEST_STEP)
    network.compile(optimizer, loss=_loss(*_calibration(heard, places), spec.others))
    identity = _identity(weights, heard, which, spec)
    losses: list[float] = []
    begin = checkpoint.resume(network, folder, identity)
    for step in tqdm(range(begin, total), desc="tuning the backbone", unit="step", initial=begin, disable=None):
        losses.append(float(network.train_on_batch(*_batch(heard, places, spec, step))))
        network.reset_metrics()
        if (step + 1) % _KEPT_EACH == 0 or step + 1 == total:
            checkpoint.keep(network, folder, step + 1, identity, losses[-_KEPT_EACH:])
    return _blended(weights, _weights_of(network, weights), spec.share)


def _blended(before: Weights, after: Weights, share: float) -> Weights:
    """Return weights a ``share`` of the way from ``before`` to ``after``."""
    return Weights(
        tuple(
            {name: values + np.float32(share) * (now[name] - values) for name, values in then.items()}
            for then, now in zip(before.layers, after.layers, strict=True)
        )
    )


def _open_blocks(network: keras.Model, blocks: int) -> None:
    """Let the last ``blocks`` pairs of convolutions learn, and the classes; what they are normalised by stays."""
    begins = [place for place, each in enumerate(network.layers) if isinstance(each, keras.layers.DepthwiseConv2D)]
    for place, layer in enumerate(network.layers):
        layer.trainable = place >= begins[-blocks] and not isinstance(layer, keras.layers.BatchNormalization)


def _calibration(heard: Heard, places: np.ndarray) -> tuple[float, float]:
    """Return scale and offset that make log-odds of a siren in these patches of the largest vehicle class's logit."""
    said = heard.said[places[:, 0], places[:, 1], EMBEDDING : EMBEDDING + VEHICLES]
    return calibrate(said.max(axis=1).astype(np.float64), heard.label[places[:, 0], places[:, 1]] > 0)


def _loss(
    scale: float, offset: float, others: float
) -> Callable[[keras.KerasTensor, keras.KerasTensor], keras.KerasTensor]:
    """Return the loss of float32[batch, outputs] against labels, and what the other classes said, side by side."""

    def loss(wanted: keras.KerasTensor, said: keras.KerasTensor) -> keras.KerasTensor:
        vehicles = keras.ops.max(said[:, EMBEDDING : EMBEDDING + VEHICLES], axis=1, keepdims=True)
        wrong = keras.losses.binary_crossentropy(wanted[:, :1], scale * vehicles + offset, from_logits=True)
        moved = keras.ops.mean(keras.ops.square(said[:, _OTHERS] - wanted[:, 1:]), axis=1)
        return keras.ops.mean(wrong + others * moved)

    return loss


def _batch(heard: Heard, places: np.ndarray, spec: TuningSpec, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Return patches and what is wanted of them; each epoch has every patch once, in an order of its own."""
    each = len(places) // spec.batch
    order = np.random.default_rng((spec.seed, step // each)).permutation(len(places))
    episode, patch = places[order[step % each * spec.batch :][: spec.batch]].T
    if heard.mel is None:
        raise AssertionError("see above")
    cut = [heard.mel[e, heard.until[p] - PATCH_FRAMES : heard.until[p]] for e, p in zip(episode, patch, strict=True)]
    wanted = np.column_stack([heard.label[episode, patch], heard.said[episode, patch, _OTHERS]])
    return np.stack(cut).astype(np.float32), wanted.astype(np.float32)


def _weights_of(network: keras.Model, before: Weights) -> Weights:
    """Return what ``network`` has learned, in the order of the published layers."""
    layers = [layer for layer in network.layers if layer.weights]
    convolutions = [
        dict(zip(backbone.order_of(values), layer.get_weights(), strict=True))
        for layer, values in zip(layers[:-1], before.layers[:-1], strict=True)
    ]
    kernel, bias = (values.copy() for values in backbone.class_layer(before))
    kernel[:, list(CLASSES)], bias[list(CLASSES)] = layers[-1].get_weights()
    return Weights((*convolutions, {"kernel": kernel, "bias": bias}))


def _identity(weights: Weights, heard: Heard, which: np.ndarray, spec: TuningSpec) -> str:
    content = hashlib.sha256()
    for array in (*weights.layers[-2].values(), heard.said[which[::7]], heard.label[which]):
        content.update(np.ascontiguousarray(array).data)
    learned = {name: value for name, value in asdict(spec).items() if name not in ("share", "synthetic")}
    return json.dumps([learned, len(which), content.hexdigest()])
