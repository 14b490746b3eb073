"""One parser against many inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, given, seed, settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hypothesis.strategies import SearchStrategy

LONGEST_MESSAGE = 2_000
"""Characters of an error; more is no message but a dump."""


@dataclass(frozen=True, eq=False)
class Parser:
    """One reader, what it is fed, and the check of its promise."""

    name: str
    inputs: SearchStrategy[bytes]
    keeps_its_promise: Callable[[bytes, Path], None]
    """Takes the input and a folder; raises whatever is not foreseen."""


def is_readable(error: Exception) -> None:
    """Assert that a person can make something of an error."""
    assert 0 < len(str(error)) < LONGEST_MESSAGE, str(error)[:200]


def attack(parser: Parser, folder: Path, examples: int, seeded: int | None = None) -> int:
    """Feed ``parser`` with ``examples`` inputs, files of which lie in ``folder``; return how many it was.

    Raises what the parser raised, for the smallest input that was found to raise it.
    """
    count = 0

    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
        print_blob=False,
    )
    @given(parser.inputs)
    def one(data: bytes) -> None:
        nonlocal count
        count += 1
        try:
            parser.keeps_its_promise(data, folder)
        except Exception as error:
            error.add_note(f"input: {data!r}")  # told even if it does not happen a second time
            raise

    (one if seeded is None else seed(seeded)(one))()
    return count
