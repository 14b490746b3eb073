"""A live input: the device's thread fills a ring, the worker takes blocks and gaps out of it.

The device may stall, vanish and come back; the stream tells of it by gaps and goes on when it can. When a device is
closed and opened is decided by ``recovery``, and done here.
"""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from sirend.audio import recovery
from sirend.audio.capture import Capture
from sirend.audio.diagnosis import InputMonitor
from sirend.audio.portaudio import restart
from sirend.audio.recovery import Arrived, Delivers, Failed, Nothing, Order, Phase, RecoveryRules
from sirend.audio.resample import Resampler
from sirend.audio.ring import Ring
from sirend.audio.rtsp import NetworkCapture
from sirend.audio.stream import SAMPLE_RATE_HZ, Block, Gap, GapReason, Samples
from sirend.errors import ConfigError, DeviceError

if TYPE_CHECKING:
    import threading
    from collections.abc import Generator, Iterator

    from sirend.audio.device import Device
    from sirend.audio.recovery import Step
    from sirend.audio.stream import Pcm
    from sirend.config.settings import AudioConfig

RING_S = 4.0
"""How late the worker may be before samples are dropped."""
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
        self._state = recovery.begin(self._rules, time.monotonic())
        self._ring = Ring(1, audio.channels)
        self._rate_hz = SAMPLE_RATE_HZ
        self._resampler = Resampler(SAMPLE_RATE_HZ, audio.channels)
        self._gaps: deque[int] = deque(maxlen=1_000)
        self._given = 0
        self._given_before = 0
        self._taken_before = 0
        self._dropped_before = 0

    def __enter__(self) -> Self:
        """Open the device.

        Raises ``DeviceError`` when it is not there or does not have what ``audio`` asks for, ``ConfigError`` when
        ``audio.device`` can name none. A network microphone is waited for by whoever iterates.
        """
        if self._device.uses_portaudio:
            self._open()
        else:
            self._device.seek()
        self._state = recovery.begin(self._rules, time.monotonic(), is_on_trial=not self._device.uses_portaudio)
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
        return self._dropped_before + self._ring.dropped * SAMPLE_RATE_HZ // self._rate_hz

    def arrived(self) -> int:
        """Return the count of samples that have arrived, those not yet taken included. For the worker's thread."""
        frames = self._ring.written - self._taken_before
        return self._given_before + frames * SAMPLE_RATE_HZ // self._rate_hz

    def pause(self) -> None:
        """Close the device for a moment: PortAudio cannot look for another one while a stream is open."""
        self._dropped_before += self._ring.waiting * SAMPLE_RATE_HZ // self._rate_hz
        self._close()

    def resume(self) -> None:
        """Open it again after ``pause``; where that fails it counts as lost."""
        try:
            self._open()
        except (DeviceError, ConfigError) as error:
            self._log.warning("%s: %s", self._name, error)
        else:
            self._gaps.appendleft(0)

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
        yield from self._overflow()
        if not self._ring.wait(self._poll_s):
            if (yield from self._follow(Nothing(self._device.ended))).gap is None:
                yield self.nothing()
            return
        pcm = self._ring.read(self._until_gap())
        is_new = self._state.is_lost
        step = yield from self._follow(self._observed(pcm))
        if step.order is Order.CLOSE:
            return
        if step.order is not Order.PASS:
            self._begin()  # these samples count no more
            yield self.nothing()
            return
        if is_new:
            self._begin()
            self._taken_before -= len(pcm)  # these count already
        if stuck := self._monitor.stuck:
            pcm = pcm.copy()  # the monitor has yet to observe what really came
            pcm[:, stuck] = 0.0
        yield self._block(self._resampler.push(pcm))

    def _seek(self) -> Iterator[Block | Gap]:
        """Wait a moment while the device is lost, and open it when it is time."""
        left_s = max(0.0, self._state.until_s - time.monotonic())
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
        self._state, step = recovery.step(self._rules, self._state, event, time.monotonic(), random.random())  # noqa: S311  jitter is no secret
        if step.report is not None:
            self._log.warning("%s: %s", self._name, step.report)
        if step.gap is not None:
            yield Gap(Samples(self._given), step.gap)
        if step.order in (Order.CLOSE, Order.GIVE_UP):
            self._close()
        elif step.order is Order.TRY:
            if self._device.uses_portaudio:
                restart() if self._company is None else self._company.rescan()
            self._device.seek()
        return step

    def _overflow(self) -> Iterator[Gap]:
        """Yield a gap where samples are missing before those that come next."""
        if self._until_gap() > 0:
            return
        while self._gaps and self._until_gap() <= 0:
            self._gaps.popleft()
        self._begin()
        self._monitor.count_overflow(time.monotonic())
        yield Gap(Samples(self._given), GapReason.OVERFLOW)

    def _until_gap(self) -> int:
        """Return how many frames may be read before the next gap."""
        return self._gaps[0] - self._taken if self._gaps else self._ring.capacity

    @property
    def _taken(self) -> int:
        """Frames read from the ring since the device was opened."""
        return self._ring.written - self._ring.waiting

    def _block(self, pcm: Pcm) -> Block:
        start = Samples(self._given)
        self._given += len(pcm)
        return Block(start, pcm)

    def nothing(self) -> Block:
        """Return an empty block."""
        return Block(Samples(self._given), np.zeros((0, self.channels), dtype=np.float32))

    def _begin(self) -> None:
        """Start a continuous stretch of samples: after opening and after each gap."""
        self._resampler = Resampler(self._rate_hz, self.channels)
        self._given_before = self._given
        self._taken_before = self._taken

    def _open(self) -> None:
        """Open the device; raises ``DeviceError`` or ``ConfigError``, and leaves it closed then."""
        rate_hz = self._device.prepare()
        self._use_ring(round(RING_S * rate_hz), rate_hz)
        try:
            self._device.start(self._deliver)
        except DeviceError:
            self._close()
            raise
        self._monitor.begin(rate_hz, time.monotonic())

    def _close(self) -> None:
        """Close the device, whatever state it is in."""
        self._monitor.end()
        self._device.close()
        self._use_ring(1, SAMPLE_RATE_HZ)

    def _use_ring(self, frames: int, rate_hz: int) -> None:
        """Take a new ring of so many frames; what was dropped from the one before is counted, once."""
        self._dropped_before = self.dropped
        self._ring, self._rate_hz = Ring(frames, self.channels), rate_hz
        self._gaps.clear()
        self._begin()

    def _deliver(self, frames: Pcm, is_after_loss: bool) -> None:
        """Take float32[n, channels] on the device's thread: copy it, and note where samples are missing."""
        if is_after_loss:
            self._gaps.append(self._ring.written)
        if self._ring.write(frames):
            self._gaps.append(self._ring.written)
        if self._company is not None:
            self._company.arrived.set()
