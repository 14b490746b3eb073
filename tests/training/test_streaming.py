from __future__ import annotations

import json
from typing import TYPE_CHECKING

import keras
import numpy as np
import pytest

from sirend.detect import bundle as bundles
from sirend.detect import golden
from sirend.detect.bundle import OperatingPoint
from sirend.errors import ConfigError
from sirend.training import streaming, temporal
from sirend.training.backbone import CLASSES, VEHICLES
from sirend.training.corpus import Corpus
from sirend.training.episodes import EpisodeSpec
from sirend.training.recipe import Recipe
from sirend.training.specs import EMBEDDING, TeacherSpec, TemporalSpec

if TYPE_CHECKING:
    from pathlib import Path

TEMPORAL = TemporalSpec(units=8, suspect=-1.5)
RECIPE = Recipe(
    name="siren-9.9.9",
    episodes=EpisodeSpec(),
    temporal=TEMPORAL,
    teacher=TeacherSpec("v", "ab", "there"),
    strict=OperatingPoint(0.9, 0.5, 1.0, 3.0),
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle of a small backbone and an untrained head."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((96, 64))
    pooled = keras.layers.GlobalAveragePooling1D()(inputs)
    backbone = keras.Model(inputs, keras.layers.Dense(EMBEDDING, activation="relu")(pooled))
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(0, 0.1, (EMBEDDING, len(CLASSES))), np.zeros(len(CLASSES))
    model = temporal.network(TEMPORAL)
    out = tmp_path_factory.mktemp("models") / "siren-9.9.9"
    listener = temporal.listener(model, backbone, kernel, bias)
    streaming.write(out, RECIPE, listener, temporal.judge(model), (1.5, -0.5), {"episodes": 3})
    return out


def test_a_bundle_says_how_it_is_used(written: Path) -> None:
    bundle = bundles.load(written)
    assert bundle.streaming is not None
    assert bundle.streaming.head.inputs == TEMPORAL.units
    assert bundle.streaming.patches.outputs == TEMPORAL.units + VEHICLES
    assert bundle.streaming.suspect == TEMPORAL.suspect
    assert bundle.streaming.evidence is not None
    assert bundle.streaming.evidence.weight == TEMPORAL.evidence
    assert (bundle.calibration.scale, bundle.calibration.offset) == (1.5, -0.5)
    assert bundle.point("strict") == OperatingPoint(0.9, 0.5, 1.0, 3.0)
    assert json.loads((written / "training.json").read_text()) == {"episodes": 3}


def test_its_golden_vectors_are_what_the_daemon_makes_of_the_sound(written: Path) -> None:
    with np.load(written / "golden.npz") as kept:
        features, score = golden.listen(bundles.load(written), kept["pcm"])
        assert features == pytest.approx(kept["features"], abs=1e-5)
        assert score == pytest.approx(kept["score"], abs=1e-5)
        assert len(score) == 113  # a window of two seconds at every quarter second of thirty


def test_head_and_vehicle_classes_have_their_shares() -> None:
    model = temporal.network(TEMPORAL)
    rng = np.random.default_rng(1)
    said = rng.normal(0, 1, (2, 5, EMBEDDING + len(CLASSES))).astype(np.float16)
    head = keras.ops.convert_to_numpy(model(said.astype(np.float32)))
    vehicles = said[:, :, EMBEDDING : EMBEDDING + VEHICLES].max(axis=2)
    assert streaming.fused(model, said, 0.25) == pytest.approx(0.75 * head + 0.25 * vehicles, abs=1e-4)


def test_a_recipe_that_lacks_something_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="strict"):
        streaming.train(Recipe(name="siren-9.9.9"), Corpus((), ()), tmp_path, tmp_path, tmp_path)
