"""Where events go: what every sink can do, and JSON Lines on a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self, TextIO

from sirend.call.event import to_json
from sirend.errors import DeviceError

if TYPE_CHECKING:
    from types import TracebackType

    from sirend.call.event import Event


class Sink(Protocol):
    """Takes events. What it holds open lives from ``__enter__`` to ``__exit__``."""

    def __enter__(self) -> Self:
        """Open what events go to."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Deliver what waits, within bounds, and close."""

    def publish(self, event: Event) -> None:
        """Take ``event`` without making the pipeline wait for a network."""


class JsonLines:
    """A sink that writes each change of state as one line of JSON, at once."""

    def __init__(self, stream: TextIO) -> None:
        """Write to an open text stream, which stays open."""
        self._stream = stream

    def __enter__(self) -> Self:
        """Nothing needs opening."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing needs closing."""

    def publish(self, event: Event) -> None:
        """Write ``event`` unless it only repeats a standing state.

        Raises ``DeviceError`` when it cannot be written, ``BrokenPipeError`` when nobody reads any more.
        """
        if event.refresh:
            return
        try:
            self._stream.write(to_json(event) + "\n")
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            name = getattr(self._stream, "name", "the output")
            reason = error.strerror or error
            raise DeviceError(f"{name}: events cannot be written: {reason}; free some space or name a file") from None
