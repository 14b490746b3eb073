"""The pupil: a small network of one patch that learns what the large one says, for machines that it is too slow for.

Its teacher's numbers are those that the head takes of the backbone (``project``) and the backbone's class logits; the
pupil's own head then learns from what the pupil says. Cf. Hinton et al. 2015, "Distilling the knowledge in a neural
network"; here what is imitated are numbers within the network, not its last word.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import keras
import numpy as np
from tqdm import tqdm

from sirend.training import checkpoint, patches, temporal
from sirend.training.backbone import CLASSES, VEHICLES
from sirend.training.specs import EMBEDDING, PATCH_FRAMES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sirend.training.listening import Heard
    from sirend.training.specs import PupilSpec

_KEEP_STEPS = 1000
_VEHICLES_COUNT = 8.0
"""Weight of a vehicle's class against the other numbers: it is added to the head's word as it is."""


def pupil_network(bands: int, spec: PupilSpec, numbers: int) -> keras.Model:
    """Return float32[batch, 96, bands] -> float32[batch, numbers + CLASSES]."""
    inputs = keras.Input((PATCH_FRAMES, bands))
    net = keras.layers.Reshape((PATCH_FRAMES, bands, 1))(inputs)
    for place, filters in enumerate(spec.filters):
        net = keras.layers.Conv2D(filters, 3 if place else 5, 2, padding="same", use_bias=False, name=f"see{place}")(
            net
        )
        net = keras.layers.ReLU()(keras.layers.BatchNormalization(name=f"level{place}")(net))
    net = keras.layers.Dropout(spec.dropout)(keras.layers.Flatten()(net))
    net = keras.layers.Dense(spec.units, activation="relu", name="gather")(net)
    return keras.Model(inputs, keras.layers.Dense(numbers + len(CLASSES), name="say")(net))


def pupil_targets(model: keras.Model, heard: Heard) -> np.ndarray:
    """Return what the pupil shall say of all episodes, float16[episodes, patches, numbers + CLASSES].

    ``model`` is the head of the large network, which said what was ``heard``.
    """
    numbers = temporal.asked(temporal.numbers(model), heard, np.arange(len(heard.said)))
    return np.concatenate([numbers.astype(np.float16), heard.said[:, :, EMBEDDING:]], axis=2)


def fit_pupil(mel: np.ndarray, wanted: np.ndarray, ends: Sequence[int], spec: PupilSpec, folder: Path) -> keras.Model:
    """Train on log-mel float16[episodes, frames, bands] to say ``wanted`` float16[episodes, patches, numbers].

    ``ends`` tells at which frames the patches end.

    Goes on from the last thousand steps that ``folder`` holds of the same recipe and episodes, and writes a line of
    ``log.jsonl`` there after each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(spec.seed)
    numbers = wanted.shape[2] - len(CLASSES)
    model = pupil_network(mel.shape[2], spec, numbers)
    some = wanted[:: max(1, len(wanted) // 500)].reshape(-1, wanted.shape[2]).astype(np.float32)
    centre, spread = some.mean(axis=0), some.std(axis=0) + 0.1
    weight = np.ones(wanted.shape[2], np.float32)
    weight[numbers : numbers + VEHICLES] = _VEHICLES_COUNT
    model.get_layer("say").bias.assign(centre)
    schedule = keras.optimizers.schedules.CosineDecay(
        spec.learning_rate / 10, max(1, spec.steps - _KEEP_STEPS), warmup_target=spec.learning_rate,
        warmup_steps=min(_KEEP_STEPS, spec.steps // 4),
    )  # fmt: skip

    def loss(given: keras.KerasTensor, said: keras.KerasTensor) -> keras.KerasTensor:
        return keras.ops.mean(weight * keras.ops.square((given - said) / spread))

    model.compile(keras.optimizers.AdamW(schedule, weight_decay=1e-4), loss=loss)
    identity = json.dumps([asdict(spec), mel.shape, hashlib.sha256(np.ascontiguousarray(wanted[::7]).data).hexdigest()])
    done = checkpoint.resume(model, folder, identity)
    losses: list[float] = []
    for step in tqdm(range(done, spec.steps), desc="teaching the pupil", unit="step", initial=done, total=spec.steps):
        rng = np.random.default_rng((spec.seed, step))
        episode = rng.integers(len(mel), size=spec.batch)
        patch = rng.integers(wanted.shape[1], size=spec.batch)
        seen = np.stack([mel[e, ends[p] - PATCH_FRAMES : ends[p]] for e, p in zip(episode, patch, strict=True)])
        losses.append(float(model.train_on_batch(seen.astype(np.float32), wanted[episode, patch].astype(np.float32))))
        model.reset_metrics()
        if (step + 1) % _KEEP_STEPS == 0 or step + 1 == spec.steps:
            checkpoint.keep(model, folder, step + 1, identity, losses)
            losses.clear()
    return model


def says(model: keras.Model, mel: np.ndarray, ends: Sequence[int]) -> np.ndarray:
    """Return what the pupil says, float16[episodes, patches, n], of float16[episodes, frames, bands]."""
    out = []
    for episode in mel:
        seen = patches.cut(episode, ends).astype(np.float32)
        out.append(keras.ops.convert_to_numpy(model(seen)).astype(np.float16))
    return np.stack(out)
