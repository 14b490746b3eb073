from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sirend import bundle as bundles
from sirend.classifier import Classifier
from sirend.features import log_spectrogram
from sirend.training.recipe import Recipe
from sirend.training.specs import ScreenSpec, StudentSpec

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

    from sirend.training import network  # noqa: PLC0415

    tf.keras.utils.set_random_seed(0)
    return network.student(RECIPE.features.frames, RECIPE.features.bands, RECIPE.student)


@pytest.fixture(scope="module")
def bundle(export: ModuleType, model: tf.keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "siren-0.0.0"
    export.write(out, RECIPE, model, CALIBRATION, {"windows": 3})
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
        features = log_spectrogram(loaded.feature_spec, golden["pcm"].astype(np.float32) / np.float32(32768))
        np.testing.assert_allclose(features, golden["features"], atol=1e-4)
        expected = 1 / (1 + np.exp(-(CALIBRATION[0] * golden["logit"] + CALIBRATION[1])))
        assert np.ptp(golden["logit"]) > 1e-3, "vectors that all score the same would prove nothing"
        scores = golden["score"]
    together = Classifier(loaded, approaches=4).score(features)
    one = Classifier(loaded)
    np.testing.assert_allclose(together, expected, atol=1e-3)
    np.testing.assert_allclose(together, scores, atol=1e-6)
    np.testing.assert_allclose([one.score(each[np.newaxis])[0] for each in features], together, atol=1e-5)


def test_the_older_bundle_stays_when_writing_fails(
    bundle: Path, export: ModuleType, model: tf.keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(export, "golden", fail)
        with pytest.raises(OSError, match="No space left"):
            export.write(bundle, RECIPE, model, (1.0, 0.0), {})
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before

    export.write(bundle, RECIPE, model, CALIBRATION, {"windows": 3})
    assert bundles.load(bundle).calibration.scale == CALIBRATION[0]
    assert not bundle.with_name("siren-0.0.0.part").exists(), "what the failure left behind is gone"


def test_a_screen_is_a_network_of_its_own_and_weights_may_be_halved(
    bundle: Path, export: ModuleType, model: tf.keras.Model, tmp_path: Path
) -> None:
    screen = export.Screened(model, (1.0, 0.0), ScreenSpec(at_least=0.3, stored="dynamic"))
    out = tmp_path / "siren-0.0.0"
    export.write(out, replace(RECIPE, stored="float16"), model, CALIBRATION, {}, screen)
    small, plain = bundles.load(out), bundles.load(bundle)
    assert small.screen is not None
    assert small.screen.at_least == 0.3
    assert len(small.model_bytes) < len(plain.model_bytes)
    with np.load(out / "golden.npz", allow_pickle=False) as golden:
        by_screen = 1 / (1 + np.exp(-golden["logit"]))
        expected = 1 / (1 + np.exp(-(CALIBRATION[0] * golden["logit"] + CALIBRATION[1])))
        clear = np.abs(by_screen - 0.3) > 0.05
        np.testing.assert_allclose(
            golden["score"][clear], np.where(by_screen >= 0.3, expected, by_screen)[clear], atol=0.05
        )


def test_a_new_bundle_keeps_the_card_of_the_older(bundle: Path, export: ModuleType, model: tf.keras.Model) -> None:
    (bundle / "MODEL_CARD.md").write_text("measured by hand")
    export.write(bundle, RECIPE, model, CALIBRATION, {"windows": 3})
    assert (bundle / "MODEL_CARD.md").read_text() == "measured by hand"
