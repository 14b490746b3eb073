"""A live input: what its device delivers goes through an ``Intake``, the worker takes blocks and gaps out of it.

The device may stall, vanish and come back; the stream tells of it by gaps and goes on when it can. When a device is
closed and opened is decided by ``recovery``, and done here.
"""

from __future__ import annotations

import logging
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from sirend.audio import recovery
from sirend.audio.capture import Capture
from sirend.audio.diagnosis import InputMonitor
from sirend.audio.intake import Intake
from sirend.audio.portaudio import restart
from sirend.audio.recovery import Arrived, Delivers, Failed, Nothing, Order, Phase, RecoveryRules
from sirend.audio.rtsp import NetworkCapture
from sirend.audio.stream import Gap, GapReason
from sirend.errors import ConfigError, DeviceError
from sirend.host.boottime import boottime_s

if TYPE_CHECKING:
    import threading
    from collections.abc import Generator, Iterator

    from sirend.audio.device import Device
    from sirend.audio.recovery import Step
    from sirend.audio.stream import Block, Pcm
    from sirend.config.settings import AudioConfig

POLL_S = 0.1
"""How long the worker waits for samples before it looks whether it is to stop: half of what a stop may take."""
NETWORK_TRIAL_S = 8.0
"""A network microphone connects within 4 s or says why not, and then has to show that its sound is of now."""
RULES = RecoveryRules()


class Company(Protocol):
    """The other devices of a site, which share PortAudio and the worker."""

    arrived: threading.Event
    """Set when one of them has samples."""

    def rescan(self) -> None:
        """Let PortAudio look for devices again, as far as that costs nobody their samples in vain."""


class Microphone:
    """A device as a source. Used in a ``with`` statement, which opens and closes it.

    Iterating blocks until samples arrive. An empty block says that none did for ``POLL_S``, so that the worker can
    attend to other things. The iteration ends within 0.2 s of ``stop`` being set.
    """

    def __init__(
        self,
        audio: AudioConfig,
        stop: threading.Event,
        monitor: InputMonitor | None = None,
        company: Company | None = None,
    ) -> None:
        """Prepare to record as ``audio`` says, until ``stop`` is set.

        ``monitor`` watches what comes, by default over all channels.

        With ``company`` the iteration never waits: an empty block says that nothing is there now.
        """
        self._audio = audio
        self._stop = stop
        self._monitor = monitor or InputMonitor({f"channel {column}": column for column in range(audio.channels)})
        self._company = company
        self._device: Device = NetworkCapture(audio) if audio.is_network else Capture(audio)
        self._poll_s = POLL_S if company is None else 0.0
        self._log = logging.getLogger(__name__)
        self._name = "microphone" if company is None else f"microphone {audio.device!r}"
        self._rules = replace(
            RULES, stall_s=audio.stall_s, trial_s=NETWORK_TRIAL_S if audio.is_network else RULES.trial_s
        )
        self._state = recovery.begin(self._rules, boottime_s())
        self._intake = Intake(audio.channels)

    def __enter__(self) -> Self:
        """Open the device.

        Raises ``DeviceError`` when it is not there or does not have what ``audio`` asks for, ``ConfigError`` when
        ``audio.device`` can name none. A network microphone is waited for by whoever iterates.
        """
        if self._device.uses_portaudio:
            self._open()
        else:
            self._device.seek()
        self._state = recovery.begin(self._rules, boottime_s(), is_on_trial=not self._device.uses_portaudio)
        return self

    def __exit__(self, *_: object) -> None:
        """Close the device."""
        self._close()

    @property
    def uses_portaudio(self) -> bool:
        """Whether it is one of the host's own inputs."""
        return self._device.uses_portaudio

    @property
    def is_open(self) -> bool:
        """Whether there is a device, as far as is known."""
        return self._device.is_open

    @property
    def is_seeking(self) -> bool:
        """Whether the input is known to be lost or stuck and is being got back, so that no window can be scored."""
        return self._state.is_lost

    @property
    def problem(self) -> str | None:
        """Why the device, being closed, is not open again, in words; None where the samples themselves tell."""
        is_closed = self._state.phase is not Phase.LISTENING
        return self._state.cause if is_closed and not self._monitor.is_deaf else None

    @property
    def notice(self) -> str | None:
        """What is wrong with the device though samples arrive, in words."""
        return self._device.notice

    @property
    def channels(self) -> int:
        """Columns of every block."""
        return self._audio.channels

    @property
    def dropped(self) -> int:
        """Samples dropped since the beginning because the worker was late."""
        return self._intake.dropped

    def arrived(self) -> int:
        """Return the count of samples that have arrived, those not yet taken included. For the worker's thread."""
        return self._intake.arrived()

    def pause(self) -> None:
        """Close the device for a moment: PortAudio cannot look for another one while a stream is open."""
        self._close(drops=True)

    def resume(self) -> None:
        """Open it again after ``pause``; where that fails it counts as lost."""
        try:
            self._open(is_after_loss=True)
            self._state = replace(self._state, heard_s=boottime_s())  # nobody held it up
        except (DeviceError, ConfigError) as error:
            self._log.warning("%s: %s", self._name, error)

    def try_out(self) -> Iterator[Block]:
        """Open the device for a moment; yield empty blocks until it delivers.

        Raises ``DeviceError`` when it does not, or as ``__enter__`` does.
        """
        until_s = time.monotonic() + self._rules.trial_s
        try:
            self._device.seek()
            while not self._device.delivers():
                if time.monotonic() > until_s or self._stop.wait(self._poll_s):
                    raise DeviceError(f"cannot record from {self._audio.device!r}: it opens, but delivers nothing")
                yield self.nothing()
        finally:
            self._device.close()

    def __iter__(self) -> Iterator[Block | Gap]:
        """Yield the stream until ``stop`` is set; a lost device is opened again as often as it takes.

        One that could not be opened in the first place is as good as lost.
        """
        while not self._stop.is_set():
            yield from self._listen() if self._state.phase is Phase.LISTENING else self._seek()

    def _listen(self) -> Iterator[Block | Gap]:
        """Yield what an open device delivers next."""
        if self._intake.passes_gap():
            self._monitor.count_overflow(time.monotonic())
            yield Gap(self._intake.position, GapReason.OVERFLOW)
        if not self._intake.wait(self._poll_s):
            if (yield from self._follow(Nothing(self._device.ended))).gap is None:
                yield self.nothing()
            return
        pcm = self._intake.read()
        is_new = self._state.is_lost
        step = yield from self._follow(self._observed(pcm))
        if step.order is Order.CLOSE:
            return
        if step.order is not Order.PASS:
            self._intake.begin()  # these samples count no more
            yield self.nothing()
            return
        if is_new:
            self._intake.begin(pcm)  # these count already
        if stuck := self._monitor.stuck:
            pcm = pcm.copy()  # the monitor has yet to observe what really came
            pcm[:, stuck] = 0.0
        yield self._intake.block(pcm)

    def _seek(self) -> Iterator[Block | Gap]:
        """Wait a moment while the device is lost, and open it when it is time."""
        left_s = max(0.0, self._state.until_s - boottime_s())
        if self._stop.wait(min(left_s, self._poll_s)):
            return
        yield self.nothing()
        try:
            if self._state.phase is Phase.TRIAL and self._device.delivers():
                self._open()
                yield from self._follow(Delivers())
            else:
                yield from self._follow(Nothing(self._device.ended if self._state.phase is Phase.TRIAL else None))
        except (DeviceError, ConfigError) as error:
            yield from self._follow(Failed(str(error)))

    def _observed(self, pcm: Pcm) -> Arrived:
        """Return what is to be thought of float32[n, channels] that was just read."""
        if not np.isfinite(pcm).all():
            return Arrived(is_broken=True)
        self._monitor.observe(pcm, time.monotonic())
        return Arrived(self._monitor.deafness, is_stuck=bool(self._monitor.stuck) and self._monitor.is_deaf)

    def _follow(self, event: recovery.Input) -> Generator[Gap, None, Step]:
        """Do what ``recovery`` says after ``event``; yield the gap that it makes, before anything that takes time."""
        self._state, step = recovery.step(self._rules, self._state, event, boottime_s(), random.random())  # noqa: S311  jitter is no secret
        if step.report is not None:
            self._log.warning("%s: %s", self._name, step.report)
        if step.gap is not None:
            yield Gap(self._intake.position, step.gap)
        if step.order in (Order.CLOSE, Order.GIVE_UP):
            self._close()
        elif step.order is Order.TRY:
            if self._device.uses_portaudio:
                restart() if self._company is None else self._company.rescan()
            self._device.seek()
        return step

    def nothing(self) -> Block:
        """Return an empty block."""
        return self._intake.nothing()

    def _open(self, *, is_after_loss: bool = False) -> None:
        """Open the device; raises ``DeviceError`` or ``ConfigError``, and leaves it closed then."""
        rate_hz = self._device.prepare()
        self._intake.open(rate_hz, is_after_loss=is_after_loss)
        try:
            self._device.start(self._deliver)
        except DeviceError:
            self._close()
            raise
        self._monitor.begin(rate_hz, time.monotonic())

    def _close(self, *, drops: bool = False) -> None:
        """Close the device, whatever state it is in; what nobody took of it counts as dropped if ``drops``."""
        self._monitor.end()
        self._device.close()
        self._intake.close(drops=drops)

    def _deliver(self, frames: Pcm, is_after_loss: bool) -> None:
        """Take float32[n, channels] on the device's thread."""
        self._intake.deliver(frames, is_after_loss)
        if self._company is not None:
            self._company.arrived.set()
