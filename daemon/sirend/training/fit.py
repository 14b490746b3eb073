"""Train the small network on a pool, with a checkpoint every few hundred steps, so that a stop loses nothing."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import keras
import numpy as np
from tqdm import tqdm

from sirend.training import architectures, checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sirend.training.pool import Pool
    from sirend.training.specs import FitSpec, StudentSpec, TeacherSpec
    from sirend.training.teacher import Lesson

EVERY = 250
"""Steps between checkpoints and lines of the log."""


def targets(siren: np.ndarray, lesson: Lesson | None, spec: FitSpec) -> np.ndarray:
    """Return the probabilities float32[windows] to learn: labels, softened by the teacher's opinion."""
    hard = np.where(siren, 1.0 - spec.label_smoothing, spec.label_smoothing / 2)
    if lesson is None:
        return hard.astype(np.float32)
    soft = 1.0 / (1.0 + np.exp(-lesson.logit))
    share = np.where(siren, spec.hard_positive, spec.hard_negative)
    # A teacher that is sure of a siren in a window of unknown street may be right; it never overrules a label.
    soft = np.where(siren, np.maximum(soft, 0.5), np.minimum(soft, 0.5))
    return np.asarray(share * hard + (1.0 - share) * soft, dtype=np.float32)


def fit_student(
    pool: Pool,
    known: np.ndarray,
    teach: Callable[[], Lesson] | None,
    student: StudentSpec,
    spec: FitSpec,
    *,
    seed: int,
    folder: Path,
    teacher: TeacherSpec | None = None,
) -> keras.Model:
    """Train on the windows ``known`` (indices); go on from the checkpoint in ``folder`` if there is one.

    A checkpoint counts only for the same windows, labels, specs and ``teacher``; its lesson itself is not compared, for
    it may differ in the last digit; ``teach`` is asked for it only while there is something to learn. Writes a line of
    metrics to ``folder/log.jsonl`` every ``EVERY`` steps.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(seed)
    frames, bands = pool.features.shape[1:]
    model = architectures.student(frames, bands, student)
    schedule = keras.optimizers.schedules.CosineDecay(
        spec.learning_rate / 20, max(1, spec.steps - EVERY), warmup_target=spec.learning_rate, warmup_steps=EVERY
    )
    losses = {"logit": keras.losses.BinaryCrossentropy(from_logits=True)}
    weights = {"logit": 1.0}
    if student.auxiliary:
        losses["auxiliary"], weights["auxiliary"] = keras.losses.MeanSquaredError(), spec.auxiliary
    model.compile(keras.optimizers.AdamW(schedule, weight_decay=spec.weight_decay), losses, loss_weights=weights)
    described = {
        "seed": seed,
        "fit": asdict(spec),
        "student": asdict(student),
        "teacher": None if teacher is None else asdict(teacher),
        "windows": _digest(pool.features, pool.siren, known),
    }
    identity = json.dumps(described, sort_keys=True)
    done = checkpoint.resume(model, folder, identity)
    lesson = None if teach is None or done >= spec.steps else teach()
    wanted = targets(pool.siren, lesson, spec)
    running: list[float] = []
    for step in tqdm(range(done, spec.steps), initial=done, total=spec.steps, desc="training", unit="step"):
        # Each step draws from a generator of its own: a resumed run sees what an unbroken one would have seen.
        rng = np.random.default_rng((seed, step))
        drawn = rng.choice(known, spec.batch)
        labels = {"logit": wanted[drawn, np.newaxis]}
        if student.auxiliary:
            labels["auxiliary"] = lesson.components[drawn] if lesson else np.zeros((spec.batch, student.auxiliary))
        loss = model.train_on_batch(_masked(rng, pool.features[drawn], spec), labels)
        running.append(float(np.ravel(loss)[0]))  # a list with the sum first, or the only loss alone
        if (step + 1) % EVERY == 0 or step + 1 == spec.steps:
            checkpoint.keep(model, folder, step + 1, identity, running)
            running.clear()
    return model


def _masked(rng: np.random.Generator, features: np.ndarray, spec: FitSpec) -> np.ndarray:
    """Blank a run of frames and a run of bands of each window of float16[n, frames, bands] with the window's mean."""
    out = features.astype(np.float32)
    blank = out.mean(axis=(1, 2))[:, np.newaxis, np.newaxis]
    time_masked = _runs(rng, len(out), out.shape[1], spec.mask_frames)[:, :, np.newaxis]
    band_masked = _runs(rng, len(out), out.shape[2], spec.mask_bands)[:, np.newaxis, :]
    return np.asarray(np.where(time_masked | band_masked, blank, out))


def _runs(rng: np.random.Generator, rows: int, places: int, longest: int) -> np.ndarray:
    """Return bool[rows, places] with one run of up to ``longest`` True in each row."""
    length = rng.integers(0, longest + 1, (rows, 1))
    start = rng.integers(0, places - length)
    place = np.arange(places)
    return np.asarray((place >= start) & (place < start + length))


def _digest(*arrays: np.ndarray) -> str:
    """Return the SHA-256 of what is trained on, hex."""
    whole = hashlib.sha256()
    for array in arrays:
        whole.update(np.ascontiguousarray(array).data)
    return whole.hexdigest()
