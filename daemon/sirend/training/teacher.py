"""The teacher: YAMNet's class evidence and a siren head on its embeddings, fused in log-odds.

Neither alone is enough: the evidence knows what everyday sounds are but misses faint sirens; the head hears those but
takes a washing machine for one. Their mean is what the small network learns from.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import keras
import numpy as np
from scipy import optimize

from sirend.training import backbone, network

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sirend.training.specs import HeadSpec, TeacherSpec

log = logging.getLogger(__name__)

BATCH = 512


@dataclass(frozen=True)
class Lesson:
    """What the teacher says of the windows of a pool."""

    logit: np.ndarray
    """float32[windows], fused log-odds of a siren."""
    components: np.ndarray
    """float32[windows, n], principal components of the mean embedding, each of unit variance."""


@dataclass(frozen=True)
class Teacher:
    """Class evidence, made log-odds by ``scale`` and ``offset``, and the heads that were fitted."""

    kernel: np.ndarray
    bias: np.ndarray
    scale: float
    offset: float
    heads: tuple[keras.Model, ...]
    share: float
    """Share of the evidence in the fused log-odds, 0..1."""

    def judge(self, embedding: np.ndarray) -> np.ndarray:
        """Return the fused log-odds float32[windows] of float16[windows, patches, 1024]."""
        evidence = self.scale * network.evidence(embedding, self.kernel, self.bias) + self.offset
        opinions = np.mean([network.logits(head, embedding) for head in self.heads], axis=0)
        return np.asarray(self.share * evidence + (1.0 - self.share) * opinions, dtype=np.float32)


def teach(
    embedding: np.ndarray, siren: np.ndarray, known: np.ndarray, weights: backbone.Weights, spec: TeacherSpec, seed: int
) -> tuple[Teacher, Lesson]:
    """Fit the heads on the windows ``known`` (indices) and judge all windows.

    ``embedding`` is float16[windows, patches, 1024], ``siren`` bool[windows].
    """
    kernel, bias = backbone.class_layer(weights)
    scale, offset = calibrate(network.evidence(embedding[known], kernel, bias), siren[known])
    teacher = Teacher(kernel, bias, scale, offset, (), 0.0)
    teacher = with_heads(teacher, embedding, siren, known, spec.head, spec.heads, spec.epochs, seed)
    logit = teacher.judge(embedding)
    agreeing = np.mean((logit[known] > 0) == siren[known])
    log.info("teacher: right in %.2f %% of the windows it was fitted on", 100 * agreeing)
    return teacher, Lesson(logit, _principal(embedding, known, spec.components))


def with_heads(
    teacher: Teacher,
    embedding: np.ndarray,
    siren: np.ndarray,
    known: np.ndarray,
    head: HeadSpec,
    heads: int,
    epochs: int,
    seed: int,
) -> Teacher:
    """Return ``teacher`` with ``heads`` new heads, fitted from different starts on the windows ``known`` (indices)."""
    fitted = tuple(_fit(embedding, siren, known, head, epochs, seed, number) for number in range(heads))
    return replace(teacher, heads=fitted, share=head.evidence)


def calibrate(logit: np.ndarray, siren: np.ndarray) -> tuple[float, float]:
    """Return scale and offset that make log-odds of ``logit`` (Platt: logistic regression with one variable)."""
    sign = np.where(siren, 1.0, -1.0)

    def loss(point: np.ndarray) -> float:
        return float(np.mean(np.logaddexp(0.0, -sign * (point[0] * logit + point[1]))))

    scale, offset = optimize.minimize(loss, [0.5, 0.0], method="Nelder-Mead").x
    return float(scale), float(offset)


def _fit(
    embedding: np.ndarray, siren: np.ndarray, known: np.ndarray, spec: HeadSpec, epochs: int, seed: int, number: int
) -> keras.Model:
    keras.utils.set_random_seed(seed + number)
    model = network.head(spec, number)
    loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.05)
    model.compile(keras.optimizers.Adam(1e-3), loss=loss)
    rng = np.random.default_rng((seed, number))
    batch = min(BATCH, len(known))

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        while True:
            order = rng.permutation(known)
            for start in range(0, len(order) - batch + 1, batch):
                drawn = order[start : start + batch]
                yield embedding[drawn].astype(np.float32), siren[drawn].astype(np.float32)

    steps = epochs * (len(known) // batch)
    for _, (inputs, labels) in zip(range(steps), batches(), strict=False):
        model.train_on_batch(inputs, labels)
    return model


def _principal(embedding: np.ndarray, known: np.ndarray, components: int) -> np.ndarray:
    """Project the mean embedding on its strongest directions among the windows ``known``."""
    mean = embedding.mean(axis=1, dtype=np.float32)
    centre = mean[known].mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(mean[known] - centre, rowvar=False))
    strongest = np.argsort(values)[::-1][:components]
    projected = (mean - centre) @ vectors[:, strongest] / np.sqrt(values[strongest] + 1e-6)
    return np.asarray(projected, dtype=np.float32)
