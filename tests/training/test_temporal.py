from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import keras
import numpy as np
import pytest

from sirend.detect.features import FeatureSpec
from sirend.training import ear, patches, temporal
from sirend.training.backbone import CLASSES, VEHICLES
from sirend.training.listening import Heard
from sirend.training.published import OUTPUTS
from sirend.training.specs import EMBEDDING, PATCH_FRAMES, TemporalSpec

if TYPE_CHECKING:
    from pathlib import Path

SPEC = TemporalSpec(units=8, ear=4, epochs=2, batch=8)
BANDS = 8
FRAMES = 1198


def _shaken(spec: TemporalSpec = SPEC) -> keras.Model:
    """Return a head whose every weight differs from its start."""
    keras.utils.set_random_seed(0)
    model, rng = temporal.temporal_network(spec, OUTPUTS, BANDS), np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(variable.numpy() + rng.normal(0, 0.1, variable.shape))
    return model


@pytest.fixture(scope="module")
def episodes() -> Heard:
    """Return 24 episodes with labels that the first number said of a patch decides."""
    rng = np.random.default_rng(4)
    said = rng.normal(0, 1, (24, 23, OUTPUTS)).astype(np.float16)
    label = (said[..., 0] > 0).astype(np.float32)
    label[:, :3] = np.nan
    mel = rng.normal(-2, 1, (24, FRAMES, BANDS)).astype(np.float16)
    return Heard(said, mel, patches.ends(FeatureSpec(), FRAMES), label, ((),) * 24)


def test_its_ear_hears_how_bands_move_and_no_level() -> None:
    mel = keras.Input((None, PATCH_FRAMES, BANDS))
    listening = keras.Model(mel, ear.shape(mel, 4))
    rng = np.random.default_rng(3)
    given = rng.normal(-2, 1, (1, 2, PATCH_FRAMES, BANDS)).astype(np.float32)
    heard = keras.ops.convert_to_numpy(listening(given))
    assert heard.shape[:2] == (1, 2)
    assert keras.ops.convert_to_numpy(listening(given + 3.0)) == pytest.approx(heard, abs=1e-3)
    assert not np.allclose(keras.ops.convert_to_numpy(listening(given[:, :, ::-1])), heard, atol=0.1)


def test_the_shipped_head_says_what_the_trained_network_says_at_every_patch() -> None:
    model = _shaken()
    rng = np.random.default_rng(1)
    kernel, bias = rng.normal(0, 0.1, (EMBEDDING, len(CLASSES))), rng.normal(-6, 1, len(CLASSES))
    given, layer = keras.Input((PATCH_FRAMES, BANDS)), keras.layers.Dense(len(CLASSES))
    pooled = keras.layers.Dense(EMBEDDING, activation="relu")(keras.layers.GlobalAveragePooling1D()(given))
    speaking = keras.Model(given, keras.layers.Concatenate()([pooled, layer(pooled)]))
    layer.set_weights([kernel, bias])
    listener = temporal.listener(model, speaking, SPEC)
    head = temporal.shipped_head(model)
    mel = rng.normal(0, 1, (20, PATCH_FRAMES, BANDS)).astype(np.float32)
    embedding = keras.ops.convert_to_numpy(keras.Model(given, pooled)(mel))
    said = keras.ops.convert_to_numpy(listener(mel))
    assert said.shape == (20, SPEC.units + VEHICLES)
    classes = embedding @ kernel + bias
    assert said[:, SPEC.units :] == pytest.approx(classes[:, :VEHICLES], abs=1e-4)
    both = np.concatenate([embedding, classes], axis=1)[np.newaxis].astype(np.float32)
    whole = keras.ops.convert_to_numpy(model([both, mel[np.newaxis]]))[0]
    for newest in range(20):
        given_patches = np.zeros((1, temporal.PLACES, SPEC.units + 1), np.float32)
        first = max(0, newest - temporal.PLACES + 1)
        given_patches[0, temporal.PLACES - (newest - first + 1) :, :-1] = said[first : newest + 1, : SPEC.units]
        given_patches[0, temporal.PLACES - (newest - first + 1) :, -1] = 1.0
        assert float(head(given_patches)[0, 0]) == pytest.approx(whole[newest], abs=1e-4)


def test_what_lies_before_the_stream_cannot_be_heard() -> None:
    head, rng = temporal.shipped_head(_shaken()), np.random.default_rng(2)
    patches = rng.normal(0, 1, (1, temporal.PLACES, SPEC.units + 1)).astype(np.float32)
    patches[0, :, -1] = 0.0
    patches[0, -4:, -1] = 1.0
    silent = patches.copy()
    silent[0, :-4, :-1] = 0.0
    assert float(head(patches)[0, 0]) == pytest.approx(float(head(silent)[0, 0]), abs=1e-6)


def test_undecided_patches_teach_nothing(episodes: Heard, tmp_path: Path) -> None:
    undecided = replace(episodes, label=np.full_like(episodes.label, np.nan))
    model = temporal.fit_temporal(undecided, np.arange(24), replace(SPEC, epochs=1), tmp_path)
    keras.utils.set_random_seed(SPEC.seed)
    fresh = temporal.temporal_network(SPEC, OUTPUTS, BANDS)
    for learned, drawn in zip(model.trainable_variables, fresh.trainable_variables, strict=True):
        assert learned.numpy() == pytest.approx(drawn.numpy(), abs=1e-3)  # weight decay alone


def test_it_learns_what_the_labels_say_and_goes_on_after_its_last_epoch(episodes: Heard, tmp_path: Path) -> None:
    spec = replace(SPEC, epochs=6, learning_rate=0.01)
    first = temporal.fit_temporal(episodes, np.arange(24), spec, tmp_path)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert len(losses) == 6
    assert losses[-1] < 0.9 * losses[0]

    again = temporal.fit_temporal(episodes, np.arange(24), spec, tmp_path)
    for one, two in zip(first.weights, again.weights, strict=True):
        assert np.array_equal(one.numpy(), two.numpy())
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 6
    temporal.fit_temporal(episodes, np.arange(24), replace(SPEC, epochs=1, seed=5), tmp_path)
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 7, "another seed begins anew"
