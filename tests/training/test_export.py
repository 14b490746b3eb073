from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras
import numpy as np
import pytest
from tests.training.recipes import RECIPE, SITE_GAIN, TEMPORAL, WAKE

from sirend.detect import bundle as bundles
from sirend.detect import golden
from sirend.detect.bundle import OperatingPoint
from sirend.detect.features import log_mel, mel_frames
from sirend.training import export, patches, temporal, unheard, waking
from sirend.training.backbone import CLASSES, VEHICLES
from sirend.training.export import to_tflite
from sirend.training.published import OUTPUTS
from sirend.training.specs import EMBEDDING

if TYPE_CHECKING:
    from pathlib import Path

CALIBRATION = (1.5, -0.5)


@dataclass(frozen=True)
class Small:
    """A small backbone with all it has to say, and an untrained head."""

    speaking: keras.Model
    head: keras.Model

    @classmethod
    def drawn(cls) -> Small:
        keras.utils.set_random_seed(0)
        inputs = keras.Input((96, 64))
        pooled = keras.layers.GlobalAveragePooling1D()(inputs)
        embedding = keras.layers.Dense(EMBEDDING, activation="relu")(pooled)
        both = keras.layers.Concatenate()([embedding, keras.layers.Dense(len(CLASSES))(embedding)])
        return cls(keras.Model(inputs, both), temporal.temporal_network(TEMPORAL, OUTPUTS, 64))


@pytest.fixture(scope="module")
def small() -> Small:
    return Small.drawn()


@pytest.fixture(scope="module")
def written(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle of them."""
    out = tmp_path_factory.mktemp("models") / "siren-9.9.9"
    files = {
        "model.tflite": to_tflite(temporal.shipped_head(small.head)),
        "backbone.tflite": to_tflite(temporal.listener(small.head, small.speaking, TEMPORAL)),
        "wake.tflite": to_tflite(waking.wake_network(WAKE, 64)),
    }
    export.write_bundle(out, RECIPE, files, CALIBRATION, {"episodes": 3})
    return out


def test_a_bundle_says_how_it_is_used(written: Path) -> None:
    bundle = bundles.load(written)
    assert bundle.streaming.head.inputs == TEMPORAL.units
    assert bundle.streaming.patches.outputs == TEMPORAL.units + VEHICLES
    assert bundle.streaming.suspect == TEMPORAL.suspect
    assert bundle.streaming.site_gain == SITE_GAIN
    found = bundle.streaming.wake
    assert found is not None
    assert (found.over, found.over_sparing, found.hold_s, found.back) == (-2.0, -1.75, 1.5, 1)
    assert bundle.streaming.evidence is not None
    assert bundle.streaming.evidence.weight == TEMPORAL.evidence
    assert bundle.streaming.evidence.memory_s == TEMPORAL.evidence_memory_s
    assert (bundle.calibration.scale, bundle.calibration.offset) == (1.5, -0.5)
    assert bundle.point("strict") == OperatingPoint(0.9, 0.5, 1.0, 3.0)
    assert json.loads((written / "training.json").read_text()) == {"episodes": 3}


def test_its_golden_vectors_are_what_the_daemon_makes_of_the_sound(written: Path) -> None:
    with np.load(written / "golden.npz") as kept:
        features, score = golden.golden_outputs(bundles.load(written), kept["pcm"])
        assert features == pytest.approx(kept["features"], abs=1e-5)
        assert score == pytest.approx(kept["score"], abs=1e-5)
        assert len(score) == 113  # a window of two seconds at every quarter second of thirty


def test_folds_are_asked_as_the_daemon_asks(small: Small, written: Path) -> None:
    with np.load(written / "golden.npz") as kept:
        pcm, score = kept["pcm"].astype(np.float32) / np.float32(32768.0), kept["score"]
    mel = log_mel(RECIPE.features, mel_frames(RECIPE.features, pcm))
    cut = patches.cut(mel, patches.ends(RECIPE.features, len(mel), 1))
    said = keras.ops.convert_to_numpy(small.speaking(cut))
    head = temporal.quarters(small.head)(said, cut)
    vehicles = said[:, EMBEDDING : EMBEDDING + VEHICLES].max(axis=1)
    end_s, scores = unheard.listened(head, vehicles.astype(np.float64), TEMPORAL, CALIBRATION)
    assert len(set(score.round(4).ravel())) > 30  # the untrained network says something different each time
    assert scores[end_s >= 2.0] == pytest.approx(score.ravel(), abs=2e-3)


def test_an_older_bundle_stays_when_writing_fails_and_its_card_when_it_is_replaced(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (written / "MODEL_CARD.md").write_text("measured by hand")
    before = {path.name: path.read_bytes() for path in written.iterdir()}
    files = {name: before[name] for name in ("model.tflite", "backbone.tflite", "wake.tflite")}

    def fail() -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(export, "golden_pcm", fail)
        with pytest.raises(OSError, match="No space left"):
            export.write_bundle(written, RECIPE, files, (1.0, 0.0), {})
    assert {path.name: path.read_bytes() for path in written.iterdir()} == before

    export.write_bundle(written, RECIPE, files, CALIBRATION, {"episodes": 3})
    assert {path.name: path.read_bytes() for path in written.iterdir()} == before
    assert not written.with_name("siren-9.9.9.part").exists(), "what the failure left behind is gone"
