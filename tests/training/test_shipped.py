"""The backbone and the head of the bundle that ships, as training takes them up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from tests.training import recipes

from sirend.detect import bundle as bundles
from sirend.detect.network import Network
from sirend.errors import ConfigError
from sirend.training import patches, shipped, temporal, train
from sirend.training.listening import Heard
from sirend.training.waking import Waking

pytestmark = [pytest.mark.training, pytest.mark.timeout(600)]

PLAN = train.own_recipe(Path("siren-9.9.9"))


def test_the_head_that_ships_is_taken_up_as_it_is() -> None:
    bundle = bundles.load(bundles.find(None))
    head, units = bundle.streaming.head, PLAN.temporal.units
    ours = shipped.shipped_backbone(PLAN, bundle)
    model = temporal.head_network(PLAN.temporal, ours.speaking.outputs)
    model.set_weights(ours.begin)
    said = np.random.default_rng(0).normal(0.0, 1.0, (6, head.places, ours.speaking.outputs)).astype(np.float32)
    said = np.maximum(said, 0.0)
    exists = np.ones((6, head.places, 1), np.float32)
    judge = Network(bundle.path, bundle.model_bytes, rows=6, inputs=[(head.places, units + 1)], outputs=1)
    wanted = judge(np.concatenate([said[..., :units], exists], axis=2))[:, 0]
    assert np.ptp(wanted) > 0.1
    assert keras.ops.convert_to_numpy(model(said))[:, -1] == pytest.approx(wanted, abs=2e-3)


def test_the_backbone_that_ships_stays_byte_for_byte() -> None:
    bundle = bundles.load(bundles.find(None))
    ours = shipped.shipped_backbone(PLAN, bundle)
    assert ours.shipped(temporal.head_network(PLAN.temporal, 132)) == bundle.streaming.patches.model_bytes
    assert ours.vehicles == (bundle.streaming.evidence and bundle.streaming.evidence.first)


def test_what_wakes_it_stays_and_is_woken_by_less_where_it_slept_through_sirens(tmp_path: Path) -> None:
    bundle = bundles.load(bundles.find(None))
    ours, found = shipped.shipped_backbone(PLAN, bundle), bundle.streaming.wake
    assert found is not None
    mel = np.random.default_rng(0).normal(-3.0, 0.3, (2, 1198, bundle.feature_spec.bands)).astype(np.float16)
    until = patches.ends(bundle.feature_spec, 1198)
    said, label = np.zeros((2, len(until), 1), np.float16), np.zeros((2, len(until)), np.float32)
    heard = Heard(said, mel, until, label, ((), ()))
    nothing = ours.waking(heard, np.arange(2), label - 6.0, tmp_path)
    assert nothing == Waking(found.model_bytes, found.over)
    slept = ours.waking(heard, np.arange(2), label + 6.0, tmp_path)
    assert slept.network == found.model_bytes
    assert slept.over < found.over
    without = replace(ours, bundle=replace(bundle, streaming=replace(bundle.streaming, wake=None)))
    with pytest.raises(ConfigError, match=r"recipe: wake must be left out: siren-.* listens to everything"):
        without.waking(heard, np.arange(2), label, tmp_path)


def test_a_recipe_of_other_networks_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"recipe: features and temporal.units must be those of siren-.*@"):
        shipped.shipped_backbone(replace(PLAN, temporal=recipes.TEMPORAL), bundles.load(bundles.find(None)))
