"""The networks: a small CNN of our own, a siren head on what YAMNet's network says of patches, and the two together.

Each gives one logit, float32[batch, 1]; calibration turns it into a probability.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np

from sirend.training.backbone import EMERGENCY
from sirend.training.specs import EMBEDDING, PLACES

if TYPE_CHECKING:
    from sirend.training.specs import FusedSpec, HeadSpec, StudentSpec
    from sirend.training.teacher import Teacher

layers = keras.layers

BATCH = 256
"""Windows judged at a time."""
STRIDES = ((3, 2), (2, 2), (2, 2), (2, 2), (1, 2))
"""Of time and frequency, a pair a convolution: steps of 0.24 s by 2 bands remain."""


def student(frames: int, bands: int, spec: StudentSpec) -> keras.Model:
    """Return the small CNN with outputs ``logit`` [batch, 1] and, when asked for, ``auxiliary`` [batch, n]."""
    inputs = keras.Input((frames, bands), name="log_mel")
    net = keras.ops.reshape(inputs, (-1, frames, bands, 1))  # the exported network takes any number of windows
    net = layers.Rescaling(0.4, 0.8)(net)  # log-mel of normalised windows: about mean -2, deviation 2.5
    for place, (filters, strides) in enumerate(zip(spec.filters, STRIDES, strict=True)):
        net = layers.Conv2D(filters, 5 if place == 0 else 3, strides=strides, padding="same", use_bias=False)(net)
        net = layers.BatchNormalization()(net)
        net = layers.ReLU()(net)
    net = keras.ops.reshape(net, (-1, net.shape[1], net.shape[2] * net.shape[3]))
    net = layers.Dropout(spec.dropout)(net)
    net = layers.Dense(128, activation="relu")(net)
    pooled = layers.Concatenate()([layers.GlobalAveragePooling1D()(net), layers.GlobalMaxPooling1D()(net)])
    pooled = layers.Dropout(spec.dropout)(pooled)
    outputs = {"logit": layers.Dense(1, name="logit")(pooled)}
    if spec.auxiliary:
        outputs["auxiliary"] = layers.Dense(spec.auxiliary, name="auxiliary")(pooled)
    return keras.Model(inputs, outputs, name="student")


def head(spec: HeadSpec, number: int) -> keras.Model:
    """Return the siren head: float32[batch, patches, embedding] -> logit float32[batch, 1]."""
    regular = keras.regularizers.l2(spec.l2)
    inputs = keras.Input((len(PLACES), EMBEDDING), name="embedding")
    net = layers.Dropout(spec.dropout)(inputs)
    net = layers.Dense(spec.units, activation="relu", kernel_regularizer=regular)(net)
    pooled = layers.Concatenate()([layers.GlobalAveragePooling1D()(net), layers.GlobalMaxPooling1D()(net)])
    pooled = layers.Dropout(spec.dropout)(pooled)
    logit = layers.Dense(1, kernel_regularizer=regular, name="logit")(pooled)
    return keras.Model(inputs, logit, name=f"head_{number}")


def evidence(embedding: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return the backbone's own opinion: the largest log-odds of an emergency class in any patch.

    ``embedding`` is [windows, patches, 1024], ``kernel`` and ``bias`` the class layer; the result float32[windows].
    """
    emergency = list(EMERGENCY)
    return np.asarray((embedding.astype(np.float32) @ kernel[:, emergency] + bias[emergency]).max(axis=(1, 2)))


def fused(small: keras.Model, teacher: Teacher, spec: FusedSpec) -> keras.Model:
    """Return small network, heads and class evidence as one: a sum of their log-odds, as ``spec`` weighs them.

    It takes ``log_mel`` float32[batch, frames, bands] and ``embedding`` float32[batch, places, 1024].
    """
    log_mel = keras.Input(small.input_shape[1:], name="log_mel")
    embedding = keras.Input((len(PLACES), EMBEDDING), name="embedding")
    classes = layers.Dense(len(EMERGENCY), name="classes")
    evidence = keras.ops.max(classes(embedding), axis=(1, 2))[:, None]
    classes.set_weights([teacher.kernel[:, list(EMERGENCY)], teacher.bias[list(EMERGENCY)]])
    own = small(log_mel)["logit"]
    headed = sum(head(embedding) for head in teacher.heads) / len(teacher.heads)
    known = teacher.scale * evidence + teacher.offset
    weighted = spec.student * own + (1.0 - spec.student) * (teacher.share * known + (1.0 - teacher.share) * headed)
    lowest = keras.ops.minimum(own, keras.ops.minimum(headed, known))
    logit = (1.0 - spec.highest) * weighted + spec.highest * (own + headed + known - lowest) / 2.0
    return keras.Model([log_mel, embedding], {"logit": logit}, name="fused")


def logits(model: keras.Model, *inputs: np.ndarray) -> np.ndarray:
    """Return the logit float32[n] that ``model`` gives for float[n, ...] of each of its inputs, in batches that fit."""
    parts = []
    for start in range(0, len(inputs[0]), BATCH):
        batch = [each[start : start + BATCH].astype(np.float32) for each in inputs]
        outputs = model(batch if len(batch) > 1 else batch[0], training=False)
        logit = outputs["logit"] if isinstance(outputs, dict) else outputs
        parts.append(keras.ops.convert_to_numpy(logit)[:, 0])
    return np.concatenate(parts)
