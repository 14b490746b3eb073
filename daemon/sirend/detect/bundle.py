"""A model bundle: find it, read it, and believe nothing in it that was not checked.

A bundle is a folder ``siren-<version>`` with ``model.tflite`` and ``manifest.json``. Every field of the manifest is
checked here; a field that the daemon does not know is an error, for it might change what the model means.
"""

from __future__ import annotations

import hashlib
import json
import re
import reprlib
import sys
from dataclasses import dataclass, fields, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sirend
from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.detect.features import FeatureSpec
from sirend.errors import ConfigError
from sirend.host.files import is_there

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = "sirend/manifest/1"
MODEL_FILE = "model.tflite"
MANIFEST_FILE = "manifest.json"
_REQUIRED = {
    "schema": str,
    "name": str,
    "features": dict,
    "features_digest": str,
    "model_sha256": str,
    "output": str,
    "calibration": dict,
    "operating_point": dict,
    "hop_s": float,
    "recipe_sha256": str,
    "min_sirend": str,
}
_OPTIONAL = {"golden": str, "backbone": dict}
_BACKBONE = {"file": str, "sha256": str, "patch_frames": int, "places": list, "outputs": int}
_PATTERNS = {
    "schema": re.escape(SCHEMA),
    "name": r"siren-\d+\.\d+\.\d+",
    "output": "logit",
    "features_digest": "[0-9a-f]{64}",
    "model_sha256": "[0-9a-f]{64}",
    "recipe_sha256": "[0-9a-f]{64}",
    "min_sirend": r"\d+\.\d+\.\d+",
    "golden": r"[\w-]+\.npz",
}
_BACKBONE_PATTERNS = {"file": r"[\w-]+\.tflite", "sha256": "[0-9a-f]{64}"}


@dataclass(frozen=True, slots=True)
class Calibration:
    """Makes a probability of the network's logit: ``sigmoid(scale * logit + offset)``."""

    scale: float
    """Over 0."""
    offset: float


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The thresholds and times that were chosen together with the model."""

    enter: float
    """Evidence at which a siren is heard, 0..1."""
    exit: float
    """Evidence below which it is gone, 0..``enter``."""
    confirm_s: float
    """How long the evidence must be there before a call, s."""
    release_s: float
    """How long it must be gone before a call ends, s."""


@dataclass(frozen=True, slots=True)
class Backbone:
    """A network that listens to patches of a window, for the bundle's own network to judge."""

    model_bytes: bytes
    """A TFLite flatbuffer whose digest was verified."""
    patch_frames: int
    """Length of a patch, frames."""
    places: tuple[int, ...]
    """Where the patches begin in a window, frames, rising."""
    outputs: int
    """Numbers that it says of a patch."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A model and everything that is needed to use it as it was trained."""

    path: Path
    """The bundle's folder."""
    name: str
    """What events call it: name, version and the first 12 hex digits of the network's digest."""
    feature_spec: FeatureSpec
    model_bytes: bytes
    """The network, a TFLite flatbuffer whose digest was verified."""
    operating: OperatingPoint
    calibration: Calibration
    hop_s: float
    """Distance of windows, s, for which the operating point was chosen."""
    digest: str
    """SHA-256 of ``model_bytes`` in hex."""
    backbone: Backbone | None = None
    """None where the network takes the window alone."""

    @property
    def identity(self) -> str:
        """SHA-256 in hex of all that decides a score or a call: networks, calibrations, thresholds."""
        listening = self.backbone and (
            hashlib.sha256(self.backbone.model_bytes).hexdigest(),
            replace(self.backbone, model_bytes=b""),
        )
        return hashlib.sha256(repr((self.digest, self.calibration, self.operating, listening)).encode()).hexdigest()


def find(path: Path | None) -> Path:
    """Return ``path`` if it is a bundle's folder, or the newest bundle that ships with sirend when it is None.

    Raises ``ConfigError`` when there is none.
    """
    if path is not None:
        if not is_there(path / MANIFEST_FILE):
            raise ConfigError(str(path), [f"this is no model bundle: it has no file {MANIFEST_FILE}"])
        return path
    folders = shipped()
    for folder in folders:
        bundles = [each.parent for each in folder.glob(f"siren-*/{MANIFEST_FILE}")]
        if bundles:
            return max(bundles, key=lambda bundle: [int(part) for part in re.findall(r"\d+", bundle.name)])
    looked = " and ".join(map(str, folders))
    raise ConfigError("model", [f"no model bundle in {looked}; install sirend again or give one with --model"])


def shipped() -> list[Path]:
    """Return the folders in which models ship: inside the installed package, and beside it in a source checkout."""
    package = Path(str(resources.files(sirend)))
    return [package / "models", package.parent.parent / "models"]


def load(path: Path) -> Bundle:
    """Read the bundle in the folder ``path``; raise ``ConfigError`` with everything that is wrong with it."""
    manifest = _manifest(path)
    problems = _problems(manifest)
    if problems:
        raise ConfigError(str(path / MANIFEST_FILE), problems)
    model_bytes = _read(path / MODEL_FILE)
    spec = FeatureSpec(**manifest["features"])
    digest = hashlib.sha256(model_bytes).hexdigest()
    if digest != manifest["model_sha256"]:
        problems.append(
            f"{MODEL_FILE} has SHA-256 {digest[:12]}…, the manifest says {manifest['model_sha256'][:12]}…: "
            "the model was changed or damaged; install it again"
        )
    if spec.digest != manifest["features_digest"]:
        problems.append("features_digest does not belong to the features: the manifest was changed; install it again")
    described = manifest.get("backbone")
    backbone = None if described is None else _backbone(path, described, problems)
    if manifest.get("golden") is not None and not is_there(path / manifest["golden"]):
        problems.append(f"the file {manifest['golden']} is missing; install the model again")
    if problems:
        raise ConfigError(str(path), problems)
    return Bundle(
        path=path,
        name=f"{manifest['name']}@{digest[:12]}",
        feature_spec=spec,
        model_bytes=model_bytes,
        operating=OperatingPoint(**manifest["operating_point"]),
        calibration=Calibration(**manifest["calibration"]),
        hop_s=float(manifest["hop_s"]),
        digest=digest,
        backbone=backbone,
    )


def _backbone(path: Path, described: dict[str, Any], problems: list[str]) -> Backbone:
    model_bytes = _read(path / described["file"])
    if hashlib.sha256(model_bytes).hexdigest() != described["sha256"]:
        problems.append(
            f"{described['file']} does not have the SHA-256 of the manifest: it was changed; install it again"
        )
    return Backbone(model_bytes, described["patch_frames"], tuple(described["places"]), described["outputs"])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(str(path), [f"the model cannot be read: {error.strerror}"]) from error


def _manifest(path: Path) -> dict[str, Any]:
    """Return the manifest as JSON values."""
    file = path / MANIFEST_FILE
    try:
        manifest = json.loads(_read(file))
    except (ValueError, RecursionError) as error:
        raise ConfigError(str(file), [f"this is not JSON: {error}"]) from error
    if not isinstance(manifest, dict):
        raise ConfigError(str(file), ["this must be a JSON object"])
    return manifest


def _problems(manifest: dict[str, Any]) -> list[str]:
    """Return what is wrong with the manifest on its face."""
    problems = _shape_problems("", manifest, _REQUIRED, _OPTIONAL)
    for section, kind in (("features", FeatureSpec), ("calibration", Calibration), ("operating_point", OperatingPoint)):
        if isinstance(manifest.get(section), dict):
            types = {each.name: int if each.type == "int" else float for each in fields(kind)}
            problems += _shape_problems(f"{section}.", manifest[section], types, {})
    if isinstance(manifest.get("backbone"), dict):
        problems += _shape_problems("backbone.", manifest["backbone"], _BACKBONE, {})
    if problems:
        return problems
    backbone = manifest.get("backbone", {})
    for prefix, values, patterns in (("", manifest, _PATTERNS), ("backbone.", backbone, _BACKBONE_PATTERNS)):
        problems += [
            f"{prefix}{name} is {reprlib.repr(values[name])}: it must be of the form {pattern}"
            for name, pattern in patterns.items()
            if name in values and not re.fullmatch(pattern, values[name])
        ]
    point, calibration, features = manifest["operating_point"], manifest["calibration"], manifest["features"]
    for holds, problem in (
        (0.0 < point["exit"] < point["enter"] < 1.0, "operating_point needs 0 < exit < enter < 1"),
        (min(point["confirm_s"], point["release_s"]) >= 0.0, "operating_point has a negative time"),
        (calibration["scale"] > 0.0, "calibration.scale must be over 0"),
        (manifest["hop_s"] > 0.0, "hop_s must be over 0"),
        (
            features["sample_rate_hz"] == SAMPLE_RATE_HZ,
            f"features.sample_rate_hz is {features['sample_rate_hz']}: it must be {SAMPLE_RATE_HZ}",
        ),
        (_can_be_computed(features), "features cannot be computed: lengths, bands and frequencies do not fit together"),
    ):
        if not holds:
            problems.append(problem)
    if not problems and backbone and not _lie_in_a_window(backbone, FeatureSpec(**features)):
        problems.append("backbone.places must rise, and every patch of patch_frames lie within a window")
    if not problems and _version(manifest["min_sirend"]) > _version(sirend.__version__):
        problems.append(f"the model needs sirend {manifest['min_sirend']}; this is {sirend.__version__}: update it")
    return problems


def _shape_problems(
    prefix: str, values: dict[str, Any], required: Mapping[str, type], optional: Mapping[str, type]
) -> list[str]:
    """Return a problem for each field that is missing, unknown or of the wrong type."""
    problems = [f"{prefix}{name} is missing" for name in required if name not in values]
    for name, value in values.items():
        kind = required.get(name) or optional.get(name)
        if kind is None:
            problems.append(f"{prefix}{name} is unknown to sirend {sirend.__version__}")
        elif kind is float:
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not abs(value) <= sys.float_info.max:  # a whole number of JSON has any size
                problems.append(f"{prefix}{name} is {reprlib.repr(value)}: it must be a number")
        elif not isinstance(value, kind) or isinstance(value, bool):
            problems.append(f"{prefix}{name} is {reprlib.repr(value)}: it must be a {_JSON_NAMES[kind]}")
    return problems


_JSON_NAMES = {str: "text", int: "whole number", dict: "JSON object", list: "list"}


def _can_be_computed(features: dict[str, float]) -> bool:
    """Return whether the lengths, bands and frequencies of a feature specification make sense."""
    return (
        0
        < features["step_samples"]
        <= features["frame_samples"]
        <= features["fft_samples"]
        <= features["window_samples"]
        and features["window_samples"] <= 10 * SAMPLE_RATE_HZ
        and 0 < features["bands"] <= features["fft_samples"] // 2
        and 0.0 <= features["low_hz"] < features["high_hz"] <= SAMPLE_RATE_HZ / 2
        and min(features["log_offset"], features["target_rms"], features["max_gain"]) > 0.0
    )


def _lie_in_a_window(backbone: dict[str, Any], spec: FeatureSpec) -> bool:
    """Return whether the patches of a backbone can be cut out of a window."""
    places, frames = backbone["places"], backbone["patch_frames"]
    return (
        bool(places)
        and all(type(place) is int for place in places)
        and places == sorted(set(places))
        and min(frames, backbone["outputs"]) > 0
        and places[0] >= 0
        and places[-1] + frames <= spec.frames
    )


def _version(text: str) -> list[int]:
    return [int(part) for part in text.split(".")]
