from __future__ import annotations

import copy
import hashlib
import importlib.util
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
from tests.detect.manifests import BACKBONE, HEAD, MANIFEST, WAKE

import sirend
from sirend.config.settings import DetectConfig
from sirend.detect import bundle
from sirend.detect.bundle import Calibration, OperatingPoint
from sirend.detect.features import FeatureSpec
from sirend.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType


def manifest(**changes: object) -> dict[str, Any]:
    return copy.deepcopy(MANIFEST) | changes


def write(folder: Path, content: dict[str, Any] | None = None, head: bytes | None = HEAD) -> Path:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(content or MANIFEST))
    (folder / "backbone.tflite").write_bytes(BACKBONE)
    (folder / "wake.tflite").write_bytes(WAKE)
    if head is not None:
        (folder / "model.tflite").write_bytes(head)
    return folder


def problems(folder: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        bundle.load(folder)
    assert caught.value.where in (str(folder), str(folder / "manifest.json"), str(folder / "model.tflite"))
    return caught.value.problems


def test_a_sound_bundle_is_read(tmp_path: Path) -> None:
    loaded = bundle.load(write(tmp_path / "b"))
    digest = hashlib.sha256(HEAD).hexdigest()
    assert loaded.name == f"siren-2.0.0@{digest[:12]}"
    assert loaded.digest == digest
    assert loaded.model_bytes == HEAD
    assert loaded.feature_spec == FeatureSpec()
    assert loaded.calibration == Calibration(scale=0.8, offset=-0.5)
    assert loaded.operating == OperatingPoint(enter=0.7, exit=0.4, confirm_s=0.5, release_s=3)
    assert loaded.hop_s == 0.25


def test_a_changed_network_is_refused(tmp_path: Path) -> None:
    (problem,) = problems(write(tmp_path / "b", head=HEAD + b"!"))
    assert problem.startswith("model.tflite has SHA-256 ")
    assert problem.endswith("the model was changed or damaged; install it again")


def test_a_backbone_that_is_missing_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "b")
    (folder / "backbone.tflite").unlink()
    with pytest.raises(ConfigError, match="the model cannot be read: No such file or directory"):
        bundle.load(folder)


def test_a_bundle_of_windows_that_remember_nothing_is_refused_in_a_line_that_says_what_to_do(tmp_path: Path) -> None:
    content = manifest(schema="sirend/manifest/1", operating_point=MANIFEST["operating_points"]["balanced"])
    for name in ("backbone", "head", "evidence", "suspect", "wake", "site_gain", "operating_points"):
        del content[name]
    assert problems(write(tmp_path / "siren-0.1.0", content)) == (
        (
            "schema is sirend/manifest/1: such a model judges windows of 2 s alone and is no longer run; take the one "
            "that ships (leave detect.model and --model out) or train yours anew (sirend train)"
        ),
    )


def test_changed_features_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "b", manifest(features=asdict(FeatureSpec(low_hz=126.0))))
    assert problems(folder) == (
        "features_digest does not belong to the features: the manifest was changed; install it again",
    )


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    content = manifest(recipe="x", hop_s="0.25", output=3, calibration={"scale": True, "offset": float("nan")})
    del content["min_sirend"]
    del content["features"]["bands"]
    assert problems(write(tmp_path / "b", content)) == (
        "min_sirend is missing",
        "output is 3: it must be a text",
        "hop_s is '0.25': it must be a number",
        "recipe is unknown to sirend 0.1.0",
        "features.bands is missing",
        "calibration.scale is True: it must be a number",
        "calibration.offset is nan: it must be a number",
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"schema": "sirend/manifest/3"}, "schema is 'sirend/manifest/3': sirend 0.1.0 reads sirend/manifest/2"),
        ({"output": "probability"}, "output is 'probability': it must be of the form logit"),
        ({"name": "../siren"}, r"name is '../siren': it must be of the form siren-\d+\.\d+\.\d+"),
        ({"golden": "../golden.npz"}, r"golden is '../golden.npz': it must be of the form [\w-]+\.npz"),
        ({"golden": "golden.npz"}, "the file golden.npz is missing; install the model again"),
        ({"calibration": {"scale": 0.0, "offset": 0.0}}, "calibration.scale must be over 0"),
        ({"hop_s": 0}, "hop_s must be over 0"),
        ({"min_sirend": "0.10.0"}, "the model needs sirend 0.10.0; this is 0.1.0: update it"),
        (
            {"features": asdict(FeatureSpec(sample_rate_hz=8_000))},
            "features.sample_rate_hz is 8000: it must be 16000",
        ),
        (
            {"features": asdict(FeatureSpec(window_samples=10**12))},
            "features cannot be computed: lengths, bands and frequencies do not fit together",
        ),
    ],
)
def test_a_field_that_makes_no_sense_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], problem: str
) -> None:
    monkeypatch.setattr(sirend, "__version__", "0.1.0")
    assert problems(write(tmp_path / "b", manifest(**changes))) == (problem,)


def test_files_that_are_missing_or_no_manifest(tmp_path: Path) -> None:
    assert problems(write(tmp_path / "a", head=None)) == ("the model cannot be read: No such file or directory",)
    broken = write(tmp_path / "b")
    (broken / "manifest.json").write_text("{")
    assert problems(broken)[0].startswith("this is not JSON: ")
    (broken / "manifest.json").write_text("[]")
    assert problems(broken) == ("this must be a JSON object",)


def test_numbers_and_nests_beyond_measure_are_refused_in_a_short_line(tmp_path: Path) -> None:
    huge = {"scale": 10**400, "offset": 0.0}
    (problem,) = problems(write(tmp_path / "b", manifest(calibration=huge, hop_s=0.25)))
    assert problem.startswith("calibration.scale is 100000")
    assert problem.endswith("it must be a number")
    assert len(problem) < 100
    folder = write(tmp_path / "c")
    (folder / "manifest.json").write_text("[" * 100_000)
    (problem,) = problems(folder)
    assert problem.startswith("this is not JSON")


def test_a_golden_file_that_is_there_is_fine(tmp_path: Path) -> None:
    folder = write(tmp_path / "b", manifest(golden="golden.npz"))
    (folder / "golden.npz").touch()
    assert bundle.load(folder).path == folder


def test_a_folder_that_is_named_must_be_a_bundle(tmp_path: Path) -> None:
    assert bundle.find(write(tmp_path / "b")) == tmp_path / "b"
    with pytest.raises(ConfigError) as caught:
        bundle.find(tmp_path)
    assert str(caught.value) == f"{tmp_path}: this is no model bundle: it has no file manifest.json"
    with pytest.raises(ConfigError, match="this is no model bundle"):
        bundle.find(tmp_path / ("x" * 300))


@pytest.mark.parametrize("place", ["site-packages/sirend/models", "checkout/models"])
def test_the_newest_bundle_is_found_in_a_wheel_and_in_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    package = tmp_path / ("site-packages/sirend" if place.startswith("site") else "checkout/daemon/sirend")
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('__version__ = "0.1.0"\n')
    for version in ("0.9.0", "0.10.0", "0.2.11"):
        write(tmp_path / place / f"siren-{version}")
    (tmp_path / place / "siren-9.9.9").mkdir()
    monkeypatch.setattr(bundle, "sirend", installed(package))
    assert bundle.find(None) == tmp_path / place / "siren-0.10.0"


def test_no_bundle_at_all_tells_where_it_was_sought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "daemon" / "sirend"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.setattr(bundle, "sirend", installed(package))
    with pytest.raises(ConfigError) as caught:
        bundle.find(None)
    assert caught.value.problems == (
        (
            f"no model bundle in {package / 'models'} and {tmp_path / 'models'}; "
            "install sirend again or give one with --model"
        ),
    )


def installed(package: Path) -> ModuleType:
    """Return the package imported from another place."""
    spec = importlib.util.spec_from_file_location(
        "sirend_elsewhere", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_sparing_site_has_the_bundle_wake_at_more(tmp_path: Path) -> None:
    folder = write(tmp_path / "b")
    usual = bundle.load_configured(DetectConfig(model=folder))
    assert usual == bundle.load(folder)
    sparing = bundle.load_configured(DetectConfig(sparing=True), folder)
    assert sparing.streaming.wake is not None
    assert sparing.streaming.wake.over == sparing.streaming.wake.over_sparing == -2.25
    assert sparing.identity != usual.identity


def test_a_bundle_that_hears_everything_cannot_be_sparing(tmp_path: Path) -> None:
    content = manifest()
    del content["wake"]
    folder = write(tmp_path / "b", content)
    assert bundle.load_configured(DetectConfig(model=folder)).streaming.wake is None
    with pytest.raises(ConfigError, match=r"detect.sparing: it is true, but siren-2.0.0@\w+ listens to everything"):
        bundle.load_configured(DetectConfig(model=folder, sparing=True))
