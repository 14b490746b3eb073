"""From a trained network to a bundle: TFLite file, manifest, golden vectors. Nothing half-written ever has its name."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING

import keras
import numpy as np

import sirend
from sirend.detect import bundle as bundles
from sirend.detect.bundle import MANIFEST_FILE, MODEL_FILE
from sirend.detect.classifier import Classifier
from sirend.detect.features import Spectrogram
from sirend.detect.manifest import WINDOW_SCHEMA
from sirend.training import architectures
from sirend.training.specs import EMBEDDING, PATCH_FRAMES, PLACES

if TYPE_CHECKING:
    from pathlib import Path

    from sirend.training.recipe import Recipe
    from sirend.training.specs import Stored

GOLDEN_FILE = "golden.npz"
BACKBONE_FILE = "backbone.tflite"


def to_tflite(model: keras.Model, stored: Stored = "float32") -> bytes:
    """Return a network of one output as a TFLite flatbuffer; its first dimension is 1 unless resized.

    What shall be ``int8`` is float16 until ``rounding`` has heard what it is for.
    """
    import tensorflow as tf  # noqa: PLC0415  only its converter is needed, and it takes seconds to import

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if stored != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if stored in ("float16", "int8"):
        converter.target_spec.supported_types = [tf.float16]
    return bytes(converter.convert())


def golden(recipe: Recipe, model: keras.Model, backbone: keras.Model | None, bundle: Path) -> dict[str, np.ndarray]:
    """Return windows that the project made itself, their features and what becomes of them, for tests to compare.

    ``pcm`` int16[n, samples], ``features`` float32[n, frames, bands], ``logit`` float32[n] of the networks before they
    were exported, ``score`` float32[n] of ``bundle`` as the daemon runs it.
    """
    rng = np.random.default_rng(0)
    samples = recipe.features.window_samples
    seconds = np.arange(samples) / recipe.features.sample_rate_hz
    wail = np.sin(
        2 * np.pi * np.cumsum(1100 + 400 * np.sin(2 * np.pi * 0.4 * seconds)) / recipe.features.sample_rate_hz
    )
    tone = np.sin(2 * np.pi * 1000 * seconds)
    noise = rng.standard_normal(samples)
    mixed = np.stack([noise * 0.05, 0.3 * wail + 0.02 * noise, 0.3 * tone + 0.02 * noise, 0.02 * wail + 0.05 * noise])
    pcm = np.round(np.clip(mixed, -1, 1) * 32767).astype(np.int16)
    heard = Spectrogram.of(recipe.features, pcm.astype(np.float32) / np.float32(32768))
    inputs = [heard.log]
    if backbone is not None:
        said = [keras.ops.convert_to_numpy(backbone(heard.patch(place, PATCH_FRAMES))) for place in PLACES]
        inputs.append(np.stack(said, axis=1))
    score = Classifier(bundles.load(bundle), len(pcm)).score(heard)
    return {"pcm": pcm, "features": heard.log, "logit": architectures.logits(model, *inputs), "score": score}


def write_bundle(
    out: Path,
    recipe: Recipe,
    model: keras.Model,
    calibration: tuple[float, float],
    metrics: dict[str, object],
    backbone: keras.Model | None = None,
) -> None:
    """Write the bundle ``out``; an older one of the same name is replaced only when the new one is complete.

    ``backbone`` is what made the embeddings that ``model`` takes beside the window.
    """
    unfinished = out.with_name(out.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    flatbuffer = to_tflite(keras.Model(model.input, model.output["logit"]), recipe.stored)
    (unfinished / MODEL_FILE).write_bytes(flatbuffer)
    manifest: dict[str, object] = {
        "schema": WINDOW_SCHEMA,
        "name": recipe.name,
        "features": asdict(recipe.features),
        "features_digest": recipe.features.digest,
        "model_sha256": hashlib.sha256(flatbuffer).hexdigest(),
        "output": "logit",
        "calibration": {"scale": round(calibration[0], 6), "offset": round(calibration[1], 6)},
        "operating_point": asdict(recipe.operating_point),
        "hop_s": recipe.hop_s,
        "recipe_sha256": recipe.digest,
        "min_sirend": sirend.__version__,
        "golden": GOLDEN_FILE,
    }
    if backbone is not None:
        listening = to_tflite(backbone, recipe.stored)
        (unfinished / BACKBONE_FILE).write_bytes(listening)
        manifest["backbone"] = {
            "file": BACKBONE_FILE,
            "sha256": hashlib.sha256(listening).hexdigest(),
            "patch_frames": PATCH_FRAMES,
            "places": PLACES,
            "outputs": EMBEDDING,
        }
    (unfinished / GOLDEN_FILE).touch()  # the manifest names it; what it holds is what the bundle says
    (unfinished / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    with (unfinished / GOLDEN_FILE).open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **golden(recipe, model, backbone, unfinished))
    (unfinished / "training.json").write_text(json.dumps(metrics, indent=2, sort_keys=True) + "\n")
    for kept in ("MODEL_CARD.md", "demo.png"):
        if (out / kept).exists():
            shutil.copy2(out / kept, unfinished / kept)
    shutil.rmtree(out, ignore_errors=True)
    unfinished.rename(out)
