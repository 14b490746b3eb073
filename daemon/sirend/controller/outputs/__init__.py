"""Where ``sirend listen`` takes a call: a command, a relay, an NTCIP controller. One contract for all of them.

- Each approach is served for itself: neither one that hangs nor one that fails delays another, or another output.
- ``act``, ``beat``, ``report`` and ``clear`` return at once.
- What fails is tried again, until it succeeds or something newer is to be done.
- When nobody ``beat``s it any more, and whenever it is left, every approach is cleared, by every means and as long as
  ``leave_s`` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from types import TracebackType

    from sirend.client import Call

BEAT_S = 2.0
"""An output that was not beaten for so long acts as if every call were clear: the listener hangs."""
HANGS = "the listener hangs: everything is off"
"""The problem of an output that is not beaten."""


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

    @property
    def leave_s(self) -> float:
        """How long ``__exit__`` may take at most, s."""

    def __enter__(self) -> Self:
        """Open it, with every approach clear that can be; ``act`` tells of each approach at the beginning."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Clear every approach and close, within bounds."""

    def act(self, call: Call) -> None:
        """Begin or end a call; takes each change once and returns at once."""

    def beat(self) -> None:
        """Hear that the listener lives; comes several times a second."""

    def clear(self) -> None:
        """Begin to leave: clear every approach from now on, whatever is acted or beaten; returns at once."""

    def report(self, approach: str) -> Report | None:
        """Return how things are at an approach; None where the output does not serve it."""
