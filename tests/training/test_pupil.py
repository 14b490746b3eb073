from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import keras
import numpy as np
import pytest

from sirend.training import pupil, temporal
from sirend.training.backbone import CLASSES
from sirend.training.listening import OUTPUTS, Heard
from sirend.training.specs import PupilSpec, TemporalSpec

if TYPE_CHECKING:
    from pathlib import Path

SPEC = PupilSpec(filters=(4, 4, 8, 8), units=16, dropout=0.0, steps=60, batch=8, learning_rate=0.01)
ENDS = (100, 150, 200)
NUMBERS = 6


@pytest.fixture(scope="module")
def lessons() -> tuple[np.ndarray, np.ndarray]:
    """Return episodes whose numbers are the loudness of their patches."""
    rng = np.random.default_rng(0)
    mel = (rng.normal(0, 0.3, (40, 200, 64)) + rng.normal(-2, 1.5, (40, 200 // 50, 1)).repeat(50, axis=1)).astype("f2")
    loud = np.stack([mel[:, end - 96 : end].mean(axis=(1, 2)) for end in ENDS], axis=1)
    return mel, np.repeat(loud[..., None], NUMBERS + len(CLASSES), axis=2).astype(np.float16)


def test_it_learns_to_say_what_it_is_taught(lessons: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    mel, wanted = lessons
    model = pupil.fit_pupil(mel, wanted, ENDS, replace(SPEC, steps=300), tmp_path)
    said = pupil.says(model, mel, ENDS)
    assert said.shape == wanted.shape
    assert said.dtype == np.float16
    assert np.corrcoef(said.ravel(), wanted.ravel())[0, 1] > 0.8


def test_a_stopped_run_goes_on(lessons: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    mel, wanted = lessons
    first = pupil.fit_pupil(mel, wanted, ENDS, SPEC, tmp_path)
    again = pupil.fit_pupil(mel, wanted, ENDS, SPEC, tmp_path)
    for one, two in zip(first.weights, again.weights, strict=True):
        assert np.array_equal(one.numpy(), two.numpy())
    assert [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [SPEC.steps]


def test_what_it_is_taught_are_the_numbers_of_the_large_head_and_the_classes() -> None:
    keras.utils.set_random_seed(0)
    model = temporal.temporal_network(TemporalSpec(units=NUMBERS), OUTPUTS, 8)
    said = np.random.default_rng(1).normal(0, 1, (3, 4, OUTPUTS)).astype(np.float16)
    mel, label = np.zeros((3, 300, 8), np.float16), np.zeros((3, 4), np.float32)
    wanted = pupil.pupil_targets(model, Heard(said, mel, (96, 150, 200, 250), label, ((),) * 3))
    assert wanted.shape == (3, 4, NUMBERS + len(CLASSES))
    assert (wanted[..., :NUMBERS] >= 0).all()
    assert np.array_equal(wanted[..., NUMBERS:], said[..., -len(CLASSES) :])
