"""A YAML file as plain values, stricter than PyYAML where its leniency would hide a mistake.

Plain words mean what YAML 1.2 says (chapter 10.3, core schema): ``22:00``, ``yes`` and ``1_000`` are text, ``1e3`` is
a number. One with a leading zero is refused: YAML 1.1 reads ``017`` as 15. So are duplicate keys, and keys that stand
there without a value, as the last of a file that was cut off does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from sirend.errors import ConfigError
from sirend.host.files import read_regular

if TYPE_CHECKING:
    from collections.abc import Hashable
    from pathlib import Path


_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]")
_BOOL = {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_CORE = {
    "null": (re.compile(r"~|null|Null|NULL|"), "~nN\0"),
    "bool": (re.compile("|".join(_BOOL)), "tTfF"),
    "int": (_INT, "-+0123456789"),
    "float": (_FLOAT, "-+.0123456789"),
    "merge": (re.compile("<<"), "<"),
}
"""What a plain word must match as a whole to be more than text, and how it begins; a NUL stands for no word at all."""

_MOST_MERGED = 10_000
_MOST_BYTES = 1_000_000
"""A file of 64 approaches with every key written out has a tenth of it; it takes a second to read."""
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_OLD_BREAKS = re.compile("[\x85\u2028\u2029]")
"""Line breaks of YAML 1.1 that 1.2 and editors do not take for any: a comment may hide a key behind one."""


class _Loader(yaml.SafeLoader):
    """The safe loader with the words of YAML 1.2, noting what must not stand in a configuration."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  not those of YAML 1.1

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.problems: list[str] = []
        self._merged = 0

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401  any YAML value
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):  # as PyYAML does on `!!int ""`
            what = f"this is no {node.tag.removeprefix('tag:yaml.org,2002:')}; put it in quotes if it is meant as text"
            raise yaml.constructor.ConstructorError(None, None, what, node.start_mark) from None

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge what ``<<`` names; a few lines that merge each other ten times over would mean millions of keys."""
        before = len(node.value)
        super().flatten_mapping(node)
        self._merged += max(0, len(node.value) - before)
        if self._merged > _MOST_MERGED:
            raise yaml.constructor.ConstructorError(None, None, "`<<` merges too many keys", node.start_mark)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:  # noqa: ANN401  text, as PyYAML has it
        """Return the text of ``node``; what no file name, broker or program can be told is refused here for all."""
        value = super().construct_scalar(node)
        if isinstance(value, str) and _NO_TEXT.search(value):
            what = "an escape in it stands for what is no text (NUL, or half a character)"
            raise yaml.constructor.ConstructorError(None, None, what, node.start_mark)
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        pairs = [pair for pair in node.value if isinstance(pair[0], yaml.ScalarNode)] if node.id == "mapping" else []
        seen = set()
        for key, value in pairs:
            line = f"line {key.start_mark.line + 1}: `{key.value}"
            if key.value in seen:
                self.problems.append(f"{line}` is there twice; keep one")
            if isinstance(value, yaml.ScalarNode) and value.value == "" and value.style is None:
                self.problems.append(f"{line}:` has no value; give it one, write null, or leave the key out")
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_bool(self, node: yaml.ScalarNode) -> bool:
        return _BOOL[node.value]

    def construct_null(self, node: yaml.ScalarNode) -> None:
        if _CORE["null"][0].fullmatch(node.value) is None:
            raise ValueError

    def construct_int(self, node: yaml.ScalarNode) -> int:
        if _INT.fullmatch(node.value) is None:
            raise ValueError
        if node.value[:2] in ("0o", "0x"):
            return int(node.value, 0)
        return int(self._decimal(node))

    def construct_float(self, node: yaml.ScalarNode) -> float:
        if _FLOAT.fullmatch(node.value) is None:
            raise ValueError
        if node.value[-3:].lower() in ("inf", "nan"):
            return float(node.value.replace(".", ""))
        return float(self._decimal(node))

    def _decimal(self, node: yaml.ScalarNode) -> str:
        text = str(node.value)
        if _LEADING_ZERO.match(text):
            sign, digits = (text[0], text[1:]) if text[0] in "+-" else ("", text)
            plain = sign + re.sub(r"^0+(?=[0-9])", "", digits)
            self.problems.append(
                f"line {node.start_mark.line + 1}: {text[:60]} has a leading zero, which some programs take for octal; "
                f"write {plain[:60]}, or put it in quotes if it is meant as text"
            )
        return text


for _name, (_pattern, _first) in _CORE.items():
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_name}",
        re.compile(f"(?:{_pattern.pattern})\\Z"),
        ["" if each == "\0" else each for each in _first],
    )
for _name in ("null", "bool", "int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_name}", getattr(_Loader, f"construct_{_name}"))


def read(path: Path) -> object:
    """Return what the YAML file ``path`` holds, None when it is empty; raise ``ConfigError`` when it cannot be read."""
    return parse(read_text(path), path)


def read_text(path: Path) -> str:
    """Return the text of the file ``path``; raise ``ConfigError`` when it cannot be read."""
    try:
        content = read_regular(path, _MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ConfigError(str(path), [f"has more than {_MOST_BYTES} bytes; no configuration has"])
        return content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except FileNotFoundError:
        raise ConfigError(str(path), ["there is no such file"]) from None
    except IsADirectoryError:
        raise ConfigError(str(path), ["is a folder; name the file in it"]) from None
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), [f"is not UTF-8 text (byte {error.start + 1}); save it as UTF-8"]) from None


def parse(text: str, path: Path) -> object:
    """Return what ``text`` holds, None when it is empty; raise ``ConfigError`` about ``path`` where it is wrong."""
    if (found := _OLD_BREAKS.search(text)) is not None:
        place = f"line {text.count(chr(10), 0, found.start()) + 1}: not valid YAML"
        raise ConfigError(
            str(path), [f"{place}: the character U+{ord(found[0]):04X} is no line break; write one, or none"]
        )
    try:
        loader = _Loader(text)
        try:
            value: object = loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(str(path), [f"{line}not valid YAML: {error.problem or error.context}"]) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(str(path), [f"not valid YAML: {str(error).splitlines()[0]}"]) from None
    if loader.problems:
        raise ConfigError(str(path), loader.problems)
    return value
