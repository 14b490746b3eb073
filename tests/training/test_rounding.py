"""Weights in int8: near what they were in float32, and refused where they are not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import keras
import numpy as np
import pytest
from tests.training import recipes
from tests.training.recipes import TEMPORAL

from sirend.errors import ConfigError
from sirend.training import published, rounding, temporal
from sirend.training.backbone import CLASSES
from sirend.training.corpus import Corpus
from sirend.training.export import to_tflite
from sirend.training.published import OUTPUTS
from sirend.training.specs import EMBEDDING

if TYPE_CHECKING:
    from sirend.detect.features import Features

pytestmark = [pytest.mark.training, pytest.mark.timeout(600)]

RECIPE = replace(recipes.RECIPE, stored="int8")


def heard(count: int, seed: int) -> Features:
    return np.random.default_rng(seed).normal(-3.0, 2.0, (count, 96, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def speaking() -> keras.Model:
    """Return a small backbone with a convolution over single places."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((96, 64))
    net = keras.layers.Reshape((96, 64, 1))(inputs)
    net = keras.layers.Conv2D(16, 3, strides=4, activation="relu")(net)
    net = keras.layers.Conv2D(32, 1, activation="relu")(net)
    embedding = keras.layers.Dense(EMBEDDING, activation="relu")(keras.layers.GlobalAveragePooling2D()(net))
    both = keras.layers.Concatenate()([embedding, keras.layers.Dense(len(CLASSES))(embedding)])
    return keras.Model(inputs, both)


def test_what_is_rounded_makes_good_what_others_lost() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(0.0, 1.0, (500, 24)) @ rng.normal(0.0, 1.0, (24, 24))  # they hear much the same
    weights = rng.normal(0.0, 1.0, (6, 24)).astype(np.float32)
    whole, scale = rounding.nearest(weights, inputs.T @ inputs / len(inputs))
    assert whole.dtype == np.int8
    assert np.abs(whole.astype(int)).max() <= 127
    plain = np.rint(weights / scale[:, np.newaxis])
    lost = [np.square(inputs @ (each * scale[:, np.newaxis] - weights).T).mean() for each in (whole, plain)]
    assert lost[0] < 0.5 * lost[1]


def test_a_network_says_nearly_the_same_of_what_it_was_not_rounded_on(speaking: keras.Model) -> None:
    plain = to_tflite(speaking, "int8")
    result = rounding.rounded(plain, heard(20, 1), heard(20, 2))
    before, after = (rounding.numbers_said(each, heard(20, 3)) for each in (plain, result))
    assert after == pytest.approx(before, abs=0.05 * float(np.abs(before).max()))
    assert not np.array_equal(after, before)
    assert to_tflite(speaking, "int8") == to_tflite(speaking, "float16")


def test_a_network_that_would_say_something_else_is_refused(
    speaking: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounding, "nearest", lambda weights, _: (np.ones(weights.shape, np.int8), weights.max(axis=1)))
    with pytest.raises(ConfigError, match="rounded to int8 it says something else"):
        rounding.rounded(to_tflite(speaking), heard(5, 1), heard(5, 2))


def test_a_recipe_says_how_the_backbone_is_stored(speaking: keras.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = temporal.listener(temporal.temporal_network(TEMPORAL, OUTPUTS, 64), speaking, TEMPORAL)
    monkeypatch.setattr(rounding, "sounds", lambda *_: (heard(20, 1), heard(20, 2)))
    nothing = Corpus((), ())
    small = published.packed_backbone(replace(RECIPE, stored="int8"), listener, nothing)
    plain = published.packed_backbone(replace(RECIPE, stored="float16"), listener, nothing)
    assert plain == to_tflite(listener, "float16")
    assert small == rounding.rounded(plain, heard(20, 1), heard(20, 2))
    assert small != plain
