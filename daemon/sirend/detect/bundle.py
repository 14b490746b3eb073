"""A model bundle: find it, read it, and believe nothing in it that was not checked.

A bundle is a folder ``siren-<version>`` with ``manifest.json`` and the networks that it names. ``manifest`` checks
every field; the digests are checked here.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sirend
from sirend.detect import manifest as manifests
from sirend.detect.features import FeatureSpec
from sirend.detect.site_gain import SiteGainSpec
from sirend.errors import ConfigError
from sirend.host.files import is_there, read_regular

if TYPE_CHECKING:
    from sirend.config.settings import DetectConfig

MODEL_FILE = "model.tflite"
MANIFEST_FILE = manifests.MANIFEST_FILE


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
class Patches:
    """A network that listens to the stream in patches, each once."""

    model_bytes: bytes
    """A TFLite flatbuffer whose digest was verified."""
    patch_frames: int
    """Length of a patch, frames."""
    outputs: int
    """Numbers that it says of a patch."""
    step_s: float
    """Patches end at multiples of this, s of the stream."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the bundle's own network takes: the latest of what the patches said."""

    places: int
    """Patches, the newest last."""
    spacing_s: float
    """Time between them, s: a multiple of the patches' own."""
    inputs: int
    """How many of the first numbers of a patch; beside them it is told whether the patch exists."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Log-odds of classes of sound that the patches' network itself knows."""

    first: int
    """Place of the first of them among its outputs."""
    count: int
    weight: float
    """Share of the largest of them beside the head's logit, 0..1."""
    memory_s: float = 0.0
    """Their odds are the mean of those of the patches of so long; 0 takes the newest patch alone."""


@dataclass(frozen=True, slots=True)
class Wake:
    """A small network that hears what may be a siren: until then the patches' own network need not be asked."""

    model_bytes: bytes
    """A TFLite flatbuffer whose digest was verified: of a patch the log-odds that it is worth more."""
    over: float
    """Log-odds over which it wakes the other."""
    over_sparing: float
    """The same where a site is sparing, ``over`` or more: for a tenth of the patches of a street, and fewer sirens."""
    hold_s: float
    """For how long, s."""
    back: int
    """Patches of the head before the one that wakes it which are heard too."""


@dataclass(frozen=True, slots=True)
class Streaming:
    """How the networks of a bundle follow a stream."""

    patches: Patches
    head: Head
    evidence: Evidence | None
    suspect: float | None
    """Log-odds over which, within a second, also the patches between those of the head are heard; None hears all."""
    site_gain: SiteGainSpec | None
    """None takes levels as they are."""
    wake: Wake | None = None
    """None hears every patch of the head."""


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
    streaming: Streaming
    operating: OperatingPoint
    """Of the profile ``balanced``."""
    strict: OperatingPoint
    """Of the profile ``strict``."""
    calibration: Calibration
    hop_s: float
    """Distance of windows, s, for which the operating points were chosen."""
    digest: str
    """SHA-256 of ``model_bytes`` in hex."""

    def point(self, profile: str) -> OperatingPoint:
        """Return the operating point of a profile: ``strict``, or ``balanced``, which is for most sites."""
        return self.strict if profile == "strict" else self.operating

    @property
    def identity(self) -> str:
        """SHA-256 in hex of all that decides a score or a call: networks, calibrations, thresholds."""
        patches, wake = self.streaming.patches, self.streaming.wake
        listening = [hashlib.sha256(each.model_bytes).hexdigest() for each in (patches, wake) if each is not None]
        streaming = replace(
            self.streaming,
            patches=replace(patches, model_bytes=b""),
            wake=None if wake is None else replace(wake, model_bytes=b""),
        )
        said = [self.digest, self.calibration, self.operating, (listening, streaming), self.strict]
        return hashlib.sha256(repr(tuple(said)).encode()).hexdigest()


def find(path: Path | None) -> Path:
    """Return ``path`` if it is a bundle's folder, or the newest that ships with sirend when it is None.

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
    manifest = manifests.parse_manifest(path / MANIFEST_FILE, _read(path / MANIFEST_FILE))
    problems: list[str] = []
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
    networks: dict[str, bytes] = {
        name: _read(path / manifest[name]["file"]) for name in ("backbone", "wake") if name in manifest
    }
    problems += [
        f"{manifest[name]['file']} does not have the SHA-256 of the manifest: it was changed; install it again"
        for name, content in networks.items()
        if hashlib.sha256(content).hexdigest() != manifest[name]["sha256"]
    ]
    if manifest.get("golden") is not None and not is_there(path / manifest["golden"]):
        problems.append(f"the file {manifest['golden']} is missing; install the model again")
    if problems:
        raise ConfigError(str(path), problems)
    points = manifest["operating_points"]
    return Bundle(
        path=path,
        name=f"{manifest['name']}@{digest[:12]}",
        feature_spec=spec,
        model_bytes=model_bytes,
        streaming=_streaming(manifest, networks),
        operating=OperatingPoint(**points["balanced"]),
        strict=OperatingPoint(**points["strict"]),
        calibration=Calibration(**manifest["calibration"]),
        hop_s=float(manifest["hop_s"]),
        digest=digest,
    )


def load_configured(detect: DetectConfig, path: Path | None = None) -> Bundle:
    """Read the bundle ``path``, or else the one that ``detect`` names or that ships, as ``detect`` wants it heard.

    Raises ``ConfigError`` as ``find`` and ``load`` do, and where it cannot be sparing.
    """
    bundle = load(find(path or detect.model))
    if not detect.sparing:
        return bundle
    wake = bundle.streaming.wake
    if wake is None:
        raise ConfigError(
            "detect.sparing", [f"it is true, but {bundle.name} listens to everything: set it to false, or take another"]
        )
    return replace(bundle, streaming=replace(bundle.streaming, wake=replace(wake, over=wake.over_sparing)))


def _streaming(manifest: dict[str, Any], networks: dict[str, bytes]) -> Streaming:
    backbone, evidence, site_gain = manifest["backbone"], manifest.get("evidence"), manifest.get("site_gain")
    wake = manifest.get("wake")
    return Streaming(
        patches=Patches(networks["backbone"], backbone["patch_frames"], backbone["outputs"], float(backbone["step_s"])),
        head=Head(**manifest["head"]),
        evidence=None if evidence is None else Evidence(**evidence),
        suspect=manifest.get("suspect"),
        site_gain=None if site_gain is None else SiteGainSpec(**site_gain),
        wake=None
        if wake is None
        else Wake(networks["wake"], wake["over"], wake["over_sparing"], float(wake["hold_s"]), wake["back"]),
    )


def _read(path: Path) -> bytes:
    try:
        return read_regular(path)
    except OSError as error:
        raise ConfigError(str(path), [f"the model cannot be read: {error.strerror}"]) from error
