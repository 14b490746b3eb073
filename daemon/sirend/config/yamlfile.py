"""A YAML file as plain values, stricter than PyYAML where its leniency would hide a mistake.

Duplicate keys are refused, and ``22:00`` is text as everyone expects, not the number 1320 of YAML 1.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from sirend.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Hashable
    from pathlib import Path


class _Loader(yaml.SafeLoader):
    """The safe loader, noting duplicate keys."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.problems: list[str] = []

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401  any YAML value
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):  # as PyYAML does on `!!int ""`
            what = f"this is no {node.tag.removeprefix('tag:yaml.org,2002:')}; put it in quotes if it is meant as text"
            raise yaml.constructor.ConstructorError(None, None, what, node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)] if node.id == "mapping" else []
        seen = set()
        for key in keys:
            if key.value in seen:
                self.problems.append(f"line {key.start_mark.line + 1}: `{key.value}` is there twice; keep one")
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> int | float | str:
        if ":" in node.value:
            return str(node.value)
        return self.construct_yaml_float(node) if node.tag.endswith("float") else self.construct_yaml_int(node)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_number)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_number)


def read(path: Path) -> object:
    """Return what the YAML file ``path`` holds, None when it is empty; raise ``ConfigError`` when it cannot be read."""
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        try:
            value: object = loader.get_single_data()
        finally:
            loader.dispose()
    except FileNotFoundError:
        raise ConfigError(str(path), ["there is no such file"]) from None
    except IsADirectoryError:
        raise ConfigError(str(path), ["is a folder; name the file in it"]) from None
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), [f"is not UTF-8 text (byte {error.start + 1}); save it as UTF-8"]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(str(path), [f"{line}not valid YAML: {error.problem or error.context}"]) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(str(path), [f"not valid YAML: {str(error).splitlines()[0]}"]) from None
    if loader.problems:
        raise ConfigError(str(path), loader.problems)
    return value
