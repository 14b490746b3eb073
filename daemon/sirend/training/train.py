"""``sirend train``: a recipe and a folder of recordings become a model bundle."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sirend.errors import InputError, UsageError
from sirend.evidence.street_set import TABLE
from sirend.training import corpus, pool, recipe
from sirend.training.specs import PLACES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from sirend.training.corpus import Clip, Corpus
    from sirend.training.recipe import Recipe
    from sirend.training.specs import TeacherSpec
    from sirend.training.teacher import Lesson, Teacher

log = logging.getLogger(__name__)

SMOKE_WINDOWS = 500
SMOKE_STEPS = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``sirend train``."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with clips.csv and the audio")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="bundle to write, e.g. models/siren-2.4.0"
    )
    parser.add_argument("--recipe", type=Path, metavar="FILE", help="recipe (default: a small network with no teacher)")
    parser.add_argument(
        "--teacher", type=Path, metavar="DIR", help="folder with the teacher's published weights (default: no teacher)"
    )
    parser.add_argument(
        "--without", metavar="SET", default="", help="leave this data set out, to test on it (default: none)"
    )
    parser.add_argument("--work", type=Path, metavar="DIR", help="where unfinished work is kept (default: OUT.work)")
    parser.add_argument("--smoke", action="store_true", help="a few steps only: proves that everything runs")


def main(args: argparse.Namespace) -> int:
    """Train; return the exit code. A stopped run goes on where it was when started again with the same words."""
    plan = recipe.load_recipe(args.recipe) if args.recipe else recipe.Recipe(name="siren-0.0.0")
    if args.smoke:
        plan = replace(
            plan,
            windows=SMOKE_WINDOWS,
            teacher=None,
            fused=None,
            episodes=None,
            fit=replace(plan.fit, steps=SMOKE_STEPS),
        )
    if plan.teacher is not None and args.teacher is None:
        raise UsageError(f"the recipe has a teacher: give --teacher DIR; it is published as {plan.teacher.published}")
    clips = list(filter(plan.allows, corpus.read_clips(args.data / TABLE)))
    if not clips:
        raise InputError(f"{args.data / 'clips.csv'}: no clip has a licence that the recipe allows")
    recordings = corpus.load_clips(clips, args.data)
    sets = sorted({clip.set for clip in recordings.clips})
    if args.without and args.without not in sets:
        raise UsageError(f"--without {args.without}: the recordings have the sets {', '.join(sets)}")
    train_windowed(
        plan, recordings, args.out, args.work or args.out.with_name(args.out.name + ".work"), args.teacher, args.without
    )
    print(f"wrote {args.out}")  # noqa: T201  the command's result
    return 0


def train_windowed(
    plan: Recipe, recordings: Corpus, out: Path, work: Path, published: Path | None, without: str = ""
) -> None:
    """Draw windows, ask the teacher, fit, calibrate on recordings kept back, and write the bundle ``out``."""
    if plan.episodes is not None and published is not None:
        from sirend.training import streaming  # noqa: PLC0415  TensorFlow takes seconds to import

        streaming.train_streaming(plan, recordings, out, work, published, without)
        return
    from sirend.training import architectures, backbone, export, fit, teacher  # noqa: PLC0415  TensorFlow takes seconds to import

    weights = None
    patches = work / "teacher.tflite"
    if plan.teacher is not None and published is not None:
        weights = backbone.read_weights(published / plan.teacher.variables, plan.teacher.sha256)
        if not patches.exists():
            patches.parent.mkdir(parents=True, exist_ok=True)
            patches.write_bytes(export.to_tflite(backbone.assembled(plan.features.bands, weights)))
    drawn = _pool(
        plan,
        recordings,
        work,
        "train",
        patches if weights else None,
        lambda clip: not corpus.kept_back(clip, plan.held_out),
    )
    listening = patches if weights and plan.fused else None
    tested = _pool(plan, recordings, work, "calibrate", listening, lambda clip: corpus.kept_back(clip, plan.held_out))
    known = drawn.without(without)
    if not drawn.siren[known].any() or drawn.siren[known].all():
        raise InputError("clips.csv: training needs sirens (class emergency) and other sounds (class other)")
    knowing = teach = None
    embedding = drawn.embedding
    if plan.teacher is not None and weights is not None and embedding is not None:
        knowing = teacher.knowing(embedding, drawn.siren, known, weights)
        teach = functools.partial(_teach, plan.teacher, knowing, embedding, drawn.siren, known, work)
    folder = work / ("fit" + ("-without-" + without if without else ""))
    model = fit.fit_student(
        drawn, known, teach, plan.student, plan.fit, seed=plan.seed, folder=folder, teacher=plan.teacher
    )
    held = tested.without(without)
    listener = None
    inputs = [tested.features[held]]
    if plan.fused and knowing and weights and embedding is not None and tested.embedding is not None:
        sure = teacher.with_heads(knowing, embedding, drawn.siren, known, plan.fused.head, work)
        model, listener = (
            architectures.fused(model, sure, plan.fused),
            backbone.assembled(plan.features.bands, weights),
        )
        inputs.append(tested.embedding[held])
    logit = architectures.logits(model, *inputs)
    calibration = teacher.calibrate(logit, tested.siren[held])
    agreeing = float(np.mean((logit > 0) == tested.siren[held]))
    metrics = {
        "windows": len(known),
        "windows_kept_back": len(held),
        "right_of_kept_back": round(agreeing, 4),
        "without": without,
        "sets": sorted({clip.set for clip in recordings.clips} - {without}),
        "recipe": asdict(plan),
    }
    log.info("right in %.2f %% of %d windows of recordings kept back", 100 * agreeing, len(held))
    export.write_bundle(out, plan, model, calibration, metrics, listener)


def _teach(
    spec: TeacherSpec, knowing: Teacher, embedding: np.ndarray, siren: np.ndarray, known: np.ndarray, work: Path
) -> Lesson:
    from sirend.training import teacher  # noqa: PLC0415

    taught = teacher.with_heads(knowing, embedding, siren, known, spec.head, work)
    return teacher.lesson(taught, embedding, siren, known, spec.components)


def _pool(
    plan: Recipe, recordings: Corpus, work: Path, purpose: str, network: Path | None, keep: Callable[[Clip], bool]
) -> pool.Pool:
    windows = plan.windows if purpose == "train" else max(pool.SHARD, int(plan.windows * plan.held_out))
    spec = pool.PoolSpec(plan.scenes, plan.features, windows, plan.seed, purpose, network)
    described = json.dumps(
        [asdict(plan.scenes), plan.features.digest, plan.seed, plan.held_out, network and PLACES, len(recordings)]
    )
    name = f"{purpose}-{hashlib.sha256(described.encode()).hexdigest()[:8]}"
    return pool.make(recordings, spec, keep, work / name)
