"""The manifest of a bundle: every field is checked, for a field that is not known might change what the model means."""

from __future__ import annotations

import json
import re
import reprlib
import sys
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import sirend
from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.detect.features import FeatureSpec
from sirend.detect.site_gain import SiteGainSpec
from sirend.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from _typeshed import DataclassInstance

SCHEMA = "sirend/manifest/2"
_WINDOW_SCHEMA = "sirend/manifest/1"
MANIFEST_FILE = "manifest.json"
LONGEST_S = 60.0
"""Nothing reaches back further."""
_SHA256 = "[0-9a-f]{64}"
_POINT: dict[str, type] = {"enter": float, "exit": float, "confirm_s": float, "release_s": float}


@dataclass(frozen=True, slots=True)
class _Section:
    """What a JSON object of the manifest may hold."""

    required: Mapping[str, type]
    optional: Mapping[str, type] = field(default_factory=dict)
    patterns: Mapping[str, str] = field(default_factory=dict)
    """Forms that text must have."""


def _of(kind: type[DataclassInstance]) -> _Section:
    return _Section({each.name: int if each.type == "int" else float for each in fields(kind)})


_SECTIONS: dict[str, _Section] = {
    "": _Section(
        {
            "schema": str, "name": str, "features": dict, "features_digest": str, "model_sha256": str, "output": str,
            "backbone": dict, "head": dict, "calibration": dict, "operating_points": dict, "hop_s": float,
            "recipe_sha256": str, "min_sirend": str,
        },
        {"evidence": dict, "suspect": float, "site_gain": dict, "wake": dict, "golden": str},
        {
            "schema": re.escape(SCHEMA), "name": r"siren-\d+\.\d+\.\d+", "output": "logit",
            "features_digest": _SHA256, "model_sha256": _SHA256, "recipe_sha256": _SHA256,
            "min_sirend": r"\d+\.\d+\.\d+", "golden": r"[\w-]+\.npz",
        },
    ),
    "features": _of(FeatureSpec),
    "calibration": _Section({"scale": float, "offset": float}),
    "backbone": _Section(
        {"file": str, "sha256": str, "patch_frames": int, "outputs": int, "step_s": float},
        patterns={"file": r"[\w-]+\.tflite", "sha256": _SHA256},
    ),
    "head": _Section({"places": int, "spacing_s": float, "inputs": int}),
    "evidence": _Section({"first": int, "count": int, "weight": float}, {"memory_s": float}),
    "site_gain": _of(SiteGainSpec),
    "wake": _Section(
        {"file": str, "sha256": str, "over": float, "over_sparing": float, "hold_s": float, "back": int},
        patterns={"file": r"[\w-]+\.tflite", "sha256": _SHA256},
    ),
    "operating_points": _Section({"balanced": dict, "strict": dict}),
    "operating_points.balanced": _Section(_POINT),
    "operating_points.strict": _Section(_POINT),
}  # fmt: skip


def parse_manifest(file: Path, content: bytes) -> dict[str, Any]:
    """Return the manifest as JSON values that make sense together; raise ``ConfigError`` with all that do not."""
    try:
        manifest = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ConfigError(str(file), [f"this is not JSON: {error}"]) from error
    if not isinstance(manifest, dict):
        raise ConfigError(str(file), ["this must be a JSON object"])
    if isinstance(schema := manifest.get("schema"), str) and schema != SCHEMA:
        raise ConfigError(str(file), [_of_another_schema(schema)])
    problems = [problem for path, section in _SECTIONS.items() for problem in _shape(path, section, manifest)]
    if not problems:
        problems = [problem for path, section in _SECTIONS.items() for problem in _form(path, section, manifest)]
        problems += [problem for holds, problem in _facts(manifest) if not holds]
    if not problems:  # what follows multiplies and compares what must first make sense alone
        together = _together(manifest, FeatureSpec(**manifest["features"]))
        problems = [problem for holds, problem in together if not holds]
    if not problems and _version(manifest["min_sirend"]) > _version(sirend.__version__):
        problems = [f"the model needs sirend {manifest['min_sirend']}; this is {sirend.__version__}: update it"]
    if problems:
        raise ConfigError(str(file), problems)
    return manifest


def _of_another_schema(schema: str) -> str:
    """Return what to do about a bundle that is older or newer than this sirend reads."""
    if schema == _WINDOW_SCHEMA:
        return (
            f"schema is {schema}: such a model judges windows of 2 s alone and is no longer run; take the one that "
            "ships (leave detect.model and --model out) or train yours anew (sirend train)"
        )
    return f"schema is {reprlib.repr(schema)}: sirend {sirend.__version__} reads {SCHEMA}"


def _at(path: str, manifest: dict[str, Any]) -> dict[str, Any] | None:
    """Return the object at the dotted ``path``; None where there is none."""
    here: Any = manifest
    for part in filter(None, path.split(".")):
        here = here.get(part) if isinstance(here, dict) else None
    return here if isinstance(here, dict) else None


def _shape(path: str, section: _Section, manifest: dict[str, Any]) -> Iterator[str]:
    """Yield a problem for each field that is missing, unknown or of the wrong type."""
    values = _at(path, manifest)
    if values is None:
        return  # told where it is missing or no object
    prefix = path and f"{path}."
    yield from (f"{prefix}{name} is missing" for name in section.required if name not in values)
    for name, value in values.items():
        kind = section.required.get(name) or section.optional.get(name)
        if kind is None:
            yield f"{prefix}{name} is unknown to sirend {sirend.__version__}"
        elif kind is float:
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not abs(value) <= sys.float_info.max:  # a whole number of JSON has any size
                yield f"{prefix}{name} is {reprlib.repr(value)}: it must be a number"
        elif not isinstance(value, kind) or isinstance(value, bool):
            yield f"{prefix}{name} is {reprlib.repr(value)}: it must be a {_JSON_NAMES[kind]}"


_JSON_NAMES = {str: "text", int: "whole number", dict: "JSON object"}


def _form(path: str, section: _Section, manifest: dict[str, Any]) -> Iterator[str]:
    values = _at(path, manifest) or {}
    prefix = path and f"{path}."
    for name, pattern in section.patterns.items():
        if name in values and not re.fullmatch(pattern, values[name]):
            yield f"{prefix}{name} is {reprlib.repr(values[name])}: it must be of the form {pattern}"


def _facts(manifest: dict[str, Any]) -> Iterator[tuple[bool, str]]:
    """Yield what must hold of single fields and whether it does."""
    for name, point in manifest["operating_points"].items():
        yield 0.0 < point["exit"] < point["enter"] < 1.0, f"operating_points.{name} needs 0 < exit < enter < 1"
        yield min(point["confirm_s"], point["release_s"]) >= 0.0, f"operating_points.{name} has a negative time"
    features = manifest["features"]
    yield manifest["calibration"]["scale"] > 0.0, "calibration.scale must be over 0"
    yield manifest["hop_s"] > 0.0, "hop_s must be over 0"
    rate = features["sample_rate_hz"]
    yield rate == SAMPLE_RATE_HZ, f"features.sample_rate_hz is {rate}: it must be {SAMPLE_RATE_HZ}"
    computed = _can_be_computed(features)
    yield computed, "features cannot be computed: lengths, bands and frequencies do not fit together"


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
        and features["log_offset"] > 0.0
    )


def _together(manifest: dict[str, Any], spec: FeatureSpec) -> Iterator[tuple[bool, str]]:
    """Yield what must hold between fields and whether it does."""
    backbone, head = manifest["backbone"], manifest["head"]
    step_s, outputs = backbone["step_s"], backbone["outputs"]
    frames = step_s * SAMPLE_RATE_HZ / spec.step_samples
    yield 0 < backbone["patch_frames"] <= spec.frames, "a patch of backbone.patch_frames must lie within a window"
    is_on_grid = 0.0 < step_s <= 1.0 and frames == round(frames)
    yield is_on_grid, f"backbone.step_s must be a multiple of {spec.step_samples / SAMPLE_RATE_HZ:g}, at most 1"
    spacing = head["spacing_s"] / step_s if is_on_grid else 0.0
    yield spacing >= 1.0 and spacing == round(spacing), "head.spacing_s must be a multiple of backbone.step_s"
    reach = head["places"] > 0 and head["places"] * head["spacing_s"] <= LONGEST_S
    yield reach, f"head.places must be over 0, and reach back no further than {LONGEST_S:g} s"
    yield 0 < head["inputs"] <= outputs <= _MOST_OUTPUTS, "head.inputs must be over 0 and within backbone.outputs"
    if (evidence := manifest.get("evidence")) is not None:
        first, count = evidence["first"], evidence["count"]
        yield first >= 0 < count and first + count <= outputs, "evidence must lie within backbone.outputs"
        yield 0.0 <= evidence["weight"] <= 1.0, "evidence.weight must lie in 0..1"
        within = 0.0 <= evidence.get("memory_s", 0.0) <= LONGEST_S
        yield within, f"evidence.memory_s must lie in 0..{LONGEST_S:g}"
    if (wake := manifest.get("wake")) is not None:
        yield 0.0 <= wake["hold_s"] <= LONGEST_S, f"wake.hold_s must lie in 0..{LONGEST_S:g}"
        yield wake["over"] <= wake["over_sparing"], "wake.over_sparing must be wake.over or more"
        is_under = wake["over_sparing"] <= manifest.get("suspect", wake["over_sparing"])
        yield is_under, "wake.over_sparing must be suspect or less: what is suspected does not sleep"
        if spacing >= 1.0 and spacing == round(spacing) and 0 < backbone["patch_frames"] <= spec.frames:
            back = wake["back"] * head["spacing_s"] * SAMPLE_RATE_HZ
            within = 0 <= back <= (spec.frames - backbone["patch_frames"]) * spec.step_samples
            yield within, "wake.back must be 0 or more patches of the head that lie within a window"
    if (gain := manifest.get("site_gain")) is not None:
        yield (
            gain["target_rms"] > 0.0 and gain["low_db"] <= 0.0 <= gain["high_db"],
            "site_gain needs target_rms over 0 and low_db <= 0 <= high_db",
        )
        yield gain["tolerance_db"] >= 0.0, "site_gain needs tolerance_db of 0 or more"
        yield 0.0 < gain["prior_s"] <= gain["memory_s"], "site_gain needs 0 < prior_s <= memory_s"


_MOST_OUTPUTS = 65_536
"""More than any network here says of a patch; what it says is kept for seconds."""


def _version(text: str) -> list[int]:
    return [int(part) for part in text.split(".")]
