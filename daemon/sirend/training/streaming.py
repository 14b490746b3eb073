"""``sirend train`` for a network over eight seconds: episodes become a head, and head and backbone a bundle."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

import sirend
from sirend.audio.stream import SAMPLE_RATE_HZ, to_samples
from sirend.detect import bundle as bundles
from sirend.detect import golden, recollection
from sirend.detect.bundle import MANIFEST_FILE, MODEL_FILE
from sirend.detect.manifest import SCHEMA
from sirend.errors import ConfigError, InputError
from sirend.simulate import sirens, synthesis
from sirend.training import backbone, corpus, listening, patches, pupil, rounding, temporal
from sirend.training.episodes import LABEL_S
from sirend.training.export import BACKBONE_FILE, GOLDEN_FILE, to_tflite
from sirend.training.specs import PATCH_FRAMES
from sirend.training.teacher import calibrate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import keras

    from sirend.training.corpus import Clip, Corpus
    from sirend.training.episodes import EpisodeSpec
    from sirend.training.recipe import Recipe
    from sirend.training.specs import TemporalSpec

log = logging.getLogger(__name__)

_GOLDEN_S = 30.0


def train_streaming(
    plan: Recipe, recordings: Corpus, out: Path, work: Path, published: Path, without: str = ""
) -> None:
    """Draw episodes, fit the head, calibrate on recordings kept back, and write the bundle ``out``.

    Raises ``ConfigError`` when the recipe lacks what such a bundle needs, ``InputError`` when the recordings do.
    """
    if plan.episodes is None or plan.temporal is None or plan.teacher is None or plan.strict is None:
        raise ConfigError("recipe", ["a network over seconds needs episodes, temporal, teacher and strict"])
    weights = backbone.read_weights(published / plan.teacher.variables, plan.teacher.sha256)
    network = write_backbone(plan, published, work)
    heard = drawn(plan, recordings, network, work)
    known = heard.without(without)
    if not (heard.label[known] == 1).any() or not (heard.label[known] == 0).any():
        raise InputError("clips.csv: training needs sirens (class emergency) and other sounds (class other)")
    tested = drawn(plan, recordings, network, work, kept_back=True)
    held = tested.without(without)
    folder = work / ("head" + ("-without-" + without if without else ""))
    model = temporal.fit_temporal(heard, known, plan.temporal, folder)
    voice = backbone.backbone_network(plan.features.bands, weights)
    if plan.pupil is not None:
        voice, model, tested = taught_pupil(plan, heard, known, tested, model, folder)
    logit = fused_logits(model, tested, held, plan.temporal)
    decided = np.isfinite(tested.label[held])
    siren = tested.label[held][decided] > 0
    calibration = plan.calibration or calibrate(logit[decided], siren)
    right = float(np.mean((calibration[0] * logit[decided] + calibration[1] > 0) == siren))
    metrics = {
        "episodes": len(known),
        "episodes_kept_back": len(held),
        "right_of_kept_back": round(right, 4),
        "without": without,
        "sets": sorted({clip.set for clip in recordings.clips} - {without}),
        "recipe": asdict(plan),
    }
    log.info("right at %.2f %% of the half seconds of recordings kept back", 100 * right)
    files = {
        MODEL_FILE: to_tflite(temporal.shipped_head(model), plan.stored),
        BACKBONE_FILE: packed_backbone(plan, temporal.listener(model, voice, plan.temporal), recordings),
    }
    write_streaming_bundle(out, plan, files, calibration, metrics)


def taught_pupil(
    plan: Recipe, heard: listening.Heard, known: np.ndarray, tested: listening.Heard, teaching: keras.Model,
    folder: Path,
) -> tuple[keras.Model, keras.Model, listening.Heard]:  # fmt: skip
    """Return the pupil of the head ``teaching``, its own head, and the episodes ``tested`` as the pupil hears them.

    It learns from the episodes ``known`` of those that were ``heard``.
    """
    if plan.pupil is None or plan.temporal is None:
        raise ConfigError("recipe", ["a pupil needs pupil and temporal"])
    wanted = pupil.pupil_targets(teaching, heard)
    small = pupil.fit_pupil(heard.mel[known], wanted[known], heard.until, plan.pupil, folder / "pupil")
    again = replace(heard, said=pupil.says(small, heard.mel, heard.until))
    head = temporal.fit_temporal(again, known, plan.temporal, folder / "pupil-head")
    return small, head, replace(tested, said=pupil.says(small, tested.mel, tested.until))


def write_backbone(plan: Recipe, published: Path, work: Path) -> Path:
    """Return the backbone with all it has to say, a TFLite file in ``work``.

    Raises ``ConfigError`` when the recipe has no teacher or its weights are not those that it names.
    """
    if plan.teacher is None:
        raise ConfigError("recipe", ["a network over seconds needs a teacher"])
    path = work / "speaking.tflite"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        weights = backbone.read_weights(published / plan.teacher.variables, plan.teacher.sha256)
        path.write_bytes(to_tflite(backbone.backbone_network(plan.features.bands, weights)))
    return path


def drawn(plan: Recipe, recordings: Corpus, network: Path, work: Path, *, kept_back: bool = False) -> listening.Heard:
    """Return the recipe's episodes as ``network`` hears them, of recordings that are kept back or of the others."""
    spec, keep, purpose = _pool(plan, kept_back=kept_back)
    return listening.hear_episodes(
        recordings, spec, plan.features, network, keep, work / "episodes", seed=plan.seed, purpose=purpose
    )


def _pool(plan: Recipe, *, kept_back: bool) -> tuple[EpisodeSpec, Callable[[Clip], bool], str]:
    if plan.episodes is None:
        raise ConfigError("recipe", ["a network over seconds needs episodes"])
    if kept_back:
        fewer = replace(plan.episodes, count=max(1, int(plan.episodes.count * plan.held_out)))
        return fewer, lambda clip: corpus.kept_back(clip, plan.held_out), "calibrate"
    return plan.episodes, lambda clip: not corpus.kept_back(clip, plan.held_out), "train"


def fused_logits(model: keras.Model, heard: listening.Heard, which: np.ndarray, spec: TemporalSpec) -> np.ndarray:
    """Return float64[episodes, patches], the head's logit with the vehicle classes, of the episodes ``which``."""
    first = heard.said.shape[2] - len(backbone.CLASSES)
    vehicles = heard.said[which][:, :, first : first + backbone.VEHICLES].max(axis=-1).astype(np.float64)
    places = max(1, round(spec.evidence_memory_s / patches.SPACING_S))
    remembered = np.stack(
        [
            recollection.mean_log_odds(vehicles[:, max(0, number - places) : number].T)
            for number in range(1, vehicles.shape[1] + 1)
        ],
        axis=1,
    )
    return recollection.fuse_classes(temporal.asked(model, heard, which), remembered, spec.evidence)


def packed_backbone(plan: Recipe, listener: keras.Model, recordings: Corpus) -> bytes:
    """Return the shipped backbone as a TFLite file, its weights stored as the recipe says.

    Those in int8 are rounded on what episodes of ``recordings`` sound like; raises ``ConfigError`` where it then says
    something else.
    """
    flatbuffer = to_tflite(listener, plan.stored)
    if plan.stored != "int8":
        return flatbuffer
    return rounding.rounded(flatbuffer, *rounding.sounds(plan, recordings))


def write_streaming_bundle(
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
    for kept in ("MODEL_CARD.md", "floors.json"):
        if (out / kept).exists():
            shutil.copy2(out / kept, unfinished / kept)
    shutil.rmtree(out, ignore_errors=True)
    unfinished.rename(out)


def manifest(plan: Recipe, calibration: tuple[float, float], digests: dict[str, str]) -> dict[str, Any]:
    """Return the manifest of a bundle whose files have the given SHA-256, JSON values."""
    if plan.temporal is None or plan.strict is None:
        raise ConfigError("recipe", ["a network over seconds needs temporal and strict"])
    units = plan.temporal.units
    return {
        "schema": SCHEMA,
        "name": plan.name,
        **({} if plan.role is None else {"role": plan.role}),
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
        "operating_points": {"balanced": asdict(plan.operating_point), "strict": asdict(plan.strict)},
    }


def golden_pcm() -> np.ndarray:
    """Return half a minute that the project made itself, int16[n]: hiss like a street's, then a siren in it."""
    rng = np.random.default_rng(0)
    out = 0.02 * rng.standard_normal(to_samples(_GOLDEN_S))
    tone = sirens.find_siren("us", "wail")
    begin = len(out) // 2
    out[begin:] += 0.1 * synthesis.synthesise(tone, len(out) - begin, SAMPLE_RATE_HZ, rng)
    return np.round(np.clip(out, -1.0, 1.0) * 32767).astype(np.int16)
