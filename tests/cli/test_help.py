"""The help of every command: each option has words, a default and, where it is a number, what it counts."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

import pytest

from sirend.cli.arguments import parser

if TYPE_CHECKING:
    from collections.abc import Iterator

UNITS = re.compile(
    r"\b(h|s|m|km/h|m/s|dB|MB|days|degrees|number|rounds|port)\b|%"  # "port" and "number" are their own units
)
LAZY = ("train", "evaluate", "pki")
"""Commands whose options are there only when they are asked for."""


def options() -> Iterator[tuple[str, argparse.Action]]:
    """Yield each option and word of each command, with how it is typed."""
    yield from _of(parser(), ())
    for name in LAZY:
        (known,) = (each for each in parser([name])._actions if isinstance(each, argparse._SubParsersAction))  # noqa: SLF001  argparse has no public way
        yield from _of(known.choices[name], (name,))


def _of(made: argparse.ArgumentParser, path: tuple[str, ...]) -> Iterator[tuple[str, argparse.Action]]:
    for action in made._actions:  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for name, command in action.choices.items():
                yield from _of(command, (*path, name))
        elif not isinstance(action, (argparse._HelpAction, argparse._VersionAction)):  # noqa: SLF001
            yield " ".join((*path, *(action.option_strings[:1] or [action.dest]))), action


ALL = dict(options())


def test_there_are_options_of_every_command() -> None:
    assert {"simulate --wind-m-s", "evaluate --lead", "train --teacher", "pki issue --days", "run --config"} <= set(ALL)


@pytest.mark.parametrize("name", sorted(ALL))
def test_an_option_has_words_a_default_and_a_unit(name: str) -> None:
    action = ALL[name]
    text = action.help or ""
    assert text, "no help"
    assert not text.endswith("."), "a help ends without a full stop"
    is_switch = action.nargs == 0
    if action.option_strings and not is_switch and not action.required:
        assert re.search(r"\(default[:,]? .+\)$", text), f"no default: {text}"
    if action.type in (int, float):
        assert UNITS.search(text.partition("(default")[0]), f"no unit: {text}"
    shown = re.search(r"\(default: ([0-9.]+)\)$", text)
    if shown and action.type in (int, float) and action.default is not None:
        assert float(shown[1]) == float(action.default), "another default than the one that holds"
