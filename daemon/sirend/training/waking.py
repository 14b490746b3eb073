"""The network that wakes the backbone: a hundredth of its work, and right in the end only where it says "nothing".

It learns from what head and backbone made of the same patches, not from labels: of a siren that those do not hear there
is nothing to wake for, and what they take for one they shall hear whole. Level, colour and pitch of what it is given
are moved about, for it must hold for microphones and sirens that are in no recording.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np
from tqdm import tqdm

from sirend.detect.network import Network
from sirend.training import checkpoint, export, patches
from sirend.training.specs import PATCH_FRAMES

if TYPE_CHECKING:
    from sirend.detect.features import Features
    from sirend.training.listening import Heard
    from sirend.training.specs import WakeSpec

LEVEL, COLOUR = 1.2, 0.8
"""How far a patch's level, and the slope from its lowest band to its highest, are moved: nepers, of 8.7 dB."""
SHIFT = 2
"""By how many bands it is moved at most."""
SLEPT = 0.05
"""Share of the patches that are taken for a siren which it may sleep at: those beside them wake it."""
_KERNEL, _STRIDES = (8, 3), (4, 2)
"""Of the first convolution, frames and bands."""
_GROWTH = ((2, 1), (4, 2), (4, 1), (8, 2))
"""Filters of the further ones, as multiples of the first, and their strides."""
_MOMENTUM = 0.95


@dataclass(frozen=True)
class Waking:
    """What ships of it."""

    network: bytes
    """A TFLite file, float32[1, 96, bands] -> float32[1, 1]."""
    over: float
    """Log-odds over which it wakes the backbone."""


def wake_network(spec: WakeSpec, bands: int) -> keras.Model:
    """Return float32[batch, 96, bands] log-mel -> float32[batch, 1], log-odds that a patch is worth the backbone."""
    layers = keras.layers
    inputs = keras.Input((PATCH_FRAMES, bands))
    net = layers.BatchNormalization(momentum=_MOMENTUM)(layers.Reshape((PATCH_FRAMES, bands, 1))(inputs))
    net = _normalised(layers.Conv2D(spec.filters, _KERNEL, _STRIDES, padding="same", use_bias=False)(net))
    for growth, stride in _GROWTH:
        net = _normalised(layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(net))
        net = _normalised(layers.Conv2D(growth * spec.filters, 1, use_bias=False)(net))
    pooled = [layers.GlobalAveragePooling2D()(net), layers.GlobalMaxPooling2D()(net)]
    return keras.Model(inputs, layers.Dense(1)(layers.Dropout(0.2)(layers.Concatenate()(pooled))), name="wake")


def _normalised(net: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=_MOMENTUM)(net))


def fit_wake(heard: Heard, which: np.ndarray, log_odds: np.ndarray, spec: WakeSpec, folder: Path) -> keras.Model:
    """Train on the episodes ``which``, of whose patches the backbone and its head said ``log_odds``.

    These are float[episodes, patches] of a siren, for ``which`` alone. Goes on from the last epoch that ``folder``
    holds of the same recipe and episodes, as ``temporal.fit_temporal`` does. Raises ``ValueError`` where ``heard`` has
    no frames.
    """
    mel = _frames(heard)
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(spec.seed)
    model = wake_network(spec, mel.shape[2])
    wanted = (1.0 / (1.0 + np.exp(-np.clip(log_odds, -30.0, 30.0)))).astype(np.float32)
    batch = min(spec.batch, wanted.size)
    steps = wanted.size // batch
    schedule = keras.optimizers.schedules.CosineDecay(spec.learning_rate, steps * spec.epochs)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(schedule, weight_decay=1e-4), loss=loss)
    content = hashlib.sha256(wanted.tobytes() + np.ascontiguousarray(mel[which[::7]]).data).hexdigest()
    identity = json.dumps([asdict(spec), wanted.shape, content])
    for epoch in range(checkpoint.resume(model, folder, identity), spec.epochs):
        rng = np.random.default_rng((spec.seed, epoch))
        order, losses = rng.permutation(wanted.size), []
        for step in tqdm(range(steps), desc=f"wake, epoch {epoch + 1} of {spec.epochs}", unit="step", disable=None):
            episode, place = np.divmod(order[step * batch : (step + 1) * batch], wanted.shape[1])
            drawn = [patches.cut(mel[which[e]], (heard.until[p],))[0] for e, p in zip(episode, place, strict=True)]
            given = moved(np.stack(drawn).astype(np.float32), rng)
            losses.append(float(model.train_on_batch(given, wanted[episode, place, np.newaxis])))
            model.reset_metrics()
        checkpoint.keep(model, folder, epoch + 1, identity, losses)
    return model


def wake_log_odds(network: bytes, heard: Heard, which: np.ndarray, bands: int) -> np.ndarray:
    """Return what a TFLite file says of the patches of the episodes ``which``, float64[episodes, patches]."""
    asked = Network(Path(export.WAKE_FILE), network, rows=1, inputs=[(PATCH_FRAMES, bands)], outputs=1)
    cut = (patches.cut(_frames(heard)[number], heard.until).astype(np.float32) for number in which)
    return np.array([[float(asked(patch)[0, 0]) for patch in each] for each in cut])


def asleep(said: np.ndarray, log_odds: np.ndarray, over: float) -> list[float]:
    """Return the share of patches that it sleeps at, 0..1: of those taken for no siren, and of those that are.

    ``said`` is what it says of patches of which backbone and head said ``log_odds``; over 0 they are taken for one.
    """
    return [
        round(float(np.mean(said[each] <= over)) if each.any() else 0.0, 4) for each in (log_odds <= 0, log_odds > 0)
    ]


def low_enough(said: np.ndarray, log_odds: np.ndarray, over: float) -> float:
    """Return ``over``, or less where otherwise it slept at more than ``SLEPT`` of what is taken for a siren."""
    sirens = said[log_odds > 0.0]
    return min(over, float(np.quantile(sirens, SLEPT))) if sirens.size else over


def _frames(heard: Heard) -> np.ndarray:
    """Return the log-mel frames of ``heard``; raise ``ValueError`` where it has none."""
    if heard.mel is None:
        raise ValueError("the network that wakes the backbone learns from frames")
    return heard.mel


def moved(mel: Features, rng: np.random.Generator) -> Features:
    """Return log-mel patches float32[n, frames, bands] at other levels, of another colour, some bands off."""
    count, bands = len(mel), mel.shape[2]
    out = mel + rng.uniform(-LEVEL, LEVEL, (count, 1, 1)).astype(np.float32)
    slope = rng.uniform(-COLOUR, COLOUR, (count, 1, 1)).astype(np.float32)
    out += slope * np.linspace(-1.0, 1.0, bands, dtype=np.float32)
    by = rng.integers(-SHIFT, SHIFT + 1, count)
    # What is moved in at an edge is the band that was there.
    places = np.clip(np.arange(bands) - by[:, np.newaxis], 0, bands - 1)
    return np.asarray(np.take_along_axis(out, places[:, np.newaxis, :], axis=2), np.float32)
