"""``sirend train``: drawn episodes become a head over eight seconds, and head and backbone a bundle."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy import optimize

from sirend.detect import recollection
from sirend.detect.bundle import MODEL_FILE
from sirend.errors import InputError
from sirend.training import corpus, export, listening, patches, temporal, waking
from sirend.training.backbone import VEHICLES

if TYPE_CHECKING:
    from pathlib import Path

    import keras

    from sirend.training.corpus import Corpus
    from sirend.training.recipe import Recipe
    from sirend.training.specs import TemporalSpec

log = logging.getLogger(__name__)


class Backbone(Protocol):
    """What says numbers of patches: as it speaks in training, and as it ships."""

    @property
    def speaking(self) -> listening.Speaking:
        """What says the numbers from which the head learns."""

    @property
    def vehicles(self) -> int:
        """Place of the first of the vehicle classes' logits among them."""

    @property
    def begin(self) -> temporal.HeadWeights | None:
        """Where the head begins to learn; None draws its weights."""

    def shipped(self, model: keras.Model) -> bytes:
        """Return the TFLite file that ships beside the head ``model``."""

    def waking(self, heard: listening.Heard, which: np.ndarray, log_odds: np.ndarray, folder: Path) -> waking.Waking:
        """Return what wakes it, given what it and the head said of the episodes ``which``.

        Raises ``ConfigError`` where nothing can. ``log_odds`` are float[episodes, patches] of a siren; unfinished work
        is kept in ``folder``.
        """


def train_streaming(
    plan: Recipe, recordings: Corpus, out: Path, work: Path, backbone: Backbone, without: str = ""
) -> None:
    """Draw episodes, fit the head, calibrate on recordings kept back, and write the bundle ``out``.

    Raises ``InputError`` when the recordings lack what training needs.
    """
    heard = drawn(plan, recordings, backbone.speaking, work)
    known = heard.without(without)
    if not (heard.label[known] == 1).any() or not (heard.label[known] == 0).any():
        raise InputError("clips.csv: training needs sirens (class emergency) and other sounds (class other)")
    tested = drawn(plan, recordings, backbone.speaking, work, kept_back=True)
    held = tested.without(without)
    # A head that learns on has its ear in the backbone, and is given no frames.
    learned, asked = (each if backbone.begin is None else replace(each, mel=None) for each in (heard, tested))
    part = "-without-" + without if without else ""
    model = temporal.fit_temporal(learned, known, plan.temporal, work / f"head{part}", backbone.begin)
    decided = np.isfinite(tested.label[held])
    siren = tested.label[held][decided] > 0

    def judged(head: keras.Model) -> tuple[tuple[float, float], float]:
        """Return the calibration of a head, and its share of right half seconds of the recordings kept back."""
        logit = fused_logits(head, asked, held, plan.temporal, backbone.vehicles)[decided]
        scale, offset = plan.calibration or calibrate(logit, siren)
        return (scale, offset), round(float(np.mean((scale * logit + offset > 0) == siren)), 4)

    calibration, right = judged(model)
    metrics: dict[str, object] = {
        "episodes": len(known),
        "episodes_kept_back": len(held),
        "right_of_kept_back": right,
        "without": without,
        "sets": sorted({clip.set for clip in recordings.clips} - {without}),
        "recipe": asdict(plan),
    }
    log.info("right at %.2f %% of the half seconds of recordings kept back", 100 * right)
    if backbone.begin is not None:
        first = temporal.head_network(plan.temporal, backbone.speaking.outputs)
        first.set_weights(backbone.begin)
        _, before = judged(first)
        metrics["right_of_kept_back_before"] = before
        log.info("the head that it began with at %.2f %%", 100 * before)
    files = {
        MODEL_FILE: export.to_tflite(temporal.shipped_head(model), plan.stored),
        export.BACKBONE_FILE: backbone.shipped(model),
    }
    if plan.wake is not None:

        def log_odds(episodes: listening.Heard, which: np.ndarray) -> np.ndarray:
            logit = fused_logits(model, episodes, which, plan.temporal, backbone.vehicles)
            return calibration[0] * logit + calibration[1]

        wakes = backbone.waking(heard, known, log_odds(learned, known), work / f"wake{part}")
        said = waking.wake_log_odds(wakes.network, tested, held, plan.features.bands)
        asleep = waking.asleep(said, log_odds(asked, held), wakes.over)
        metrics["asleep_of_kept_back"] = asleep
        log.info("asleep at %.1f %% of what is no siren, at %.1f %% of what is", *(100 * each for each in asleep))
        files[export.WAKE_FILE] = wakes.network
        # What wakes it by less does so where a site is sparing too.
        over_sparing = plan.wake.over_sparing + wakes.over - plan.wake.over
        plan = replace(plan, wake=replace(plan.wake, over=wakes.over, over_sparing=over_sparing))
    export.write_bundle(out, plan, files, calibration, metrics)


def drawn(
    plan: Recipe, recordings: Corpus, speaking: listening.Speaking, work: Path, *, kept_back: bool = False
) -> listening.Heard:
    """Return the recipe's episodes as ``speaking`` hears them, of recordings that are kept back or of the others."""
    spec, purpose = plan.episodes, "train"
    if kept_back:
        spec, purpose = replace(spec, count=max(1, int(spec.count * plan.held_out))), "calibrate"
    return listening.hear_episodes(
        recordings,
        spec,
        plan.features,
        speaking,
        lambda clip: corpus.kept_back(clip, plan.held_out) == kept_back,
        work / "episodes",
        seed=plan.seed,
        purpose=purpose,
    )


def fused_logits(
    model: keras.Model, heard: listening.Heard, which: np.ndarray, spec: TemporalSpec, first: int
) -> np.ndarray:
    """Return float64[episodes, patches], the head's logit with the vehicle classes, of the episodes ``which``.

    ``first`` is the place of the first of these classes in what was said.
    """
    vehicles = heard.said[which][:, :, first : first + VEHICLES].max(axis=-1).astype(np.float64)
    places = max(1, round(spec.evidence_memory_s / patches.SPACING_S))
    remembered = np.stack(
        [
            recollection.mean_log_odds(vehicles[:, max(0, number - places) : number].T)
            for number in range(1, vehicles.shape[1] + 1)
        ],
        axis=1,
    )
    return recollection.fuse_classes(temporal.asked(model, heard, which), remembered, spec.evidence)


def calibrate(logit: np.ndarray, siren: np.ndarray) -> tuple[float, float]:
    """Return scale and offset that make log-odds of ``logit`` (Platt: logistic regression with one variable).

    Raises ``InputError`` where a higher logit is no sign of a siren.
    """
    sign = np.where(siren, 1.0, -1.0)

    def loss(point: np.ndarray) -> float:
        return float(np.mean(np.logaddexp(0.0, -sign * (point[0] * logit + point[1]))))

    scale, offset = optimize.minimize(loss, [0.5, 0.0], method="Nelder-Mead").x
    if not scale > 0.0:
        raise InputError(
            "clips.csv: in the recordings kept back the network tells no siren from other sounds: train with more "
            "recordings or episodes, or give the recipe a calibration"
        )
    return float(scale), float(offset)
