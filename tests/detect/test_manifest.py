"""The manifest of a bundle that follows a stream."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.detect.manifests import BACKBONE, HEAD, MANIFEST, WAKE

import sirend
from sirend.detect import bundle
from sirend.detect.bundle import Evidence, Head, OperatingPoint, Patches, Streaming, Wake
from sirend.detect.site_gain import SiteGainSpec
from sirend.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def changed(path: str, value: object) -> dict[str, Any]:
    """Return the manifest with the field at the dotted ``path`` set, or without it where ``value`` is None."""
    manifest = copy.deepcopy(MANIFEST)
    *parents, name = path.split(".")
    here: Any = manifest
    for parent in parents:
        here = here[parent]
    if value is None:
        del here[name]
    else:
        here[name] = value
    return manifest


def write(folder: Path, manifest: dict[str, Any]) -> Path:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "model.tflite").write_bytes(HEAD)
    (folder / "backbone.tflite").write_bytes(BACKBONE)
    (folder / "wake.tflite").write_bytes(WAKE)
    return folder


def problems(folder: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        bundle.load(folder)
    return caught.value.problems


def test_every_field_is_read(tmp_path: Path) -> None:
    loaded = bundle.load(write(tmp_path / "b", MANIFEST))
    assert loaded.streaming == Streaming(
        patches=Patches(BACKBONE, patch_frames=96, outputs=132, step_s=0.25),
        head=Head(places=15, spacing_s=0.5, inputs=128),
        evidence=Evidence(first=128, count=4, weight=0.35),
        suspect=-2,
        site_gain=SiteGainSpec(target_rms=1.4, prior_s=30, memory_s=120, low_db=-20, high_db=40, tolerance_db=12),
        wake=Wake(WAKE, over=-2.5, over_sparing=-2.25, hold_s=2, back=2),
    )
    assert loaded.point("balanced") == OperatingPoint(enter=0.7, exit=0.4, confirm_s=0.5, release_s=3)
    assert loaded.point("strict") == OperatingPoint(enter=0.9, exit=0.6, confirm_s=1, release_s=2)


@pytest.mark.parametrize("name", ["evidence", "suspect", "site_gain", "wake"])
def test_what_a_bundle_need_not_have(tmp_path: Path, name: str) -> None:
    streaming = bundle.load(write(tmp_path / "b", changed(name, None))).streaming
    assert getattr(streaming, name) is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("suspect", -1.0),
        ("evidence.weight", 0.5),
        ("head.places", 14),
        ("operating_points.strict.enter", 0.95),
        ("operating_points.balanced.confirm_s", 0.25),
        ("calibration.scale", 0.9),
        ("site_gain.memory_s", 60),
        ("wake.over", -3.0),
        ("wake.over_sparing", -2.125),
        ("wake.hold_s", 3.0),
        ("wake.back", 1),
    ],
)
def test_what_decides_a_score_or_a_call_is_part_of_the_identity(tmp_path: Path, path: str, value: float) -> None:
    one, other = (write(tmp_path / name, manifest) for name, manifest in (("a", MANIFEST), ("b", changed(path, value))))
    assert bundle.load(one).identity != bundle.load(other).identity


STEP = "backbone.step_s must be a multiple of 0.01, at most 1"
SPACING = "head.spacing_s must be a multiple of backbone.step_s"
PLACES = "head.places must be over 0, and reach back no further than 60 s"
INPUTS = "head.inputs must be over 0 and within backbone.outputs"
EVIDENCE = "evidence must lie within backbone.outputs"
WAKES = "wake.over_sparing must be suspect or less: what is suspected does not sleep"
BACK = "wake.back must be 0 or more patches of the head that lie within a window"
PATCH = "a patch of backbone.patch_frames must lie within a window"
PRIOR = "site_gain needs 0 < prior_s <= memory_s"
TARGET = "site_gain needs target_rms over 0 and low_db <= 0 <= high_db"


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("role", "small", f"role is unknown to sirend {sirend.__version__}"),
        ("head", None, "head is missing"),
        ("head", 3, "head is 3: it must be a JSON object"),
        ("head.state", 1, f"head.state is unknown to sirend {sirend.__version__}"),
        ("head.places", 15.0, "head.places is 15.0: it must be a whole number"),
        ("head.places", 0, PLACES),
        ("head.places", 10**9, PLACES),
        ("head.spacing_s", 0.6, SPACING),
        ("head.spacing_s", 0.0, SPACING),
        ("head.inputs", 133, INPUTS),
        ("head.inputs", 0, INPUTS),
        ("backbone", None, "backbone is missing"),
        ("backbone.step_s", None, "backbone.step_s is missing"),
        ("backbone.outputs", 10**9, INPUTS),
        ("backbone.patch_frames", 0, PATCH),
        ("backbone.patch_frames", 199, PATCH),
        ("backbone.file", "../up.tflite", r"backbone.file is '../up.tflite': it must be of the form [\w-]+\.tflite"),
        ("backbone.places", [0, 50], f"backbone.places is unknown to sirend {sirend.__version__}"),
        ("wake.over_sparing", -1.5, WAKES),
        ("wake.over", -2.0, "wake.over_sparing must be wake.over or more"),
        ("wake.over", "low", "wake.over is 'low': it must be a number"),
        ("wake.hold_s", -0.1, "wake.hold_s must lie in 0..60"),
        ("wake.hold_s", 1e9, "wake.hold_s must lie in 0..60"),
        ("wake.back", -1, BACK),
        ("wake.back", 3, BACK),
        ("wake.file", None, "wake.file is missing"),
        ("wake.level", 1, f"wake.level is unknown to sirend {sirend.__version__}"),
        (
            "wake.sha256",
            "0" * 64,
            "wake.tflite does not have the SHA-256 of the manifest: it was changed; install it again",
        ),
        (
            "backbone.sha256",
            "0" * 64,
            "backbone.tflite does not have the SHA-256 of the manifest: it was changed; install it again",
        ),
        ("evidence.first", 129, EVIDENCE),
        ("evidence.first", -1, EVIDENCE),
        ("evidence.count", 0, EVIDENCE),
        ("evidence.weight", 1.5, "evidence.weight must lie in 0..1"),
        ("evidence.memory_s", -0.5, "evidence.memory_s must lie in 0..60"),
        ("evidence.memory_s", 61.0, "evidence.memory_s must lie in 0..60"),
        ("suspect", "never", "suspect is 'never': it must be a number"),
        ("suspect", True, "suspect is True: it must be a number"),
        ("site_gain.prior_s", 0, PRIOR),
        ("site_gain.memory_s", 29, PRIOR),
        ("site_gain.target_rms", 0, TARGET),
        ("site_gain.low_db", 1, TARGET),
        ("site_gain.high_db", -1, TARGET),
        ("site_gain.tolerance_db", -1, "site_gain needs tolerance_db of 0 or more"),
        ("site_gain.high_db", float("inf"), "site_gain.high_db is inf: it must be a number"),
        ("operating_point", {}, f"operating_point is unknown to sirend {sirend.__version__}"),
        ("operating_points.strict", None, "operating_points.strict is missing"),
        ("operating_points.lax", {}, f"operating_points.lax is unknown to sirend {sirend.__version__}"),
        ("operating_points.strict.enter", 0.5, "operating_points.strict needs 0 < exit < enter < 1"),
        ("operating_points.balanced.release_s", -1, "operating_points.balanced has a negative time"),
        ("operating_points.balanced.enter", "x", "operating_points.balanced.enter is 'x': it must be a number"),
    ],
)
def test_a_field_that_makes_no_sense_is_refused(tmp_path: Path, path: str, value: object, problem: str) -> None:
    assert problems(write(tmp_path / "b", changed(path, value))) == (problem,)


def test_a_step_off_the_frames_is_refused(tmp_path: Path) -> None:
    assert problems(write(tmp_path / "b", changed("backbone.step_s", 0.255))) == (STEP, SPACING)
