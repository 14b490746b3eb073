from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sirend.audio.stream import Block, Samples
from sirend.audio.windows import Windows
from sirend.detect import bundle as bundles
from sirend.detect.classifier import Classifier
from sirend.detect.features import Extractor, Spectrogram
from sirend.training.recipe import Recipe
from sirend.training.specs import EMBEDDING, PATCH_FRAMES, PLACES, FusedSpec, HeadSpec, StudentSpec

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    import tensorflow as tf

pytestmark = [
    pytest.mark.training,
    pytest.mark.timeout(600),
]

RECIPE = Recipe(name="siren-0.0.0", student=StudentSpec(filters=(4, 4, 4, 4, 4), auxiliary=8))
CALIBRATION = (1.5, -0.25)


@pytest.fixture(scope="module")
def export() -> ModuleType:
    from sirend.training import export as module  # noqa: PLC0415  TensorFlow only for the tests that need it

    return module


@pytest.fixture(scope="module")
def model() -> tf.keras.Model:
    import tensorflow as tf  # noqa: PLC0415

    from sirend.training import architectures  # noqa: PLC0415

    tf.keras.utils.set_random_seed(0)
    return architectures.student(RECIPE.features.frames, RECIPE.features.bands, RECIPE.student)


@pytest.fixture(scope="module")
def bundle(export: ModuleType, model: tf.keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "siren-0.0.0"
    export.write_bundle(out, RECIPE, model, CALIBRATION, {"windows": 3})
    return out


def test_a_written_bundle_is_loaded_with_all_that_was_given(bundle: Path) -> None:
    loaded = bundles.load(bundle)
    assert loaded.name == f"siren-0.0.0@{loaded.digest[:12]}"
    assert loaded.feature_spec == RECIPE.features
    assert loaded.operating == RECIPE.operating_point
    assert (loaded.calibration.scale, loaded.calibration.offset) == CALIBRATION
    assert loaded.hop_s == RECIPE.hop_s
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["recipe_sha256"] == RECIPE.digest
    assert json.loads((bundle / "training.json").read_text()) == {"windows": 3}
    assert {path.name for path in bundle.parent.iterdir()} == {bundle.name}


def test_the_runtime_gives_the_golden_features_and_scores(bundle: Path) -> None:
    loaded = bundles.load(bundle)
    with np.load(bundle / "golden.npz", allow_pickle=False) as golden:
        heard = Spectrogram.of(loaded.feature_spec, golden["pcm"].astype(np.float32) / np.float32(32768))
        np.testing.assert_allclose(heard.log, golden["features"], atol=1e-4)
        expected = 1 / (1 + np.exp(-(CALIBRATION[0] * golden["logit"] + CALIBRATION[1])))
        assert np.ptp(golden["logit"]) > 1e-3, "vectors that all score the same would prove nothing"
        scores = golden["score"]
    together = Classifier(loaded, approaches=4).score(heard)
    one = Classifier(loaded)
    np.testing.assert_allclose(together, expected, atol=1e-3)
    np.testing.assert_allclose(together, scores, atol=1e-6)
    np.testing.assert_allclose(
        [one.score(Spectrogram(heard.spec, each[np.newaxis]))[0] for each in heard.mel],
        together,
        atol=1e-5,
    )


def test_the_older_bundle_stays_when_writing_fails(
    bundle: Path, export: ModuleType, model: tf.keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(export, "golden", fail)
        with pytest.raises(OSError, match="No space left"):
            export.write_bundle(bundle, RECIPE, model, (1.0, 0.0), {})
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before

    export.write_bundle(bundle, RECIPE, model, CALIBRATION, {"windows": 3})
    assert bundles.load(bundle).calibration.scale == CALIBRATION[0]
    assert not bundle.with_name("siren-0.0.0.part").exists(), "what the failure left behind is gone"


@pytest.fixture(scope="module")
def fused(export: ModuleType, model: tf.keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle of two networks; what YAMNet's would say of a patch is told by one layer of random weights."""
    import tensorflow as tf  # noqa: PLC0415

    from sirend.training import architectures  # noqa: PLC0415
    from sirend.training.teacher import Teacher  # noqa: PLC0415

    tf.keras.utils.set_random_seed(1)
    patch = tf.keras.Input((PATCH_FRAMES, RECIPE.features.bands))
    flat = tf.keras.layers.Dense(EMBEDDING, activation="relu")(tf.keras.layers.GlobalAveragePooling1D()(patch))
    heads = tuple(architectures.head(HeadSpec(units=8), number) for number in range(3))
    rng = np.random.default_rng(1)
    teacher = Teacher(0.1 * rng.standard_normal((EMBEDDING, 521)), np.zeros(521), 1.0, 0.0, heads, 0.5)
    out = tmp_path_factory.mktemp("fused") / "siren-0.0.0"
    halved = replace(RECIPE, stored="float16")
    export.write_bundle(
        out,
        halved,
        architectures.fused(model, teacher, FusedSpec(highest=0.5)),
        CALIBRATION,
        {},
        tf.keras.Model(patch, flat),
    )
    return out


def test_two_networks_give_what_they_gave_before_they_were_exported(fused: Path) -> None:
    loaded = bundles.load(fused)
    assert loaded.backbone is not None
    assert loaded.backbone.places == PLACES
    with np.load(fused / "golden.npz", allow_pickle=False) as golden:
        expected = 1 / (1 + np.exp(-(CALIBRATION[0] * golden["logit"] + CALIBRATION[1])))
        np.testing.assert_allclose(golden["score"], expected, atol=0.01)


def test_windows_of_a_stream_score_as_each_would_alone(fused: Path) -> None:
    loaded = bundles.load(fused)
    spec = loaded.feature_spec
    pcm = 0.1 * np.random.default_rng(2).standard_normal((64_000, 2)).astype(np.float32)
    sliding = Windows(window=spec.window_samples, hop=4_000, channels=[0, 1])
    together, extractor = Classifier(loaded, approaches=2), Extractor(spec)
    for window in sliding.push(Block(Samples(0), pcm)):
        alone = Classifier(loaded, approaches=2).score(Spectrogram.of(spec, window.pcm))
        np.testing.assert_allclose(together.score(extractor.spectrogram(window)), alone, atol=1e-5)


def test_a_new_bundle_keeps_the_card_of_the_older(bundle: Path, export: ModuleType, model: tf.keras.Model) -> None:
    (bundle / "MODEL_CARD.md").write_text("measured by hand")
    export.write_bundle(bundle, RECIPE, model, CALIBRATION, {"windows": 3})
    assert (bundle / "MODEL_CARD.md").read_text() == "measured by hand"
