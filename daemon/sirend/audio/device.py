"""What a microphone needs of the device behind it, be it a sound card or a stream from the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from sirend.audio.stream import Pcm


class Device(Protocol):
    """What delivers samples. Its methods are those of the worker's thread, and none waits for long."""

    @property
    def uses_portaudio(self) -> bool:
        """Whether it has to be closed while PortAudio looks for devices."""
        ...

    @property
    def notice(self) -> str | None:
        """What is wrong though samples arrive, in words."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether it delivers by itself, as far as is known."""
        ...

    @property
    def ended(self) -> str | None:
        """Why nothing can come any more, in words; None while it is tried or open."""
        ...

    def seek(self) -> None:
        """Begin a trial; ``DeviceError`` or ``ConfigError`` say why it cannot succeed."""

    def delivers(self) -> bool:
        """Return whether the trial has got samples; raises as ``seek`` does."""
        ...

    def prepare(self) -> int:
        """Return the rate at which ``start`` will deliver, Hz; raises as ``seek`` does."""
        ...

    def start(self, deliver: Callable[[Pcm, bool], None]) -> None:
        """Open it: ``deliver`` gets float32[n, channels] and whether samples are missing before them."""

    def close(self) -> None:
        """Close it, and end a trial, whatever state it is in."""
