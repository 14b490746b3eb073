from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
from tests.training.recipes import TEMPORAL

from sirend.errors import InputError
from sirend.training import patches, streaming, temporal
from sirend.training.backbone import CLASSES, VEHICLES
from sirend.training.listening import Heard
from sirend.training.published import OUTPUTS
from sirend.training.specs import EMBEDDING


def test_head_and_vehicle_classes_have_their_shares() -> None:
    model = temporal.temporal_network(TEMPORAL, OUTPUTS, 64)
    rng = np.random.default_rng(1)
    said = rng.normal(0, 1, (2, 5, EMBEDDING + len(CLASSES))).astype(np.float16)
    mel = rng.normal(0, 1, (2, 500, 64)).astype(np.float16)
    heard = Heard(said, mel, (100, 150, 200, 250, 300), np.zeros((2, 5), np.float32), ((), ()))
    cut = patches.cut(mel, heard.until).astype(np.float32)
    head = keras.ops.convert_to_numpy(model([said.astype(np.float32), cut]))
    vehicles = said[:, :, EMBEDDING : EMBEDDING + VEHICLES].max(axis=2)
    now = replace(TEMPORAL, evidence=0.25, evidence_memory_s=0.0)
    assert streaming.fused_logits(model, heard, np.arange(2), now, EMBEDDING) == pytest.approx(
        0.75 * head + 0.25 * vehicles, abs=1e-4
    )
    odds = np.exp(vehicles.astype(np.float64))
    odds[:, 1:] = (odds[:, 1:] + odds[:, :-1]) / 2
    remembered = replace(now, evidence_memory_s=1.0)
    assert streaming.fused_logits(model, heard, np.arange(2), remembered, EMBEDDING) == pytest.approx(
        0.75 * head + 0.25 * np.log(odds), abs=1e-4
    )


def test_calibration_finds_the_log_odds_behind_a_logit() -> None:
    rng = np.random.default_rng(2)
    logit = rng.normal(0.0, 2.0, 40_000)
    siren = rng.random(40_000) < 1.0 / (1.0 + np.exp(-(1.7 * logit - 0.6)))
    assert streaming.calibrate(logit, siren) == pytest.approx((1.7, -0.6), abs=0.05)
    with pytest.raises(InputError, match="the network tells no siren from other sounds"):
        streaming.calibrate(-logit, siren)
