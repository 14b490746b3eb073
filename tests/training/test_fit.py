from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sirend.training.pool import Pool
from sirend.training.specs import FitSpec, StudentSpec

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    import tensorflow as tf

pytestmark = [
    pytest.mark.training,
    pytest.mark.timeout(600),
]

FRAMES, BANDS, WINDOWS = 48, 32, 96
STUDENT = StudentSpec(filters=(4, 4, 4, 4, 4), auxiliary=0)
SPEC = FitSpec(steps=90, batch=16, learning_rate=0.01, mask_frames=8, mask_bands=2)


@pytest.fixture
def fit(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    from sirend.training import fit as module  # noqa: PLC0415  TensorFlow only for the tests that need it

    monkeypatch.setattr(module, "EVERY", 30)
    return module


def _pool() -> Pool:
    """Return windows of noise; a siren is a bright band."""
    rng = np.random.default_rng(0)
    siren = np.arange(WINDOWS) % 2 == 0
    features = rng.normal(-2.0, 1.0, (WINDOWS, FRAMES, BANDS))
    features[siren, :, 12:18] += 4.0
    text = np.full(WINDOWS, "")
    return Pool(features.astype(np.float16), siren, np.zeros(WINDOWS, dtype=np.float32), text, text, None)


def _fit(fit: ModuleType, folder: Path, spec: FitSpec = SPEC, student: StudentSpec = STUDENT) -> tf.keras.Model:
    return fit.fit_student(_pool(), np.arange(WINDOWS), None, student, spec, seed=1, folder=folder)


def _logits(model: tf.keras.Model) -> np.ndarray:
    return np.asarray(model(_pool().features.astype(np.float32), training=False)["logit"])[:, 0]


def _log(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_bright_band_is_learned_and_a_stop_changes_nothing(
    fit: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = _logits(_fit(fit, tmp_path / "unbroken"))
    assert np.mean((unbroken > 0) == _pool().siren) > 0.95
    log = _log(tmp_path / "unbroken")
    assert [line["step"] for line in log] == [30, 60, 90]
    assert log[-1]["loss"] < 0.6 * log[0]["loss"]

    keep = fit.checkpoint.keep  # the moment after which a power cut is simulated

    def stop(*words: object) -> None:
        keep(*words)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fit.checkpoint, "keep", stop)
        with pytest.raises(KeyboardInterrupt):
            _fit(fit, tmp_path / "broken")
    resumed = _logits(_fit(fit, tmp_path / "broken"))
    np.testing.assert_allclose(resumed, unbroken, atol=0.05)
    assert [line["step"] for line in _log(tmp_path / "broken")] == [30, 60, 90]

    again = _logits(_fit(fit, tmp_path / "broken"))
    np.testing.assert_allclose(again, resumed, atol=1e-5)
    assert len(_log(tmp_path / "broken")) == 3, "a finished training trains no more"


def test_the_checkpoint_of_another_recipe_is_not_used(fit: ModuleType, tmp_path: Path) -> None:
    _fit(fit, tmp_path, replace(SPEC, steps=2))
    _fit(fit, tmp_path, replace(SPEC, steps=3))
    assert [line["step"] for line in _log(tmp_path)] == [2, 3]
    with np.load(tmp_path / "checkpoint.npz", allow_pickle=False) as saved:
        assert int(saved["done"]) == 3
    assert not (tmp_path / "checkpoint.npz.part").exists()


def test_the_checkpoint_of_other_windows_or_weights_is_not_used(fit: ModuleType, tmp_path: Path) -> None:
    brief = replace(SPEC, steps=1)
    _fit(fit, tmp_path, brief)
    fit.fit_student(_pool(), np.arange(WINDOWS // 2), None, STUDENT, brief, seed=1, folder=tmp_path)
    fit.fit_student(
        _pool(), np.arange(WINDOWS // 2), None, STUDENT, replace(brief, auxiliary=0.9), seed=1, folder=tmp_path
    )
    assert [line["step"] for line in _log(tmp_path)] == [1, 1, 1]


def test_the_teacher_is_asked_only_while_there_is_something_to_learn(fit: ModuleType, tmp_path: Path) -> None:
    from sirend.training.teacher import Lesson  # noqa: PLC0415

    asked = []

    def teach() -> Lesson:
        asked.append(True)
        return Lesson(np.zeros(WINDOWS, np.float32), np.zeros((WINDOWS, STUDENT.auxiliary), np.float32))

    brief = replace(SPEC, steps=1)
    for _ in range(2):
        fit.fit_student(_pool(), np.arange(WINDOWS), teach, STUDENT, brief, seed=1, folder=tmp_path)
    assert asked == [True]


def test_labels_are_softened_by_a_teacher_that_never_overrules_them(fit: ModuleType) -> None:
    from sirend.training.teacher import Lesson  # noqa: PLC0415

    siren = np.array([True, True, True, False, False, False])
    spec = FitSpec(label_smoothing=0.0, hard_positive=0.7, hard_negative=0.5)
    lesson = Lesson(np.array([20.0, 0.0, -20.0, 20.0, 0.0, -20.0]), np.zeros((6, 1)))
    wanted = fit.targets(siren, lesson, spec)
    np.testing.assert_allclose(wanted, [1.0, 0.85, 0.85, 0.25, 0.25, 0.0], atol=1e-6)
    np.testing.assert_allclose(fit.targets(siren, None, spec), siren, atol=1e-6)
    smoothed = fit.targets(siren, None, replace(spec, label_smoothing=0.04))
    np.testing.assert_allclose(smoothed, np.where(siren, 0.96, 0.02), atol=1e-6)
