"""Where ``sirend listen`` takes a call: a command, a relay, an NTCIP controller.

Every output ends in clear by itself when nobody ``beat``s it any more, and when it is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from types import TracebackType

    from sirend.client import Call

BEAT_S = 2.0
"""An output that was not beaten for so long acts as if every call were clear: the listener hangs."""


@dataclass(frozen=True, slots=True)
class Report:
    """What an output knows of one approach."""

    confirmed: bool | None
    """Whether what was asked for is really so; None where nothing can tell, or not yet."""
    detail: str | None
    """What it says itself, such as the ``preemptState`` of a controller; None when it says nothing."""
    problem: str | None
    """What is wrong with it, None when nothing is."""


class Output(Protocol):
    """Takes calls. What it holds open lives from ``__enter__`` to ``__exit__``, which leaves everything clear."""

    def __enter__(self) -> Self:
        """Open it, with every approach clear."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Clear every approach and close, within bounds."""

    def act(self, call: Call) -> None:
        """Begin or end a call; takes each change once and returns at once."""

    def beat(self) -> None:
        """Hear that the listener lives; comes several times a second."""

    def report(self, approach: str) -> Report | None:
        """Return how things are at an approach; None where the output does not serve it."""
