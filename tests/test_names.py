"""One name, one thing: whoever looks a class up finds one."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import sirend

ALLOWED = {
    "Heard": "each way of training has its own record of what it heard, and none meets another's",
    "Moment": "`client.Moment` is public, and the page's protocol calls a window of all approaches a moment",
}


def test_no_public_class_has_the_name_of_another() -> None:
    root = Path(sirend.__file__).parent
    places: dict[str, list[str]] = defaultdict(list)
    for file in sorted(root.rglob("*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(f"{file.relative_to(root)}:{node.lineno}")
    twice = {name: where for name, where in places.items() if len(where) > 1}
    assert {name: where for name, where in twice.items() if name not in ALLOWED} == {}
    assert set(ALLOWED) <= set(twice), "an exception that is none any more"
