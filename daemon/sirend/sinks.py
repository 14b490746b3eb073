"""Where events go: what every sink can do, and JSON Lines on a stream or in a file."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from sirend.errors import DeviceError
from sirend.events import to_json

if TYPE_CHECKING:
    from types import TracebackType

    from sirend.events import Event


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

    def __init__(self, target: Path | TextIO) -> None:
        """Write to an open text stream, or to a file that is created anew."""
        self._target = target
        self._name = str(target) if isinstance(target, Path) else getattr(target, "name", "the stream")
        self._stack = ExitStack()
        self._stream: TextIO | None = None if isinstance(target, Path) else target

    def __enter__(self) -> Self:
        """Open the file, if it is one; raise ``DeviceError`` when that fails."""
        if isinstance(self._target, Path):
            try:
                self._stream = self._stack.enter_context(self._target.open("w", encoding="utf-8", newline="\n"))
            except OSError as error:
                raise self._unusable(error) from None
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file, if it is one; a stream that was given stays open."""
        self._stack.close()

    def publish(self, event: Event) -> None:
        """Write ``event`` unless it only repeats a standing state.

        Raises ``DeviceError`` when it cannot be written, ``BrokenPipeError`` when nobody reads any more.
        """
        if event.refresh:
            return
        if self._stream is None:
            raise RuntimeError("publish() needs the sink to be entered")
        try:
            self._stream.write(to_json(event) + "\n")
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise self._unusable(error) from None

    def _unusable(self, error: OSError) -> DeviceError:
        return DeviceError(
            f"events cannot be written to {self._name}: {error.strerror or error}; name another file or free some space"
        )
