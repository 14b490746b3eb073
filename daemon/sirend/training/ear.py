"""The ear: two short convolutions over the log-mel frames of a patch, beside the backbone's word on it.

The backbone was made to name sounds and says little of pitch; the ear keeps how bands rise and fall within a patch. It
hears no level: the mean over the patch is taken out, and each band is brought to the spread that it has in training.
"""

from __future__ import annotations

import keras

_KERNELS, _STRIDES = (8, 5), (4, 2)
"""Of frames of 10 ms: the first sees 80 ms, the second 190 ms."""


def shape(mel: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    """Return float32[batch, patches, n], how bands move within patches float32[batch, patches, 96, bands]."""
    net = mel - keras.ops.mean(mel, axis=(-2, -1), keepdims=True)
    net = keras.layers.BatchNormalization(center=False, scale=False, name="ear_spread")(net)
    for place, (kernel, stride) in enumerate(zip(_KERNELS, _STRIDES, strict=True)):
        net = keras.layers.Conv2D(filters, (1, kernel), (1, stride), use_bias=False, name=f"ear{place}")(net)
        net = keras.layers.ReLU()(keras.layers.BatchNormalization(name=f"ear_level{place}")(net))
    return keras.layers.LayerNormalization(name="ear_normalise")(keras.layers.Reshape((-1, _size(net)))(net))


def _size(net: keras.KerasTensor) -> int:
    return int(net.shape[-2]) * int(net.shape[-1])
