"""The head: a causal network over eight seconds of what the backbone says of patches half a second apart.

While it learns it is given whole episodes and judges each of their patches; shipped, it is given the last fifteen and
judges the newest. Strided convolutions then compute only what that one judgement needs.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeAlias

import keras
import numpy as np
from tqdm import tqdm

from sirend.training import checkpoint, ear, patches
from sirend.training.backbone import CLASSES, VEHICLES
from sirend.training.specs import PATCH_FRAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sirend.training.listening import Heard
    from sirend.training.specs import TemporalSpec

log = logging.getLogger(__name__)

HeadWeights: TypeAlias = "Sequence[np.ndarray]"
"""Of a network, in the order of its layers."""
DILATIONS = (1, 2, 4)
PLACES = 15
"""Patches that the head looks back on: what three convolutions of three taps reach with these dilations."""
_UNDECIDED = -1.0
_SMOOTHING = 0.02
_TOGETHER = 64


def temporal_network(spec: TemporalSpec, outputs: int, bands: int) -> keras.Model:
    """Return what gives float32[batch, patches], a logit at each patch.

    It is given what was said of each patch, float32[batch, patches, outputs], the last ``CLASSES`` of it logits of
    classes, and the patches' log-mel frames float32[batch, patches, 96, bands].
    """
    said, mel = keras.Input((None, outputs)), keras.Input((None, PATCH_FRAMES, bands))
    return keras.Model([said, mel], _judged(_projected(said, mel, spec), spec))


def head_network(spec: TemporalSpec, outputs: int) -> keras.Model:
    """Return the same for a shipped backbone, whose ``outputs`` begin with the numbers that a head keeps of a patch."""
    said = keras.Input((None, outputs))
    return keras.Model(said, _judged(said[..., : spec.units], spec))


def _judged(net: keras.KerasTensor, spec: TemporalSpec) -> keras.KerasTensor:
    """Return float32[batch, patches], a logit at each patch, of what is kept of it, float32[batch, patches, units]."""
    for place, dilation in enumerate(DILATIONS):
        more = keras.layers.Dropout(spec.dropout / 2)(net)
        convolution = keras.layers.Conv1D(
            spec.units, 3, dilation_rate=dilation, padding="causal", activation="relu", name=f"reach{place}"
        )
        net = net + convolution(more)
    return keras.layers.Dense(1, name="judge")(net)[..., 0]


def _projected(said: keras.KerasTensor, mel: keras.KerasTensor, spec: TemporalSpec) -> keras.KerasTensor:
    """Return float32[batch, patches, units], all that the head keeps of each patch."""
    embedding = keras.layers.LayerNormalization(name="normalise")(said[..., : -len(CLASSES)])
    classes = _scaled(said[..., -len(CLASSES) :])
    heard = [
        keras.layers.Dropout(spec.dropout)(embedding),
        keras.layers.Dropout(spec.dropout / 2)(classes),
        keras.layers.Dropout(spec.dropout)(ear.shape(mel, spec.ear)),
    ]
    return keras.layers.Dense(spec.units, activation="relu", name="project")(keras.layers.Concatenate()(heard))


def _scaled(classes: keras.KerasTensor) -> keras.KerasTensor:
    """Bring class logits, which lie about -6 with a deviation of 3, to the size of the rest."""
    return (classes + 6.0) / 3.0


def listener(model: keras.Model, speaking: keras.Model, spec: TemporalSpec) -> keras.Model:
    """Return the shipped backbone: float32[batch, 96, bands] -> float32[batch, units + VEHICLES].

    ``speaking`` says float32[batch, n] of patches, the last ``CLASSES`` being logits. The first numbers are for the
    head ``model``, the last are the logits of the vehicle classes.
    """
    said, mel = speaking.output[:, None], speaking.input[:, None]
    net = _projected(said, mel, spec)[:, 0]
    vehicles = speaking.output[:, -len(CLASSES) :][:, :VEHICLES]
    shipped = keras.Model(speaking.input, keras.layers.Concatenate()([net, vehicles]), name="listener")
    for layer in shipped.layers:
        if layer.weights and layer not in speaking.layers:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    return shipped


def shipped_head(model: keras.Model) -> keras.Model:
    """Return the shipped head: float32[batch, PLACES, units + 1] -> float32[batch, 1], the logit of the newest patch.

    The last number of a patch is 1 where it exists; what lies before the stream counts as the zeros of causal padding.
    """
    units = model.get_layer("reach0").filters
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


def numbers(model: keras.Model) -> keras.Model:
    """Return the part of a head that says what it keeps of each patch, float32[batch, patches, units]."""
    return keras.Model(model.inputs, model.get_layer("project").output)


def asked(model: keras.Model, heard: Heard, which: np.ndarray) -> np.ndarray:
    """Return what ``model``, a head or a part of it, makes of the episodes ``which``, float32[episodes, ...]."""
    return np.concatenate(
        [
            keras.ops.convert_to_numpy(model(_inputs(heard, which[at : at + _TOGETHER])))
            for at in range(0, len(which), _TOGETHER)
        ]
    )


def _inputs(heard: Heard, which: np.ndarray) -> list[np.ndarray]:
    said = heard.said[which].astype(np.float32)
    return [said] if heard.mel is None else [said, patches.cut(heard.mel[which], heard.until).astype(np.float32)]


def quarters(model: keras.Model) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return what gives float64[patches], the head's logits of patches a quarter of a second apart.

    It is given what was said of them, float32[patches, n], and themselves, float32[patches, 96, bands]. As the daemon
    does it: the head looks back over patches half a second apart, those that end at full halves, and one between them
    takes the newest place for once.
    """
    project, shipped = numbers(model), shipped_head(model)

    def logits(said: np.ndarray, mel: np.ndarray) -> np.ndarray:
        kept = keras.ops.convert_to_numpy(project([said[np.newaxis], mel[np.newaxis]]))[0]
        history = np.zeros((len(kept), PLACES, kept.shape[1] + 1), np.float32)
        for number in range(len(kept)):
            before = range(number - (number % patches.EACH or patches.EACH), -1, -patches.EACH)
            taken = [number, *before][:PLACES][::-1]
            history[number, PLACES - len(taken) :, :-1] = kept[taken]
            history[number, PLACES - len(taken) :, -1] = 1.0
        return np.asarray(keras.ops.convert_to_numpy(shipped(history))[:, 0], np.float64)

    return logits


def fit_temporal(
    heard: Heard, which: np.ndarray, spec: TemporalSpec, folder: Path, begin: HeadWeights | None = None
) -> keras.Model:
    """Train on the episodes ``which`` of ``heard``: a head with its ear where there are frames, else a head alone.

    It learns on from the weights ``begin`` where there are some. Goes on from the last epoch that ``folder`` holds of
    the same recipe and episodes, and writes a line of ``log.jsonl`` there after each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(spec.seed)
    outputs = heard.said.shape[2]
    model = head_network(spec, outputs) if heard.mel is None else temporal_network(spec, outputs, heard.mel.shape[2])
    if begin is not None:
        model.set_weights(begin)
    batch = min(spec.batch, len(which))
    steps = len(which) // batch
    schedule = keras.optimizers.schedules.CosineDecay(
        spec.learning_rate / 10,
        max(1, steps * spec.epochs - steps),
        warmup_target=spec.learning_rate,
        warmup_steps=steps,
    )
    model.compile(keras.optimizers.AdamW(schedule, weight_decay=1e-4), loss=_loss)
    identity = _identity(heard, which, spec, begin or [])
    wanted = np.nan_to_num(heard.label, nan=_UNDECIDED).astype(np.float32)
    for epoch in range(checkpoint.resume(model, folder, identity), spec.epochs):
        order = which[np.random.default_rng((spec.seed, epoch)).permutation(len(which))]
        losses = []
        for step in tqdm(range(steps), desc=f"epoch {epoch + 1} of {spec.epochs}", unit="step", disable=None):
            drawn = np.sort(order[step * batch : (step + 1) * batch])
            losses.append(float(model.train_on_batch(_inputs(heard, drawn), wanted[drawn])))
            model.reset_metrics()
        checkpoint.keep(model, folder, epoch + 1, identity, losses)
    return model


def _loss(label: keras.KerasTensor, logit: keras.KerasTensor) -> keras.KerasTensor:
    """Return the mean cross entropy of float32[batch, patches] over what is decided."""
    known = keras.ops.cast(label > _UNDECIDED / 2, "float32")
    soft = keras.ops.clip(label, _SMOOTHING, 1.0 - _SMOOTHING)
    each = keras.losses.binary_crossentropy(soft[..., None], logit[..., None], from_logits=True)
    return keras.ops.sum(each * known) / keras.ops.maximum(keras.ops.sum(known), 1.0)


def _identity(heard: Heard, which: np.ndarray, spec: TemporalSpec, begin: HeadWeights) -> str:
    content = hashlib.sha256(np.ascontiguousarray(heard.said[which[::7]]).data)
    for array in (heard.label[which], *begin):
        content.update(np.ascontiguousarray(array).data)
    return json.dumps([asdict(spec), PATCH_FRAMES, len(which), heard.said.shape[1:], content.hexdigest()])
