from __future__ import annotations

import dataclasses
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from sirend.detect.bundle import OperatingPoint
from sirend.detect.features import FeatureSpec
from sirend.detect.site_gain import SiteGainSpec
from sirend.errors import ConfigError
from sirend.training.corpus import Clip, Kind
from sirend.training.episodes import EpisodeSpec
from sirend.training.recipe import Recipe, load_recipe
from sirend.training.specs import TeacherSpec, TemporalSpec, WakeSpec

RECIPES = sorted((Path(__file__).parents[2] / "models").glob("*.yaml"))
TEACHER = TeacherSpec(variables="v.data-00000-of-00001", sha256="ab", published="there")
POINT, STRICT = OperatingPoint(0.8, 0.4, 0.75, 3.0), OperatingPoint(0.9, 0.5, 1.0, 3.0)
LEAST = """
name: siren-1.2.3
operating_point: {enter: 0.8, exit: 0.4, confirm_s: 0.75, release_s: 3}
strict: {enter: 0.9, exit: 0.5, confirm_s: 1, release_s: 3}
"""
"""All that a recipe must say."""
PLAIN = Recipe("siren-1.2.3", POINT, STRICT)
SITE_GAIN = SiteGainSpec(target_rms=2, prior_s=60, memory_s=600, low_db=-10, high_db=30, tolerance_db=12)
WHOLE = replace(
    PLAIN,
    site_gain=SITE_GAIN,
    licences=("CC0", "CC-BY"),
    teacher=TEACHER,
    stored="float16",
    episodes=EpisodeSpec(set_weights={"a": 2.0}),
    temporal=TemporalSpec(suspect=-1.0),
    wake=WakeSpec(over=-1.5, over_sparing=-1.0),
    calibration=(1.0, 0.5),
)


def _file(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text)
    return path


def _problems(folder: Path, text: str) -> tuple[str, ...]:
    path = _file(folder, text)
    with pytest.raises(ConfigError) as caught:
        load_recipe(path)
    assert caught.value.where == str(path)
    return caught.value.problems


def _changed(value: object) -> object:
    """Return another value of the same type."""
    if dataclasses.is_dataclass(value):
        first = fields(value)[0].name
        return replace(value, **{first: _changed(getattr(value, first))})  # type: ignore[type-var]
    if isinstance(value, tuple):
        return (*value[:-1], _changed(value[-1]))
    if isinstance(value, dict):
        return value | {"another": 1.0}
    return value + "0" if isinstance(value, str) else value + 1  # type: ignore[operator]


def test_recipes_ship() -> None:
    assert RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_shipped_recipe_is_read_whole(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name.startswith("siren-")
    assert recipe.teacher is not None
    assert len(recipe.teacher.sha256) == 64
    assert isinstance(recipe.episodes.snr_db, tuple)
    assert recipe.episodes.set_weights
    assert 0.5 < recipe.operating_point.enter < recipe.strict.enter < 1.0


def test_name_and_thresholds_are_all_that_a_recipe_must_say(tmp_path: Path) -> None:
    recipe = load_recipe(_file(tmp_path, LEAST))
    assert recipe == PLAIN
    assert (recipe.features, recipe.temporal, recipe.teacher) == (FeatureSpec(), TemporalSpec(), None)


def test_every_section_is_read_into_its_own_type(tmp_path: Path) -> None:
    text = f"""{LEAST}
seed: 7
licences: [CC0]
hop_s: 1
features: {{bands: 80}}
episodes: {{snr_db: [-5, 5], set_weights: {{us8k: 2}}}}
temporal: {{epochs: 9, suspect: null}}
teacher: {{variables: v, sha256: s, published: p}}
calibration: [1, 0]
site_gain: {{target_rms: 2, prior_s: 60, memory_s: 600, low_db: -10, high_db: 30, tolerance_db: 12}}
"""
    assert load_recipe(_file(tmp_path, text)) == replace(
        PLAIN,
        seed=7,
        licences=("CC0",),
        hop_s=1,
        features=FeatureSpec(bands=80),
        episodes=EpisodeSpec(snr_db=(-5, 5), set_weights={"us8k": 2}),
        temporal=TemporalSpec(epochs=9),
        teacher=TeacherSpec("v", "s", "p"),
        calibration=(1, 0),
        site_gain=SITE_GAIN,
    )


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    text = """
seed: one
stages: 3
temporal: {epoks: 9, epochs: 1.5, batch: true}
episodes: {snr_db: 24}
teacher: {variables: v, published: [1]}
features: small
stored: int4
strict: {enter: 0.9, exit: 0.5, confirm_s: 1, release_s: 3}
"""
    assert set(_problems(tmp_path, text)) == {
        "name is missing",
        "operating_point is missing",
        "seed is 'one'; it must be a whole number",
        "unknown key stages; known: " + ", ".join(field.name for field in fields(Recipe)),
        "unknown key temporal.epoks; known: " + ", ".join(field.name for field in fields(TemporalSpec)),
        "temporal.epochs is 1.5; it must be a whole number",
        "temporal.batch is True; it must be a whole number",
        "episodes.snr_db is 24; it must be a list",
        "teacher.sha256 is missing",
        "teacher.published is [1]; it must be text",
        "features must hold keys and values",
        "stored is 'int4'; it must be one of float32, float16, dynamic, int8",
    }


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("licences: [CC0, 1]", "licences[1] is 1; it must be text"),
        ("episodes: {snr_db: [1, 2, 3]}", "episodes.snr_db is [1, 2, 3]; it must have 2 values"),
        ("episodes: {snr_db: [low, 2]}", "episodes.snr_db[0] is 'low'; it must be a number"),
        ("episodes: {set_weights: {us8k: much}}", "episodes.set_weights.us8k is 'much'; it must be a number"),
        ("episodes: {set_weights: [1]}", "episodes.set_weights is [1]; it must be keys and values"),
        ("operating_point: {enter: 0.9}", "operating_point.exit is missing"),
        ("seed: null", "seed is None; it must be a whole number"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(tmp_path: Path, line: str, problem: str) -> None:
    assert problem in _problems(tmp_path, f"name: siren-1.2.3\n{line}\n")


@pytest.mark.parametrize("text", ["", "[1, 2]\n", "siren\n"])
def test_a_file_without_keys_is_no_recipe(tmp_path: Path, text: str) -> None:
    assert _problems(tmp_path, text) == ("the file must hold keys and values",)


@pytest.mark.parametrize("field", [field.name for field in fields(Recipe)])
def test_the_digest_changes_with_every_field(field: str) -> None:
    changes: dict[str, Any] = {field: _changed(getattr(WHOLE, field))}
    assert replace(WHOLE, **changes).digest != WHOLE.digest


@pytest.mark.parametrize(
    "section", ["features", "episodes", "temporal", "teacher", "operating_point", "strict", "site_gain"]
)
def test_the_digest_changes_with_every_field_of_a_section(section: str) -> None:
    value = getattr(WHOLE, section)
    variants = [replace(value, **{each.name: _changed(getattr(value, each.name))}) for each in fields(value)]
    changes: list[dict[str, Any]] = [{section: variant} for variant in variants]
    digests = {replace(WHOLE, **change).digest for change in changes}
    assert len(digests | {WHOLE.digest}) == len(variants) + 1


def test_the_digest_is_of_what_is_said_not_of_how_it_is_written(tmp_path: Path) -> None:
    one = load_recipe(_file(tmp_path, LEAST + "seed: 1\n"))
    two = load_recipe(_file(tmp_path, "# the same\nseed: 1\nteacher: null\n" + LEAST))
    assert one.digest == two.digest


def test_a_name_that_no_bundle_can_have_is_refused(tmp_path: Path) -> None:
    assert _problems(tmp_path, LEAST.replace("siren-1.2.3", "mine")) == ("name is 'mine'; it must be like siren-1.0.0",)


def test_a_recipe_may_allow_some_licences_only() -> None:
    free, other = (Clip(f"{each}.wav", "s", Kind.OTHER, "x", "s/g", each, 1.0) for each in ("CC0", "CC BY-NC 3.0"))
    assert PLAIN.allows(other)
    recipe = replace(PLAIN, licences=("CC0", "CC-BY"))
    assert recipe.allows(free)
    assert not recipe.allows(other)
    assert recipe.digest != PLAIN.digest
