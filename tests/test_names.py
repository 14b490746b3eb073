"""One name, one thing: whoever looks a module, a class or a function up finds one."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import sirend

CLASSES = {
    "Heard": "each way of training has its own record of what it heard, and none meets another's",
    "Moment": "`client.Moment` is public, and the page's protocol calls a window of all approaches a moment",
}
"""Why a name may stand for two things; one for which that is no longer so is an error too."""
MODULES: dict[str, str] = {}
FUNCTIONS = {
    "add_arguments": "a command whose words are its own module's: `cli.arguments` asks each the same",
    "load": "`config.load` and `bundle.load`, never called without the name of what they load",
    "main": "what `python -m` or a command runs",
    "selftest": "a function of `cli.commands` is named like its command",
    "step": "a pure state machine: state and input in, state and output out",
    "sweep": "each sound of `confusers` is drawn by its name; in `siren_sound` it is a pitch",
}
_ROOT = Path(sirend.__file__).parent


def _twice(places: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: where for name, where in places.items() if len(where) > 1}


def _defined(*kinds: type[ast.stmt]) -> dict[str, list[str]]:
    """Return where the public names of the modules' top level are defined."""
    places: dict[str, list[str]] = defaultdict(list)
    for file in sorted(_ROOT.rglob("*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            name = getattr(node, "name", "_")
            if isinstance(node, kinds) and not name.startswith("_"):
                places[name].append(f"{file.relative_to(_ROOT)}:{node.lineno}")
    return places


def test_no_public_class_has_the_name_of_another() -> None:
    twice = _twice(_defined(ast.ClassDef))
    assert {name: where for name, where in twice.items() if name not in CLASSES} == {}
    assert set(CLASSES) <= set(twice), "an exception that is none any more"


def test_no_module_has_the_name_of_another() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for file in sorted(_ROOT.rglob("*.py")):
        if not file.stem.startswith("__"):
            places[file.stem].append(str(file.relative_to(_ROOT)))
    twice = _twice(places)
    assert {name: where for name, where in twice.items() if name not in MODULES} == {}
    assert set(MODULES) <= set(twice), "an exception that is none any more"


def test_no_public_function_has_the_name_of_another() -> None:
    twice = _twice(_defined(ast.FunctionDef, ast.AsyncFunctionDef))
    assert {name: where for name, where in twice.items() if name not in FUNCTIONS} == {}
    assert set(FUNCTIONS) <= set(twice), "an exception that is none any more"
