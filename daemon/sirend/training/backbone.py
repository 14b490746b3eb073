"""YAMNet's network as a Keras model, with its published weights.

MobileNet v1 (Howard et al. 2017) over log-mel frames, trained on AudioSet's 521 classes (TensorFlow Model Garden,
Apache-2.0). The backbone of what ships. The weights are read from the variables of its published SavedModel, which a
recipe names by digest; they are no part of this repository.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras

from sirend.errors import ConfigError
from sirend.training.specs import PATCH_FRAMES

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

VEHICLES = 4
"""The first of ``CLASSES``: emergency vehicles. Civil-defence sirens speak in the general siren class only."""
CLASSES = (
    316, 317, 318, 319,
    390, 391,
    302, 303, 304, 312, 313, 314, 324, 325, 327, 382, 383, 387, 388, 389, 392, 393, 394, 395, 396, 397, 475, 479, 495,
    497, 132, 24, 186, 191, 182, 153, 208, 72, 117, 106, 114, 86, 11, 20, 195, 198, 200, 307, 320, 309, 337, 338, 339,
    341, 419, 330, 331, 277, 294, 315, 323, 328,
)  # fmt: skip
"""Classes whose logits the head is given beside the embedding: vehicles, the general siren, civil defence, and what is
taken for them: horns, beeps, alarms, whistles, bells, music, animals, engines, tools, wind, vehicles."""

_DEPTHWISE_STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
_FILTERS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)


@dataclass(frozen=True)
class Weights:
    """The published variables, in the order of the layers."""

    layers: tuple[dict[str, np.ndarray], ...]


def read_weights(variables: Path, sha256: str) -> Weights:
    """Read the variables of the SavedModel whose data file is ``variables`` (``...data-00000-of-00001``).

    Raises ``ConfigError`` when the file is missing or is not the one that the recipe names.
    """
    import tensorflow as tf  # noqa: PLC0415  only its reader of SavedModels is needed, and it takes seconds to import

    try:
        digest = hashlib.sha256(variables.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(str(variables), [f"{error.strerror}; the recipe says where it is published"]) from error
    if digest != sha256:
        raise ConfigError(str(variables), [f"SHA-256 is {digest}, the recipe wants {sha256}"])
    reader = tf.train.load_checkpoint(str(variables).removesuffix(".data-00000-of-00001"))
    found: dict[int, dict[str, np.ndarray]] = {}
    for key in reader.get_variable_to_shape_map():
        if "/_yamnet/layer_with_weights-" in key:
            _, _, tail = key.partition("layer_with_weights-")
            number, name = tail.split("/")[:2]
            found.setdefault(int(number), {})[name] = reader.get_tensor(key)
    return Weights(tuple(found[number] for number in sorted(found)))


def build(bands: int) -> keras.Model:
    """Return the network of one patch: float32[batch, 96, bands] -> float32[batch, 1024]."""
    inputs = keras.Input((PATCH_FRAMES, bands), name="log_mel")
    net = keras.layers.Reshape((PATCH_FRAMES, bands, 1))(inputs)
    net = keras.layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False)(net)
    net = _normalise(net)
    for strides, filters in zip(_DEPTHWISE_STRIDES, _FILTERS, strict=True):
        net = keras.layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)(net)
        net = _normalise(net)
        net = keras.layers.Conv2D(filters, 1, padding="same", use_bias=False)(net)
        net = _normalise(net)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(net), name="yamnet")


def _normalise(net: keras.KerasTensor) -> keras.KerasTensor:
    net = keras.layers.BatchNormalization(epsilon=1e-4, scale=False)(net)
    return keras.layers.ReLU()(net)


def assembled(bands: int, weights: Weights) -> keras.Model:
    """Return the network of one patch with the published weights; the class layer is ``class_layer``."""
    model = build(bands)
    layers = [layer for layer in model.layers if layer.weights]
    order = {"kernel": 0, "depthwise_kernel": 0, "beta": 0, "moving_mean": 1, "moving_variance": 2}
    for layer, values in zip(layers, weights.layers[:-1], strict=True):
        layer.set_weights([values[name] for name in sorted(values, key=order.__getitem__)])
    return model


def class_layer(weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel float32[1024, 521] and bias float32[521] of the class logits."""
    return weights.layers[-1]["kernel"], weights.layers[-1]["bias"]


def kept_classes(weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel float32[1024, n] and bias float32[n] of the logits of ``CLASSES``."""
    kernel, bias = class_layer(weights)
    return kernel[:, list(CLASSES)], bias[list(CLASSES)]


def backbone_network(bands: int, weights: Weights) -> keras.Model:
    """Return the network of one patch with its embedding and, after it, the logits of ``CLASSES``."""
    model = assembled(bands, weights)
    classes = keras.layers.Dense(len(CLASSES), name="classes")
    both = keras.layers.Concatenate()([model.output, classes(model.output)])
    classes.set_weights(list(kept_classes(weights)))
    return keras.Model(model.input, both)
