"""What parsers are fed: valid input with something wrong in it, and things that were never input at all."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable


def _bomb(levels: int) -> str:
    """Return a list of ten lists of ten lists ... that is a few lines of YAML and would fill the memory if printed."""
    lists = ["&a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lists += [f"&a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, levels)]
    return f"[{', '.join(lists)}]"


ODD_JSON = (
    *("null", "true", "0", "-1", "-0.0", "1e999", "-1e999", "NaN", "1e-400", "9007199254740993", "1" + "0" * 400),
    *('""', '"\\u0000"', '"\\ud800"', '"\\u2028"', '"\\r\\n"', '"siren"', '"é"', "[]", "{}", "[[[[]]]]", '{"": {}}'),
    *('"' + "x" * 5000 + '"', "1" * 4400, "[" * 300 + "]" * 300, '"1970-02-31T00:00:00.000Z"', '"../model.tflite"'),
)
ODD_YAML = (
    *('!!int ""', '!!float ""', "!!int x", "!!bool x", "!!timestamp x", '!!binary "*"', "!!null x", "!!set {a, b}"),
    *("!!omap [a]", "!!pairs [a]", "!!python/object:os.system x", "!x y", "&a [*a]", "&a {a: *a}", "*gone", "<<"),
    *(
        ".nan",
        ".inf",
        "-.inf",
        "1e400",
        "0x" + "f" * 5000,
        "0b" + "1" * 300,
        "1" * 5000,
        "0o9",
        "09",
        "1_0",
        "-",
        "=",
        "~",
    ),
    *("2001-13-45", "0000-01-01", "2001-01-01 00:00:00 +99:99", "12:30", "190:20:30.15", "'\\ud800'", '"\\ud800"'),
    *('"\\0"', '"\\x41"', '"a\\tb"', "[1, {a: b}]", "{? [a] : b}", "{? {a: b} : c}", "{1: 2, true: 3, null: 4}", "[,]"),
    *('"' + "x" * 5000 + '"', "/" * 300, "[" * 200 + "]" * 200, "{a: " * 1500 + "1" + "}" * 1500, "é", "no", "250 ms"),
    _bomb(9),
)
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
"""Numbers at which sizes in a file's header become something else."""


def scalars() -> st.SearchStrategy[str]:
    """Return JSON texts of values that are none of the odd ones, too."""
    plain = st.one_of(
        st.integers(), st.floats(), st.booleans(), st.text(max_size=20), st.lists(st.integers(), max_size=3)
    )
    return plain.map(json.dumps)


@st.composite
def spliced(draw: st.DrawFn, valid: st.SearchStrategy[bytes], head: int = 64) -> bytes:
    """Return one of ``valid`` with bytes changed, numbers overwritten, pieces cut, doubled or put in.

    Half of the changes fall into the first ``head`` bytes, where formats say what follows.
    """
    data = bytearray(draw(valid))
    for _ in range(draw(st.integers(0, 4))):
        end = len(data)
        at = draw(st.integers(0, min(end, head)) if draw(st.booleans()) else st.integers(0, end))
        what = draw(st.sampled_from(("byte", "number", "cut", "double", "put", "end")))
        if what == "byte" and at < end:
            data[at] = draw(st.integers(0, 255))
        elif what == "number":
            size, order = draw(st.sampled_from((2, 4, 8))), draw(st.sampled_from(("little", "big")))
            number = draw(st.sampled_from(EDGES)) & (256**size - 1)
            data[at : at + size] = number.to_bytes(size, "little" if order == "little" else "big")
        elif what == "cut":
            del data[at : at + draw(st.integers(1, 64))]
        elif what == "double":
            data[at:at] = data[at : at + draw(st.integers(1, 64))]
        elif what == "put":
            data[at:at] = draw(st.binary(max_size=16))
        elif what == "end":
            del data[at:]
    return bytes(data)


def _places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:  # noqa: ANN401
    """Return the path of every value within ``value``, the outermost left out."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found: list[tuple[str | int, ...]] = []
    for key, content in inside:
        found += [(*path, key), *_places(content, (*path, key))]
    return found


@st.composite
def edited_json(
    draw: st.DrawFn, valid: dict[str, Any], finish: Callable[[dict[str, Any]], None] = lambda _: None
) -> bytes:
    """Return ``valid`` as JSON with some values replaced by others, taken out or added.

    ``finish`` may make a whole of the edited object again, for instance with a digest over it.
    """
    edited = copy.deepcopy(valid)
    pieces: dict[str, str] = {}
    for number in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(_places(edited)))
        parent: Any = edited
        for key in path[:-1]:
            parent = parent[key]
        what = draw(st.sampled_from(("replace", "replace", "replace", "remove", "add")))
        if what == "remove":
            del parent[path[-1]]
            continue
        mark = f"@{number}@"
        pieces[mark] = draw(st.one_of(st.sampled_from(ODD_JSON), scalars()))
        if what == "replace":
            parent[path[-1]] = mark
        elif isinstance(parent, dict):
            parent[draw(st.text(max_size=8))] = mark
    finish(edited)
    text = json.dumps(edited)
    for mark, piece in pieces.items():
        text = text.replace(json.dumps(mark), piece)
    return text.encode(errors="surrogatepass")


@st.composite
def nested_json(draw: st.DrawFn, valid: dict[str, Any]) -> bytes:
    """Return ``valid`` with one more value that is nested as deeply as a decoder may just bear."""
    depth = draw(st.one_of(st.integers(1, 1200), st.integers(850, 1000)))  # Python's own limit is near 1000
    opening, closing = draw(st.sampled_from((("[", "]"), ('{"a":', "}"))))
    inside = opening * depth + "1" + closing * depth
    return (json.dumps(valid)[:-1] + f', "deep": {inside}}}').encode()


@st.composite
def yaml_of_keys(draw: st.DrawFn, keys: dict[str, list[str]]) -> bytes:
    """Return a YAML file that gives some of ``keys``, names below each section, values that are odd or plausible."""
    values = st.one_of(st.sampled_from(ODD_YAML), st.sampled_from(ODD_JSON), scalars())
    lines = []
    for section in draw(st.lists(st.sampled_from(sorted(keys)), min_size=1, max_size=4)):
        inner = keys[section]
        if not inner or draw(st.integers(0, 4)) == 0:
            lines.append(f"{section}: {draw(values)}")
        else:
            chosen = draw(st.lists(st.sampled_from(inner), min_size=1, max_size=3))
            content = ", ".join(f"{key}: {draw(values)}" for key in chosen)
            lines.append(f"{section}: [{{{content}}}]" if draw(st.integers(0, 5)) == 0 else f"{section}: {{{content}}}")
    return "\n".join(lines).encode(errors="surrogatepass")
