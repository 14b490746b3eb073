"""One PortAudio input as a device: chosen by its name, tried out, opened and closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sirend.audio import portaudio
from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sirend.audio.stream import Pcm
    from sirend.config.settings import AudioConfig

CALLBACK_S = 0.02
"""Length of the blocks that PortAudio delivers: adds little delay, and wakes the worker 50 times a second."""


class Capture:
    """A PortAudio input.

    With a callback, PortAudio hangs for ever when a device opens but cannot be started; without, it says so. And while
    the callback of another stream runs it mixes up the results of its calls, since all threads share the variable that
    it keeps them in: a device that is not there seems to open. So a device is tried out first, without a callback, and
    only samples are believed.
    """

    uses_portaudio = True
    notice = None

    def __init__(self, audio: AudioConfig) -> None:
        """Prepare to record as ``audio`` says."""
        self._audio = audio
        self._trial: Any = None
        self._stream: Any = None
        self._chosen: portaudio.Input | None = None
        self._rate_hz = SAMPLE_RATE_HZ

    @property
    def is_open(self) -> bool:
        """Whether there is a stream that delivers by itself, as far as is known."""
        return self._stream is not None

    @property
    def ended(self) -> str | None:
        """Why nothing can come any more, in words; None while it is tried or open."""
        if self._stream is None:
            return None if self._trial is not None else "it is not open"
        return None if self._stream.active else "the device is gone"

    def seek(self) -> None:
        """Look for the device among those that PortAudio knows, and begin to try it out.

        Raises ``DeviceError`` when it is not there, or does not have what is asked of it; ``ConfigError`` when
        ``audio.device`` can name none.
        """
        rate_hz = self.prepare()
        assert self._chosen is not None  # noqa: S101  by prepare
        with portaudio.named_errors(self._chosen):
            self._trial = portaudio.stream(self._chosen, self._audio.channels, rate_hz, self._frames, None)
            try:
                self._trial.start()
            except portaudio.load_sounddevice().PortAudioError:
                self.close()
                raise

    def delivers(self) -> bool:
        """Return whether the trial has got samples."""
        return self._trial is not None and self._trial.read_available > 0

    def prepare(self) -> int:
        """Choose the device; return the rate at which it will be opened, Hz. Raises as ``seek`` does."""
        chosen = portaudio.choose(portaudio.inputs(), self._audio.device)
        if chosen.channels < self._audio.channels:
            raise DeviceError(
                f"audio.channels: {self._audio.channels} channels are more than {chosen} has now: it may have come up "
                "with fewer than it has, so that plugging it in again helps; else set fewer"
            )
        with portaudio.named_errors(chosen):
            self._rate_hz = self._audio.rate or portaudio.rate_hz(chosen, self._audio.channels, SAMPLE_RATE_HZ)
        self._chosen = chosen
        return self._rate_hz

    def start(self, deliver: Callable[[Pcm, bool], None]) -> None:
        """Open what ``prepare`` chose. Raises ``DeviceError`` when that fails.

        ``deliver`` is called on PortAudio's thread with float32[n, channels], and whether samples are missing before.
        """
        assert self._chosen is not None  # noqa: S101  by prepare

        def callback(frames: Pcm, _count: int, _time: object, status: Any) -> None:  # noqa: ANN401
            deliver(frames, bool(status.input_overflow))

        self._end_trial()
        with portaudio.named_errors(self._chosen):
            try:
                self._stream = portaudio.stream(
                    self._chosen, self._audio.channels, self._rate_hz, self._frames, callback
                )
                self._stream.start()
            except portaudio.load_sounddevice().PortAudioError:
                self.close()
                raise

    def close(self) -> None:
        """Close the device, whatever state it is in."""
        self._end_trial()
        if self._stream is not None:
            self._stream.close(ignore_errors=True)
            self._stream = None

    def _end_trial(self) -> None:
        if self._trial is not None:
            self._trial.close()
            self._trial = None

    @property
    def _frames(self) -> int:
        """Frames of a block."""
        return round(CALLBACK_S * self._rate_hz)
