"""What the networks make of each other's opinions."""

from __future__ import annotations

import numpy as np
import pytest

from sirend.training.specs import EMBEDDING, PLACES, FusedSpec, HeadSpec, StudentSpec

pytestmark = pytest.mark.training


@pytest.mark.parametrize("highest", [0.0, 0.25, 1.0])
def test_of_three_opinions_all_count_and_the_two_highest_more(highest: float) -> None:
    from sirend.training import architectures  # noqa: PLC0415  TensorFlow only for the tests that need it
    from sirend.training.teacher import Teacher  # noqa: PLC0415

    rng = np.random.default_rng(0)
    embedding = 3.0 * rng.standard_normal((64, len(PLACES), EMBEDDING)).astype(np.float32)
    log_mel = 9.0 * rng.standard_normal((64, 198, 64)).astype(np.float32)
    kernel = (0.1 * rng.standard_normal((EMBEDDING, 521))).astype(np.float32)
    heads = tuple(architectures.head(HeadSpec(units=8), number) for number in range(2))
    small = architectures.student(198, 64, StudentSpec(filters=(2, 2, 2, 2, 2), auxiliary=0))
    bias = np.zeros(521, np.float32)
    teacher = Teacher(kernel, bias, 0.25, -4.0, heads, 0.5)
    opinions = np.stack(
        [
            architectures.logits(small, log_mel),
            np.mean([architectures.logits(head, embedding) for head in heads], axis=0),
            0.25 * architectures.evidence(embedding, kernel, bias) - 4.0,
        ]
    )
    assert len(set(opinions.argmin(axis=0))) > 1, "not always the same one is left out"
    weighted = 0.4 * opinions[0] + 0.6 * (0.5 * opinions[1] + 0.5 * opinions[2])
    wanted = highest * np.sort(opinions, axis=0)[1:].mean(axis=0) + (1.0 - highest) * weighted
    judged = architectures.logits(architectures.fused(small, teacher, FusedSpec(0.4, highest)), log_mel, embedding)
    assert judged == pytest.approx(wanted, abs=1e-4)
