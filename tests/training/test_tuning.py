"""The backbone's last blocks learn, what lies before them stays, and a stopped tuning goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import keras
import numpy as np
import pytest

from sirend.training import backbone, checkpoint, tuning
from sirend.training.backbone import CLASSES, VEHICLES, Weights
from sirend.training.listening import Heard
from sirend.training.specs import EMBEDDING, PATCH_FRAMES, TuningSpec

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.training, pytest.mark.timeout(600)]

BANDS = 64
SPEC = TuningSpec(blocks=1, epochs=4, batch=8, learning_rate=3e-4, share=1.0)
TONE = slice(20, 24)
"""The bands in which what is labelled a siren lies."""


@pytest.fixture(scope="module")
def weights() -> Weights:
    """Return drawn weights in the order of the published ones."""
    keras.utils.set_random_seed(2)
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, (16, PATCH_FRAMES, BANDS)).astype(np.float32)
    tone = noise.copy()
    tone[..., TONE] += 8
    network = backbone.build(BANDS)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(np.concatenate([noise, tone]), training=True)  # so that sound reaches the last layer
    names = {1: ["kernel"], 3: ["beta", "moving_mean", "moving_variance"]}
    layers = [layer for layer in network.layers if layer.weights]
    found = [dict(zip(names[len(layer.weights)], layer.get_weights(), strict=True)) for layer in layers]
    apart = keras.ops.convert_to_numpy(network(tone) - network(noise)).mean(axis=0)
    kernel = rng.normal(0, 0.02, (EMBEDDING, 521)).astype(np.float32)
    kernel[:, list(CLASSES[:VEHICLES])] += 0.05 * (apart / np.linalg.norm(apart))[:, np.newaxis]
    return Weights((*found, {"kernel": kernel, "bias": np.zeros(521, np.float32)}))


@pytest.fixture(scope="module")
def heard(weights: Weights) -> Heard:
    """Return episodes of four patches of noise, half of which hold a tone and are labelled so."""
    rng = np.random.default_rng(1)
    until = tuple(PATCH_FRAMES + 50 * number for number in range(4))
    mel = rng.normal(0, 1, (12, until[-1], BANDS)).astype(np.float16)
    mel[::2, :, TONE] += 8
    label = np.zeros((12, len(until)), np.float32)
    label[::2] = 1.0
    label[0, 0] = np.nan
    network = backbone.backbone_network(BANDS, weights)
    cut = [mel[:, end - PATCH_FRAMES : end].astype(np.float32) for end in until]
    said = np.stack([keras.ops.convert_to_numpy(network(each)) for each in cut], axis=1).astype(np.float16)
    return Heard(said, mel, until, label, ((),) * 12)


def _apart(weights: Weights, heard: Heard, which: np.ndarray) -> float:
    """Return how far sirens lie over other sounds in the vehicle classes, in their logits."""
    network = backbone.backbone_network(BANDS, weights)
    assert heard.mel is not None
    cut = heard.mel[which, -PATCH_FRAMES:].astype(np.float32)
    said = keras.ops.convert_to_numpy(network(cut))[:, EMBEDDING : EMBEDDING + VEHICLES].max(axis=1)
    siren = heard.label[which, -1] > 0
    return float(said[siren].mean() - said[~siren].mean())


def test_only_the_last_blocks_and_the_classes_learn(weights: Weights, heard: Heard, tmp_path: Path) -> None:
    which = np.arange(8)
    after = tuning.fine_tuned(weights, heard, which, SPEC, tmp_path)
    assert len(after.layers) == len(weights.layers)
    pairs = list(zip(weights.layers[:-1], after.layers[:-1], strict=True))
    for before, now in pairs[:-4]:
        for name, values in before.items():
            np.testing.assert_array_equal(now[name], values)
    assert all((now["kernel"] != before["kernel"]).any() for before, now in (pairs[-4], pairs[-2]))
    kernel, learned = weights.layers[-1]["kernel"], after.layers[-1]["kernel"]
    assert (learned[:, list(CLASSES)] != kernel[:, list(CLASSES)]).any()
    rest = np.setdiff1d(np.arange(521), CLASSES)
    np.testing.assert_array_equal(learned[:, rest], kernel[:, rest])
    strange = np.arange(8, 12)
    assert _apart(after, heard, strange) > 1.2 * _apart(weights, heard, strange) > 0


def test_weights_go_a_part_of_the_way(weights: Weights, heard: Heard, tmp_path: Path) -> None:
    which = np.arange(8)
    whole = tuning.fine_tuned(weights, heard, which, SPEC, tmp_path)
    part = tuning.fine_tuned(weights, heard, which, replace(SPEC, share=0.25), tmp_path)
    for before, learned, now in zip(weights.layers, whole.layers, part.layers, strict=True):
        for name, values in now.items():
            np.testing.assert_allclose(values, 0.75 * before[name] + 0.25 * learned[name], atol=1e-6)


def test_a_tuning_that_was_stopped_goes_on(
    weights: Weights, heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "_KEPT_EACH", 1)
    which = np.arange(8)
    whole = tuning.fine_tuned(weights, heard, which, SPEC, tmp_path / "whole")
    keep, done = checkpoint.keep, list[int]()

    def stop(model: keras.Model, folder: Path, at: int, *rest: object) -> None:
        keep(model, folder, at, *rest)  # type: ignore[arg-type]
        done.append(at)
        if done == [1, 2, 3]:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "keep", stop)
    with pytest.raises(KeyboardInterrupt):
        tuning.fine_tuned(weights, heard, which, SPEC, tmp_path / "stopped")
    again = tuning.fine_tuned(weights, heard, which, SPEC, tmp_path / "stopped")
    assert done[3:5] == [4, 5]
    for one, other in zip(whole.layers, again.layers, strict=True):
        for name, values in one.items():
            np.testing.assert_allclose(other[name], values, atol=1e-5)
