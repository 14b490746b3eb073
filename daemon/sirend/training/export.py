"""From trained networks to a bundle: TFLite files, manifest, golden vectors. Nothing half-written ever has its name."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

import sirend
from sirend.audio.stream import SAMPLE_RATE_HZ, to_samples
from sirend.detect import bundle as bundles
from sirend.detect import golden
from sirend.detect.bundle import MANIFEST_FILE, MODEL_FILE
from sirend.detect.manifest import SCHEMA
from sirend.simulate import sirens, synthesis
from sirend.training import backbone, patches, temporal
from sirend.training.episodes import LABEL_S
from sirend.training.specs import PATCH_FRAMES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import keras

    from sirend.training.recipe import Recipe
    from sirend.training.specs import Stored, WakeSpec

GOLDEN_FILE = "golden.npz"
BACKBONE_FILE = "backbone.tflite"
WAKE_FILE = "wake.tflite"
_GOLDEN_S = 30.0


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
    with contextlib.redirect_stdout(io.StringIO()):  # Keras tells of a temporary folder of its own
        return bytes(converter.convert())


def write_bundle(
    out: Path, plan: Recipe, files: Mapping[str, bytes], calibration: tuple[float, float], metrics: dict[str, object]
) -> None:
    """Write the bundle ``out``, whose networks are ``files`` by their names.

    An older one of the same name is replaced only when the new one is complete.
    """
    unfinished = out.with_name(out.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for name, content in files.items():
        (unfinished / name).write_bytes(content)
    (unfinished / GOLDEN_FILE).touch()  # the manifest names it; what it holds is what the bundle says
    described = manifest(plan, calibration, {name: hashlib.sha256(each).hexdigest() for name, each in files.items()})
    (unfinished / MANIFEST_FILE).write_text(json.dumps(described, indent=2, sort_keys=True) + "\n")
    pcm = golden_pcm()
    features, score = golden.golden_outputs(bundles.load(unfinished), pcm)
    with (unfinished / GOLDEN_FILE).open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, pcm=pcm, features=features, score=score)
    (unfinished / "training.json").write_text(json.dumps(metrics, indent=2, sort_keys=True) + "\n")
    for kept in ("MODEL_CARD.md", "floors.json", "demo.png"):
        if (out / kept).exists():
            shutil.copy2(out / kept, unfinished / kept)
    shutil.rmtree(out, ignore_errors=True)
    unfinished.rename(out)


def manifest(plan: Recipe, calibration: tuple[float, float], digests: dict[str, str]) -> dict[str, Any]:
    """Return the manifest of a bundle whose files have the given SHA-256, JSON values."""
    units = plan.temporal.units
    return {
        "schema": SCHEMA,
        "name": plan.name,
        "features": asdict(plan.features),
        "features_digest": plan.features.digest,
        "model_sha256": digests[MODEL_FILE],
        "output": "logit",
        "calibration": {"scale": round(calibration[0], 6), "offset": round(calibration[1], 6)},
        "hop_s": plan.hop_s,
        "recipe_sha256": plan.digest,
        "min_sirend": sirend.__version__,
        "golden": GOLDEN_FILE,
        "backbone": {
            "file": BACKBONE_FILE,
            "sha256": digests[BACKBONE_FILE],
            "patch_frames": PATCH_FRAMES,
            "outputs": units + backbone.VEHICLES,
            "step_s": LABEL_S,
        },
        "head": {"places": temporal.PLACES, "spacing_s": patches.SPACING_S, "inputs": units},
        "evidence": {
            "first": units,
            "count": backbone.VEHICLES,
            "weight": plan.temporal.evidence,
            **({"memory_s": plan.temporal.evidence_memory_s} if plan.temporal.evidence_memory_s else {}),
        },
        **({} if plan.temporal.suspect is None else {"suspect": plan.temporal.suspect}),
        **({} if plan.site_gain is None else {"site_gain": asdict(plan.site_gain)}),
        **({} if plan.wake is None else {"wake": _waking(plan.wake, digests[WAKE_FILE])}),
        "operating_points": {"balanced": asdict(plan.operating_point), "strict": asdict(plan.strict)},
    }


def _waking(wake: WakeSpec, digest: str) -> dict[str, Any]:
    return {
        "file": WAKE_FILE,
        "sha256": digest,
        "over": wake.over,
        "over_sparing": wake.over_sparing,
        "hold_s": wake.hold_s,
        "back": wake.back,
    }


def golden_pcm() -> np.ndarray:
    """Return half a minute that the project made itself, int16[n]: hiss like a street's, then a siren in it."""
    rng = np.random.default_rng(0)
    out = 0.02 * rng.standard_normal(to_samples(_GOLDEN_S))
    tone = sirens.find_siren("us", "wail")
    begin = len(out) // 2
    out[begin:] += 0.1 * synthesis.synthesise(tone, len(out) - begin, SAMPLE_RATE_HZ, rng)
    return np.round(np.clip(out, -1.0, 1.0) * 32767).astype(np.int16)
