"""A recipe: everything that decides what a model becomes, in one YAML file. Same recipe, same data: same model."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import types
import typing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from sirend.config import yamlfile
from sirend.detect.bundle import OperatingPoint  # noqa: TC001  read from the annotation while running
from sirend.detect.features import FeatureSpec
from sirend.detect.site_gain import SiteGainSpec  # noqa: TC001  as well
from sirend.errors import ConfigError
from sirend.training.episodes import EpisodeSpec
from sirend.training.specs import Stored, TeacherSpec, TemporalSpec, WakeSpec

if TYPE_CHECKING:
    from pathlib import Path

    from sirend.training.corpus import Clip

_T = TypeVar("_T")
NAME = r"siren-\d+\.\d+\.\d+"
FILE = "recipe.yaml"
"""That of the bundle that ships lies beside it."""


@dataclass(frozen=True)
class Recipe:
    """What ``sirend train`` does with a folder of recordings."""

    name: str
    """Name of the bundle: ``siren-<major>.<minor>.<patch>``."""
    operating_point: OperatingPoint
    """Of the profile ``balanced``: chosen on recordings left out, as the model card says."""
    strict: OperatingPoint
    """Of the profile ``strict``."""
    seed: int = 1
    licences: tuple[str, ...] | None = None
    """Licences, as ``clips.csv`` writes them, of the recordings that may be used; None uses all."""
    held_out: float = 0.1
    """Share of the recordings that are kept back whole, for calibration."""
    hop_s: float = 0.25
    features: FeatureSpec = field(default_factory=FeatureSpec)
    episodes: EpisodeSpec = field(default_factory=EpisodeSpec)
    temporal: TemporalSpec = field(default_factory=TemporalSpec)
    wake: WakeSpec | None = None
    """None asks the backbone about every patch of the head."""
    teacher: TeacherSpec | None = None
    """What the backbone is made of; None takes that of the bundle that ships."""
    calibration: tuple[float, float] | None = None
    """Scale and offset that make log-odds of the fused logit, chosen with the operating points on recordings left out;
    None fits them to recordings kept back."""
    site_gain: SiteGainSpec | None = None
    """How a microphone far too quiet or too loud is made good; None takes every level as it is."""
    stored: Stored = "float32"

    def allows(self, clip: Clip) -> bool:
        """Whether a recording may be used."""
        return self.licences is None or clip.licence in self.licences

    @property
    def digest(self) -> str:
        """SHA-256 of the recipe in canonical JSON, hex; without what is None, so that a new option renames nothing."""
        said = {key: value for key, value in dataclasses.asdict(self).items() if value is not None}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def load_recipe(path: Path) -> Recipe:
    """Read a recipe; raise ``ConfigError`` with every key that is unknown, missing or of the wrong type."""
    problems: list[str] = []
    recipe = _read(Recipe, yamlfile.read(path), "", problems)
    if recipe is not None and not re.fullmatch(NAME, recipe.name):
        problems.append(f"name is {recipe.name!r}; it must be like siren-1.0.0")
    if problems or recipe is None:
        raise ConfigError(str(path), problems)
    return recipe


def _read(kind: type[_T], value: object, where: str, problems: list[str]) -> _T | None:
    if not isinstance(value, dict):
        problems.append(f"{where.removesuffix('.') or 'the file'} must hold keys and values")
        return None
    hints = typing.get_type_hints(kind)
    known = {each.name: each for each in dataclasses.fields(typing.cast("Any", kind))}
    problems += [f"unknown key {where}{key}; known: {', '.join(known)}" for key in value if key not in known]
    given = {key: _value(hints[key], value[key], f"{where}{key}", problems) for key in value if key in known}
    missing = [name for name, each in known.items() if name not in given and _is_required(each)]
    problems += [f"{where}{name} is missing" for name in missing]
    return None if missing else kind(**given)


def _is_required(each: dataclasses.Field[Any]) -> bool:
    return each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING


def _value(hint: Any, value: object, where: str, problems: list[str]) -> object:  # noqa: ANN401  any type hint
    options = [option for option in typing.get_args(hint) if option is not types.NoneType]
    if isinstance(hint, types.UnionType):
        return None if value is None else _value(options[0], value, where, problems)
    if dataclasses.is_dataclass(hint):
        return _read(typing.cast("type[object]", hint), value, f"{where}.", problems)
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        if value not in options:
            problems.append(f"{where} is {value!r}; it must be one of {', '.join(options)}")
        return value
    if origin is tuple and isinstance(value, list):
        if options[-1] is not Ellipsis and len(value) != len(options):
            problems.append(f"{where} is {value!r}; it must have {len(options)} values")
        return tuple(_value(options[0], each, f"{where}[{place}]", problems) for place, each in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {key: _value(options[1], each, f"{where}.{key}", problems) for key, each in value.items()}
    wanted: tuple[type, ...] = (int, float) if hint is float else (hint,) if origin is None else ()
    if not isinstance(value, wanted) or isinstance(value, bool):
        problems.append(f"{where} is {value!r}; it must be {_IN_WORDS[origin or hint]}")
    return value


_IN_WORDS = {str: "text", int: "a whole number", float: "a number", tuple: "a list", dict: "keys and values"}
