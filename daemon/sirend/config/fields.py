"""The kinds of configuration key: each reads one YAML value and says what is allowed when it is something else.

Every function here returns a dataclass field that carries its default and its reader. A reader takes the value, its key
path (``detect.hop_s``) and the list of problems found so far; it returns the value to use or adds one problem.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import reprlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    Reader = Callable[[object, str, list[str]], Any]

_T = TypeVar("_T")
_LONGEST_QUOTED = 60
_WITH_UNIT = re.compile(r"\s*(-?[0-9.]+)\s*(ms|s|sec|seconds?|m|min|minutes?|h|hours?)\s*", re.IGNORECASE)
_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00")
_SECONDS = {"ms": 0.001, "m": 60.0, "h": 3600.0}


def _field(default: object, read: Reader, key: str | None = None, *, required: str | None = None) -> Any:  # noqa: ANN401  what dataclasses.field returns
    """Return a dataclass field; ``required`` says what to write where a file must not leave it out."""
    return dataclasses.field(default=default, metadata={"read": read, "key": key, "required": required})


def _shown(value: object) -> str:
    """Return ``value`` as a message quotes it: short and on one line."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    try:  # a few lines of YAML can mean a list of millions of entries, or one that holds itself
        text = repr(value[:_LONGEST_QUOTED]) if isinstance(value, str) else reprlib.repr(value)
    except ValueError:
        text = "a number of thousands of digits"
    return text if len(text) <= _LONGEST_QUOTED else text[: _LONGEST_QUOTED - 1] + "…"


def refuse(value: object, path: str, allowed: str, problems: list[str]) -> None:
    """Add the problem that ``path`` has ``value`` where only ``allowed`` will do."""
    problems.append(f"{path} is {_shown(value)}: allowed is {allowed}")


def _in_seconds(value: object) -> str:
    """Return a hint for a duration written with its unit ("250 ms"), or nothing."""
    match = _WITH_UNIT.fullmatch(value) if isinstance(value, str) else None
    try:
        amount = float(match[1]) if match else math.nan
    except ValueError:
        return ""
    if match is None or math.isnan(amount):
        return ""
    unit = match[2].lower()
    factor = _SECONDS["ms"] if unit == "ms" else _SECONDS.get(unit[0], 1.0)
    return f"; it counts seconds, without a unit: write {amount * factor:g}"


def number(  # noqa: PLR0913  a number has this many sides
    default: float | None,
    low: float,
    high: float,
    unit: str,
    *,
    step: float | None = None,
    optional: bool = False,
    whole: bool = False,
    null: str | None = None,
    required: bool = False,
) -> Any:  # noqa: ANN401
    """Return a key that holds a number of ``unit`` in ``low``..``high``.

    ``optional`` admits null, or the word ``null`` instead; ``whole`` admits only integers, ``step`` only its multiples.
    A file must name what is ``required``.
    """
    kind = "a whole number" if whole else "a number"
    allowed = f"{kind} from {low:g} to {high:g} {unit}".rstrip()
    allowed += f" in steps of {step:g}" if step else ""
    allowed += f", or {null or 'null'}" if optional else ""

    def read(value: object, path: str, problems: list[str]) -> float | None:
        if value == null and optional:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or (whole and not isinstance(value, int)):
            refuse(value, path, allowed + _in_seconds(value) if unit == "s" else allowed, problems)
        elif not low <= value <= high or (step and abs(value / step - round(value / step)) > 1e-6):  # noqa: PLR2004  float noise
            refuse(value, path, allowed, problems)
        else:
            return value if whole else float(value)
        return default

    return _field(default, read, required=allowed if required else None)


def text(default: str | None, pattern: str, allowed: str, *, optional: bool = False, required: bool = False) -> Any:  # noqa: ANN401
    """Return a key that holds text matching the whole of ``pattern``, described by ``allowed``; see ``number``."""
    allowed += ", or null" if optional else ""

    def read(value: object, path: str, problems: list[str]) -> str | None:
        if value is None and optional:
            return None
        if isinstance(value, str) and re.fullmatch(pattern, value):
            return value
        hint = "" if isinstance(value, str | None) else " (put it in quotes if it is meant as text)"
        refuse(value, path, allowed + hint, problems)
        return default

    return _field(default, read, required=allowed if required else None)


def switch(*, default: bool = False) -> Any:  # noqa: ANN401
    """Return a key that is true or false."""

    def read(value: object, path: str, problems: list[str]) -> bool:
        if isinstance(value, bool):
            return value
        refuse(value, path, "true or false", problems)
        return default

    return _field(default, read)


def path() -> Any:  # noqa: ANN401
    """Return a key that holds the name of a file or folder, or null."""

    def read(value: object, path: str, problems: list[str]) -> Path | None:
        if value is None:
            return None
        if isinstance(value, str) and value and "\0" not in value:
            return Path(value)
        refuse(value, path, "the name of a file or folder, or null", problems)
        return None

    return _field(None, read)


def choices(default: tuple[str, ...]) -> Any:  # noqa: ANN401
    """Return a key that holds a list of some of the words in ``default``."""

    def read(value: object, path: str, problems: list[str]) -> tuple[str, ...]:
        if isinstance(value, list) and value and all(word in default for word in value):
            return tuple(value)
        refuse(value, path, f"a list of {', '.join(default)}", problems)
        return default

    return _field(default, read)


def some(words: tuple[str, ...]) -> Any:  # noqa: ANN401
    """Return a key that holds a list of some of ``words``, or null: None, which is all."""

    def read(value: object, path: str, problems: list[str]) -> tuple[str, ...] | None:
        if value is None:
            return None
        if isinstance(value, list) and value and all(word in words for word in value):
            return tuple(value)
        refuse(value, path, f"a list of {', '.join(words)}, or null", problems)
        return None

    return _field(None, read, None)


def places(default: str, known: tuple[str, ...]) -> Any:  # noqa: ANN401
    """Return a key that holds one of the names ``known``, or a list of places [x, y] in m."""
    allowed = f"one of {', '.join(known)}, or a list of places [x, y] in metres"

    def read(value: object, path: str, problems: list[str]) -> str | tuple[tuple[float, float], ...]:
        if isinstance(value, str) and value in known:
            return value
        if isinstance(value, list) and value and all(_is_place(each) for each in value):
            return tuple((float(x), float(y)) for x, y in value)
        near = difflib.get_close_matches(value, known, n=1) if isinstance(value, str) else []
        refuse(value, path, allowed + (f"; did you mean `{near[0]}`?" if near else ""), problems)
        return default

    return _field(default, read, None)


def _is_place(value: object) -> bool:
    """Return whether ``value`` is [x, y], both of at most 10 m."""
    if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004
        return False
    return all(type(each) in (int, float) and abs(each) <= 10.0 for each in value)  # noqa: PLR2004


def time_of_day(default: int, *, key: str) -> Any:  # noqa: ANN401
    """Return a key, called ``key`` in YAML, that holds a time of day: minutes since midnight, 0..1440."""

    def read(value: object, path: str, problems: list[str]) -> int:
        if isinstance(value, str) and _TIME_OF_DAY.fullmatch(value):
            hour, minute = value.split(":")
            return int(hour) * 60 + int(minute)
        refuse(value, path, "a time of day from 00:00 to 24:00", problems)
        return default

    return _field(default, read, key)


def section(kind: type[Any], *, optional: bool = False) -> Any:  # noqa: ANN401
    """Return a key that holds the keys of the dataclass ``kind``."""

    def read(value: object, path: str, problems: list[str]) -> object:
        if value is None:
            return default
        return read_mapping(kind, value, path, problems)

    default = None if optional else kind()
    return _field(default, read)


def several(kind: type[_T], default: tuple[_T, ...], what: str) -> Any:  # noqa: ANN401
    """Return a key that holds a list whose entries have the keys of the dataclass ``kind``."""

    def read(value: object, path: str, problems: list[str]) -> tuple[_T, ...]:
        if not isinstance(value, list):
            refuse(value, path, f"a list of {what}", problems)
            return default
        return tuple(read_mapping(kind, entry, f"{path}[{i}]", problems) for i, entry in enumerate(value))

    return _field(default, read)


def names(kind: type[Any]) -> list[str]:
    """Return the YAML names of the keys of the dataclass ``kind``."""
    return [field.metadata["key"] or field.name for field in dataclasses.fields(kind)]


def read_mapping(kind: type[_T], value: object, path: str, problems: list[str]) -> _T:
    """Return a ``kind`` from a YAML mapping; what is missing or wrong gets its default, what is wrong a problem too."""
    known = {field.metadata["key"] or field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if not isinstance(value, dict):
        refuse(value, path or "the file", f"a mapping with the keys {', '.join(known)}", problems)
        return kind()
    within = f"{path}." if path else ""
    found = {}
    for key, content in value.items():
        if key in known:
            found[known[key].name] = known[key].metadata["read"](content, f"{within}{key}", problems)
        else:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}"
            problems.append(f"{within}{key} is not a key that sirend knows; {hint}")
    for key, field in known.items():
        if field.metadata["required"] and key not in value:
            problems.append(f"{within}{key} is missing: write {field.metadata['required']}")
    return kind(**found)
