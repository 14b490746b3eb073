from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sirend.training.specs import HeadSpec

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

pytestmark = [pytest.mark.training, pytest.mark.timeout(600)]

WINDOWS = 120
SPEC = HeadSpec(units=8, dropout=0.2, evidence=0.25, heads=2, epochs=60)


@pytest.fixture(scope="module")
def teacher() -> ModuleType:
    from sirend.training import teacher as module  # noqa: PLC0415  TensorFlow only for the tests that need it

    return module


@pytest.fixture(scope="module")
def heard() -> tuple[np.ndarray, np.ndarray]:
    """Return embeddings float16[windows, patches, 1024] in which one direction tells sirens, and bool[windows]."""
    rng = np.random.default_rng(0)
    siren = rng.random(WINDOWS) < 0.5
    embedding = rng.random((WINDOWS, 3, 1024)) * 0.1
    embedding[siren, :, :40] += 1.0
    return embedding.astype(np.float16), siren


def _knowing(teacher: ModuleType, embedding: np.ndarray, siren: np.ndarray) -> object:
    from sirend.training.backbone import Weights  # noqa: PLC0415

    rng = np.random.default_rng(1)
    layer = {"kernel": rng.standard_normal((1024, 521)).astype(np.float32), "bias": np.zeros(521, np.float32)}
    return teacher.knowing(embedding, siren, np.arange(WINDOWS), Weights((layer,)))


def test_heads_learn_and_are_kept(
    teacher: ModuleType, heard: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedding, siren = heard
    known = np.arange(WINDOWS)
    knowing = _knowing(teacher, embedding, siren)
    fitted = teacher.with_heads(knowing, embedding, siren, known, SPEC, tmp_path)
    opinion = np.mean([teacher.architectures.logits(head, embedding) for head in fitted.heads], axis=0)
    assert np.mean((opinion > 0) == siren) > 0.95
    assert fitted.share == SPEC.evidence
    assert len(list(tmp_path.iterdir())) == SPEC.heads

    def refit(*_: object) -> None:
        raise AssertionError("a head that is kept was fitted again")

    monkeypatch.setattr(teacher, "_fit", refit)
    again = teacher.with_heads(knowing, embedding, siren, known, SPEC, tmp_path)
    np.testing.assert_array_equal(again.judge(embedding), fitted.judge(embedding))
    with pytest.raises(AssertionError, match="fitted again"):
        teacher.with_heads(knowing, embedding, siren, known[:-1], SPEC, tmp_path)


def test_a_lesson_judges_every_window_and_names_its_directions(
    teacher: ModuleType, heard: tuple[np.ndarray, np.ndarray]
) -> None:
    embedding, siren = heard
    knowing = _knowing(teacher, embedding, siren)
    alone = teacher.replace(knowing, heads=())
    evidence = alone.scale * teacher.architectures.evidence(embedding, alone.kernel, alone.bias) + alone.offset
    lesson_of = teacher.replace(
        alone, heads=(teacher.architectures.head(SPEC, 0),), share=1.0
    )  # the whole weight on the class evidence
    lesson = teacher.lesson(lesson_of, embedding, siren, np.arange(WINDOWS), components=4)
    np.testing.assert_allclose(lesson.logit, evidence, rtol=1e-5)
    assert lesson.components.shape == (WINDOWS, 4)
    assert np.std(lesson.components, axis=0) == pytest.approx(np.ones(4), rel=0.05)
