"""The head: a causal network over eight seconds of what the backbone says of patches half a second apart.

While it learns it is given whole episodes and judges each of their patches; shipped, it is given the last fifteen and
judges the newest. Strided convolutions then compute only what that one judgement needs.
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

from sirend.training import checkpoint
from sirend.training.backbone import CLASSES, VEHICLES
from sirend.training.episodes import LABEL_S
from sirend.training.specs import PATCH_FRAMES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sirend.training.specs import TemporalSpec

log = logging.getLogger(__name__)

DILATIONS = (1, 2, 4)
PLACES = 15
"""Patches that the head looks back on: what three convolutions of three taps reach with these dilations."""
SPACING_S = 0.5
EACH = round(SPACING_S / LABEL_S)
"""Of the patches a quarter of a second apart, every so manieth is the head's own."""
_UNDECIDED = -1.0
_SMOOTHING = 0.02


def network(spec: TemporalSpec, outputs: int) -> keras.Model:
    """Return float32[batch, patches, outputs] -> float32[batch, patches], a logit at each patch.

    The last ``CLASSES`` of what was said of a patch are logits of classes.
    """
    said = keras.Input((None, outputs))
    embedding = keras.layers.LayerNormalization(name="normalise")(said[..., : -len(CLASSES)])
    embedding = keras.layers.Dropout(spec.dropout)(embedding)
    classes = keras.layers.Dropout(spec.dropout / 2)(_scaled(said[..., -len(CLASSES) :]))
    net = keras.layers.Concatenate()([embedding, classes])
    net = keras.layers.Dense(spec.units, activation="relu", name="project")(net)
    for place, dilation in enumerate(DILATIONS):
        more = keras.layers.Dropout(spec.dropout / 2)(net)
        convolution = keras.layers.Conv1D(
            spec.units, 3, dilation_rate=dilation, padding="causal", activation="relu", name=f"reach{place}"
        )
        net = net + convolution(more)
    return keras.Model(said, keras.layers.Dense(1, name="judge")(net)[..., 0])


def _scaled(classes: keras.KerasTensor) -> keras.KerasTensor:
    """Bring class logits, which lie about -6 with a deviation of 3, to the size of the rest."""
    return (classes + 6.0) / 3.0


def listener(model: keras.Model, speaking: keras.Model) -> keras.Model:
    """Return the shipped backbone: float32[batch, 96, bands] -> float32[batch, units + VEHICLES].

    ``speaking`` says float32[batch, n] of patches, the last ``CLASSES`` being logits. The first numbers are for the
    head ``model``, the last are the logits of the vehicle classes.
    """
    normalise = keras.layers.LayerNormalization(name="normalise")
    project = keras.layers.Dense(model.get_layer("project").units, activation="relu", name="project")
    embedding, classes = speaking.output[:, : -len(CLASSES)], speaking.output[:, -len(CLASSES) :]
    net = project(keras.layers.Concatenate()([normalise(embedding), _scaled(classes)]))
    for layer in (normalise, project):
        layer.set_weights(model.get_layer(layer.name).get_weights())
    return keras.Model(speaking.input, keras.layers.Concatenate()([net, classes[:, :VEHICLES]]), name="listener")


def judge(model: keras.Model) -> keras.Model:
    """Return the shipped head: float32[batch, PLACES, units + 1] -> float32[batch, 1], the logit of the newest patch.

    The last number of a patch is 1 where it exists; what lies before the stream counts as the zeros of causal padding.
    """
    units = model.get_layer("project").units
    inputs = keras.Input((PLACES, units + 1), name="patches")
    exists = inputs[..., units:]
    net = inputs[..., :units] * exists
    for place in range(len(DILATIONS)):
        layer = keras.layers.Conv1D(units, 3, strides=2, activation="relu", name=f"reach{place}")
        exists = exists[:, 2::2]
        net = (net[:, 2::2] + layer(net)) * exists
        layer.set_weights(model.get_layer(layer.name).get_weights())
    last = keras.layers.Dense(1, name="judge")
    output = last(keras.layers.Flatten()(net))
    last.set_weights(model.get_layer("judge").get_weights())
    return keras.Model(inputs, output, name="head")


def quarters(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """Return what gives float64[patches], the head's logits of float32[patches, n] a quarter of a second apart.

    As the daemon does it: the head looks back over patches half a second apart, those that end at full halves, and one
    between them takes the newest place for once.
    """
    project, shipped = keras.Model(model.input, model.get_layer("project").output), judge(model)

    def logits(said: np.ndarray) -> np.ndarray:
        numbers = keras.ops.convert_to_numpy(project(said[np.newaxis]))[0]
        history = np.zeros((len(numbers), PLACES, numbers.shape[1] + 1), np.float32)
        for number in range(len(numbers)):
            before = range(number - (number % EACH or EACH), -1, -EACH)
            taken = [number, *before][:PLACES][::-1]
            history[number, PLACES - len(taken) :, :-1] = numbers[taken]
            history[number, PLACES - len(taken) :, -1] = 1.0
        return np.asarray(keras.ops.convert_to_numpy(shipped(history))[:, 0], np.float64)

    return logits


def fit(said: np.ndarray, label: np.ndarray, spec: TemporalSpec, folder: Path) -> keras.Model:
    """Train on float16[episodes, patches, n] with labels float32[episodes, patches], nan where undecided.

    Goes on from the last epoch that ``folder`` holds of the same recipe and episodes, and writes a line of
    ``log.jsonl`` there after each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(spec.seed)
    model = network(spec, said.shape[2])
    steps = max(1, len(said) // spec.batch)
    schedule = keras.optimizers.schedules.CosineDecay(
        spec.learning_rate / 10,
        max(1, steps * spec.epochs - steps),
        warmup_target=spec.learning_rate,
        warmup_steps=steps,
    )
    model.compile(keras.optimizers.AdamW(schedule, weight_decay=1e-4), loss=_loss)
    identity = _identity(said, label, spec)
    wanted = np.nan_to_num(label, nan=_UNDECIDED).astype(np.float32)
    for epoch in range(checkpoint.resume(model, folder, identity), spec.epochs):
        order = np.random.default_rng((spec.seed, epoch)).permutation(len(said))
        losses = []
        for step in tqdm(range(steps), desc=f"epoch {epoch + 1} of {spec.epochs}", unit="step"):
            drawn = np.sort(order[step * spec.batch : (step + 1) * spec.batch])
            losses.append(float(model.train_on_batch(said[drawn].astype(np.float32), wanted[drawn])))
            model.reset_metrics()
        checkpoint.keep(model, folder, epoch + 1, identity, losses)
    return model


def _loss(label: keras.KerasTensor, logit: keras.KerasTensor) -> keras.KerasTensor:
    """Return the mean cross entropy of float32[batch, patches] over what is decided."""
    known = keras.ops.cast(label > _UNDECIDED / 2, "float32")
    soft = keras.ops.clip(label, _SMOOTHING, 1.0 - _SMOOTHING)
    each = keras.losses.binary_crossentropy(soft[..., None], logit[..., None], from_logits=True)
    return keras.ops.sum(each * known) / keras.ops.maximum(keras.ops.sum(known), 1.0)


def _identity(said: np.ndarray, label: np.ndarray, spec: TemporalSpec) -> str:
    content = hashlib.sha256(np.ascontiguousarray(said[::7]).data)
    content.update(np.ascontiguousarray(label).data)
    return json.dumps([asdict(spec), PATCH_FRAMES, said.shape, content.hexdigest()])
