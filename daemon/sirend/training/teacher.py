"""The teacher: YAMNet's class evidence and a siren head on its embeddings, fused in log-odds.

Neither alone is enough: the evidence knows what everyday sounds are but misses faint sirens; the head hears those but
takes a washing machine for one. Their mean is what the small network learns from.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import keras
import numpy as np
from scipy import optimize

from sirend.training import architectures, backbone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sirend.training.specs import HeadSpec

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
        evidence = self.scale * architectures.evidence(embedding, self.kernel, self.bias) + self.offset
        opinions = np.mean([architectures.logits(head, embedding) for head in self.heads], axis=0)
        return np.asarray(self.share * evidence + (1.0 - self.share) * opinions, dtype=np.float32)


def knowing(embedding: np.ndarray, siren: np.ndarray, known: np.ndarray, weights: backbone.Weights) -> Teacher:
    """Return a teacher that has its class evidence alone, made log-odds on the windows ``known`` (indices)."""
    kernel, bias = backbone.class_layer(weights)
    scale, offset = calibrate(architectures.evidence(embedding[known], kernel, bias), siren[known])
    return Teacher(kernel, bias, scale, offset, (), 1.0)


def lesson(teacher: Teacher, embedding: np.ndarray, siren: np.ndarray, known: np.ndarray, components: int) -> Lesson:
    """Return what ``teacher`` says of all windows."""
    logit = teacher.judge(embedding)
    agreeing = np.mean((logit[known] > 0) == siren[known])
    log.info("teacher: right in %.2f %% of the windows it was fitted on", 100 * agreeing)
    return Lesson(logit, _principal(embedding, known, components))


def with_heads(
    teacher: Teacher, embedding: np.ndarray, siren: np.ndarray, known: np.ndarray, spec: HeadSpec, folder: Path
) -> Teacher:
    """Return ``teacher`` with heads fitted from different starts on the windows ``known`` (indices).

    ``embedding`` is float16[windows, patches, 1024], ``siren`` bool[windows]. A head that ``folder`` holds already is
    not fitted again.
    """
    heads = tuple(_head(embedding, siren, known, spec, number, folder) for number in range(spec.heads))
    return replace(teacher, heads=heads, share=spec.evidence)


def calibrate(logit: np.ndarray, siren: np.ndarray) -> tuple[float, float]:
    """Return scale and offset that make log-odds of ``logit`` (Platt: logistic regression with one variable)."""
    sign = np.where(siren, 1.0, -1.0)

    def loss(point: np.ndarray) -> float:
        return float(np.mean(np.logaddexp(0.0, -sign * (point[0] * logit + point[1]))))

    scale, offset = optimize.minimize(loss, [0.5, 0.0], method="Nelder-Mead").x
    return float(scale), float(offset)


def _head(
    embedding: np.ndarray, siren: np.ndarray, known: np.ndarray, spec: HeadSpec, number: int, folder: Path
) -> keras.Model:
    """Return one head: from ``folder``, or fitted and kept there."""
    keras.utils.set_random_seed(spec.seed + number)
    model = architectures.head(spec, number)
    described = json.dumps([asdict(replace(spec, evidence=0.0, heads=0)), number, keras.backend.backend()])
    content = described.encode() + known.tobytes() + siren.tobytes() + embedding[known[::97]].tobytes()
    kept = folder / f"head-{hashlib.sha256(content).hexdigest()[:12]}.npz"
    if kept.exists():
        with np.load(kept, allow_pickle=False) as saved:
            model.set_weights([saved[f"w{place}"] for place in range(len(model.weights))])
        return model
    _fit(model, embedding, siren, known, spec, number)
    unfinished = kept.with_suffix(".part")
    with unfinished.open("wb") as stream:
        values = {f"w{place}": value for place, value in enumerate(model.get_weights())}
        np.savez(stream, allow_pickle=False, **values)
    unfinished.rename(kept)
    return model


def _fit(
    model: keras.Model, embedding: np.ndarray, siren: np.ndarray, known: np.ndarray, spec: HeadSpec, number: int
) -> None:
    loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.05)
    model.compile(keras.optimizers.Adam(1e-3), loss=loss)
    rng = np.random.default_rng((spec.seed, number))
    batch = min(BATCH, len(known))

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        while True:
            order = rng.permutation(known)
            for start in range(0, len(order) - batch + 1, batch):
                drawn = order[start : start + batch]
                yield embedding[drawn].astype(np.float32), siren[drawn].astype(np.float32)

    steps = spec.epochs * (len(known) // batch)
    for _, (inputs, labels) in zip(range(steps), batches(), strict=False):
        model.train_on_batch(inputs, labels)


def _principal(embedding: np.ndarray, known: np.ndarray, components: int) -> np.ndarray:
    """Project the mean embedding on its strongest directions among the windows ``known``."""
    mean = embedding.mean(axis=1, dtype=np.float32)
    centre = mean[known].mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(mean[known] - centre, rowvar=False))
    strongest = np.argsort(values)[::-1][:components]
    projected = (mean - centre) @ vectors[:, strongest] / np.sqrt(values[strongest] + 1e-6)
    return np.asarray(projected, dtype=np.float32)
