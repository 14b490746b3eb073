"""Every bundle in the repository is what its manifest, its recipe and its golden vectors say."""

import json
from pathlib import Path

import numpy as np
import pytest

from sirend.cli.check import SCORE_TOLERANCE
from sirend.detect import bundle as bundles
from sirend.detect.golden import golden_outputs
from sirend.training import recipe

MODELS = Path(__file__).parents[2] / "models"
BUNDLES = sorted(MODELS.glob("siren-*"))


def test_a_model_ships() -> None:
    assert BUNDLES


@pytest.mark.parametrize("folder", BUNDLES, ids=lambda folder: folder.name)
def test_a_bundle_gives_its_golden_features_and_scores(folder: Path) -> None:
    bundle = bundles.load(folder)
    with np.load(folder / "golden.npz", allow_pickle=False) as golden:
        features, score = golden_outputs(bundle, golden["pcm"])
        np.testing.assert_allclose(features, golden["features"], atol=1e-4)
        np.testing.assert_allclose(score, golden["score"], atol=SCORE_TOLERANCE)


@pytest.mark.parametrize("folder", BUNDLES, ids=lambda folder: folder.name)
def test_a_bundle_names_its_recipe_and_has_its_card(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    digests = [recipe.load_recipe(path).digest for path in MODELS.glob("*.yaml")]
    assert manifest["recipe_sha256"] in digests
    assert bundles.load(folder).name in (folder / "MODEL_CARD.md").read_text()
