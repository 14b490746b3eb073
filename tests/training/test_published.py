"""The whole of a training with published weights, of a network and recordings that the test makes itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import keras
import numpy as np
import pytest
from tests.training import recipes

from sirend.detect import bundle as bundles
from sirend.training import backbone, published, streaming
from sirend.training.corpus import Clip, Corpus, Kind
from sirend.training.episodes import EpisodeSpec
from sirend.training.specs import TeacherSpec

if TYPE_CHECKING:
    from pathlib import Path

# Python 3.12 on warns of any thread when a process forks; those of other tests and of TensorFlow do no harm here.
pytestmark = [
    pytest.mark.training,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]

TEACHER = TeacherSpec("variables", "0" * 64, "nowhere")
PLAN = replace(
    recipes.RECIPE,
    teacher=TEACHER,
    episodes=EpisodeSpec(count=6),
    temporal=replace(recipes.TEMPORAL, ear=4, epochs=1, batch=2),
    held_out=0.5,
    calibration=(1.0, 0.0),
    stored="float16",
)


def _speaking(_bands: int, _weights: object) -> keras.Model:
    """Return a small network in YAMNet's place, which says as many numbers of a patch."""
    inputs = keras.Input((96, PLAN.features.bands))
    said = keras.layers.Dense(published.OUTPUTS, name="say")(keras.layers.GlobalAveragePooling1D()(inputs))
    return keras.Model(inputs, said)


def test_backbone_ear_and_head_become_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keras.utils.set_random_seed(0)
    speaking = _speaking(0, None)
    monkeypatch.setattr(backbone, "read_weights", lambda *_: None)
    monkeypatch.setattr(backbone, "backbone_network", lambda *_: speaking)
    rng = np.random.default_rng(1)
    rows = tuple(
        Clip(f"{n}.wav", "s", (Kind.EMERGENCY, Kind.OTHER)[n % 2], "x", f"s/{n}", "CC0", 3.0) for n in range(12)
    )
    recordings = Corpus(rows, tuple(rng.integers(-9_000, 9_000, 48_000).astype(np.int16) for _ in rows))
    made = published.published_backbone(PLAN, TEACHER, recordings, tmp_path, tmp_path / "work")
    out = tmp_path / "siren-9.9.9"
    streaming.train_streaming(PLAN, recordings, out, tmp_path / "work", made)
    bundle = bundles.load(out)
    assert bundle.streaming.patches.outputs == PLAN.temporal.units + backbone.VEHICLES
    assert bundle.streaming.head.inputs == PLAN.temporal.units
    assert bundle.streaming.wake is not None
    assert (bundle.streaming.wake.over, bundle.streaming.wake.back) == (-2.0, 1)
    assert "right_of_kept_back_before" not in json.loads((out / "training.json").read_text())
    with np.load(out / "golden.npz") as kept:
        assert np.ptp(kept["score"]) > 1e-3
