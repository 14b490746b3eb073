"""A live input: PortAudio's callback fills a ring, the worker takes blocks and gaps out of it.

The device may stall, vanish and come back; the stream tells of it by gaps and goes on when it can.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from sirend.audio import portaudio
from sirend.audio.diagnosis import Ear
from sirend.audio.resample import Resampler
from sirend.audio.ring import Ring
from sirend.audio.stream import SAMPLE_RATE_HZ, Block, Gap, GapReason, Samples
from sirend.errors import ConfigError, DeviceError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Generator, Iterator

    from sirend.audio.stream import Pcm
    from sirend.config.settings import AudioConfig

RING_S = 4.0
"""How late the worker may be before samples are dropped."""
POLL_S = 0.1
"""How long the worker waits for samples before it looks whether it is to stop: half of what a stop may take."""
CALLBACK_S = 0.02
"""Length of the blocks that PortAudio delivers: adds little delay, and wakes the worker 50 times a second."""
TRIAL_S = 5.0
"""How long a device may take to deliver its first samples."""
FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
"""Full jitter: each pause before the device is opened again is random, up to a bound that doubles to this."""
FIRST_MEND_S = 5.0
LONGEST_MEND_S = 300.0
"""A deaf device is opened anew at once, then after pauses that double from the one to the other. It stays open between,
for it may begin to hear by itself."""


class Company(Protocol):
    """The other devices of a site, which share PortAudio and the worker."""

    arrived: threading.Event
    """Set when one of them has samples."""

    def rescan(self) -> None:
        """Let PortAudio look for devices again, as far as that costs nobody their samples in vain."""


class Microphone:
    """A PortAudio input as a source. Used in a ``with`` statement, which opens and closes the device.

    Iterating blocks until samples arrive. An empty block says that none did for ``POLL_S``, so that the worker can
    attend to other things. The iteration ends within 0.2 s of ``stop`` being set.
    """

    def __init__(
        self, audio: AudioConfig, stop: threading.Event, ear: Ear | None = None, company: Company | None = None
    ) -> None:
        """Prepare to record as ``audio`` says, until ``stop`` is set; ``ear`` watches, by default over all channels.

        With ``company`` the iteration never waits: an empty block says that nothing is there now.
        """
        self._audio = audio
        self._stop = stop
        self._ear = ear or Ear({f"channel {column}": column for column in range(audio.channels)})
        self._company = company
        self._poll_s = POLL_S if company is None else 0.0
        self._log = logging.getLogger(__name__)
        self._name = "microphone" if company is None else f"microphone {audio.device!r}"
        self._mend_at = -math.inf
        self._mend_bound_s = FIRST_MEND_S
        self._is_seeking = False
        self._reopened_at = -math.inf
        self._backoff_s = FIRST_BACKOFF_S
        self._stream: Any = None
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

        Raises ``DeviceError`` when it cannot be opened, ``ConfigError`` when ``audio`` asks for what it does not have.
        """
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        """Close the device."""
        self._close()

    @property
    def is_open(self) -> bool:
        """Whether there is a device, as far as is known."""
        return self._stream is not None

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

    @property
    def is_seeking(self) -> bool:
        """Whether the input is known to be lost or stuck and is being got back, so that no window can be scored."""
        return self._is_seeking

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

    def __iter__(self) -> Iterator[Block | Gap]:
        """Yield the stream until ``stop`` is set; a lost device is opened again as often as it takes.

        One that could not be opened in the first place is as good as lost.
        """
        while (lost := (yield from self._listen())) is not None:
            self._log.warning("%s: %s; opening it again", self._name, lost.value)
            self._is_seeking = True
            yield Gap(Samples(self._given), lost)
            self._close()
            yield from self._reopen()

    def _listen(self) -> Generator[Block | Gap, None, GapReason | None]:
        """Yield the stream while the device delivers; return why it no longer does, or None at a stop."""
        heard = time.monotonic()
        while not self._stop.is_set():
            yield from self._missing()
            if self._ring.wait(self._poll_s):
                heard = time.monotonic()
                pcm = self._ring.read(self._until_gap())
                if not np.isfinite(pcm).all():
                    return GapReason.DEVICE_LOST
                self._ear.hear(pcm, heard)
                if self._is_to_be_mended(heard):
                    return GapReason.DEVICE_LOST
                yield from self._believed(pcm)
            elif time.monotonic() - heard > self._audio.stall_s:
                return GapReason.STALLED
            elif self._stream is None or not self._stream.active:
                return GapReason.DEVICE_LOST
            else:
                yield self.nothing()
        return None

    def _missing(self) -> Iterator[Gap]:
        """Yield a gap where samples are missing before those that come next."""
        if self._until_gap() > 0:
            return
        while self._gaps and self._until_gap() <= 0:
            self._gaps.popleft()
        self._begin()
        self._ear.lose(time.monotonic())
        yield Gap(Samples(self._given), GapReason.OVERFLOW)

    def _believed(self, pcm: Pcm) -> Iterator[Block | Gap]:
        """Yield what arrived but what the device repeats: an old siren must not be heard again and again.

        A stuck channel among others becomes silence, and the others are heard on.
        """
        stuck = self._ear.stuck
        if stuck and self._ear.is_deaf:
            if not self._is_seeking:
                yield Gap(Samples(self._given), GapReason.DEVICE_LOST)
            self._is_seeking = True
            self._begin()
            yield self.nothing()
            return
        if self._is_seeking:
            self._is_seeking = False
            self._begin()
            self._taken_before -= len(pcm)  # these count already
        if stuck:
            pcm = pcm.copy()  # the ear has yet to judge what really came
            pcm[:, stuck] = 0.0
        yield self._block(self._resampler.push(pcm))

    def _is_to_be_mended(self, now: float) -> bool:
        """Return whether a device that hears nothing any more is to be opened anew at the monotonic time ``now``."""
        if not self._ear.is_deaf:
            self._mend_bound_s = FIRST_MEND_S
            self._mend_at = -math.inf
            return False
        if now < self._mend_at:
            return False
        self._mend_at = now + random.uniform(0.5, 1.0) * self._mend_bound_s  # noqa: S311  jitter is no secret
        self._mend_bound_s = min(2.0 * self._mend_bound_s, LONGEST_MEND_S)
        return True

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

    def _reopen(self) -> Iterator[Block]:
        """Open the device after pauses that grow, until it is open or at a stop; yield empty blocks meanwhile.

        They grow on when it is lost again soon after.
        """
        if time.monotonic() - self._reopened_at > LONGEST_BACKOFF_S:
            self._backoff_s = FIRST_BACKOFF_S
        while True:
            until = time.monotonic() + random.uniform(0.0, self._backoff_s)  # noqa: S311  jitter is no secret
            self._backoff_s = min(2.0 * self._backoff_s, LONGEST_BACKOFF_S)
            while (left_s := until - time.monotonic()) > 0.0:
                if self._stop.wait(min(left_s, self._poll_s)):
                    return
                yield self.nothing()
            try:
                if self._company is None:
                    portaudio.restart()
                else:
                    self._company.rescan()
                yield from self.try_out()
                self._open()
            except (DeviceError, ConfigError) as error:
                self._log.warning("%s: still lost: %s", self._name, error)
            else:
                self._log.warning("%s: opened again", self._name)
                self._reopened_at = time.monotonic()
                return

    def _open(self) -> None:
        self._dropped_before = self.dropped
        chosen = self._chosen()
        with portaudio.told_of(chosen):
            self._rate_hz = self._rate_of(chosen)
            self._ring = Ring(round(RING_S * self._rate_hz), self.channels)
            self._gaps.clear()
            self._begin()
            try:
                self._stream = self._prepared(chosen, self._rate_hz, self._callback)
                self._stream.start()
            except portaudio.load().PortAudioError:
                self._close()
                raise
        self._ear.begin(self._rate_hz, time.monotonic())

    def try_out(self) -> Iterator[Block]:
        """Open the device for a moment, as ``__enter__`` does; yield empty blocks until it delivers.

        With a callback, PortAudio hangs for ever when a device opens but cannot be started; without, it says so. And
        while the callback of another stream runs it mixes up the results of its calls, since all threads share the
        variable that it keeps them in: a device that is not there seems to open. So only samples are believed.

        Raises ``DeviceError`` when none arrive, ``ConfigError`` when it does not have what is asked of it.
        """
        chosen = self._chosen()
        with portaudio.told_of(chosen):
            rate_hz = self._rate_of(chosen)
            until = time.monotonic() + TRIAL_S
            # The stream's own ``with`` would leave it open when it does not start.
            with closing(self._prepared(chosen, rate_hz, None)) as stream:
                stream.start()
                while not stream.read_available:
                    if time.monotonic() > until or self._stop.wait(self._poll_s):
                        raise DeviceError(f"cannot record from {chosen}: it opens, but delivers nothing")
                    yield self.nothing()

    def _chosen(self) -> portaudio.Input:
        """Return the device, which has enough channels."""
        chosen = portaudio.choose(portaudio.inputs(), self._audio.device)
        if chosen.channels < self._audio.channels:
            problem = f"{self._audio.channels} channels are more than {chosen} has"
            raise ConfigError("audio.channels", [problem])
        return chosen

    def _rate_of(self, chosen: portaudio.Input) -> int:
        return self._audio.rate or portaudio.rate_hz(chosen, self.channels, SAMPLE_RATE_HZ)

    def _prepared(self, chosen: portaudio.Input, rate_hz: int, callback: Callable[..., None] | None) -> Any:  # noqa: ANN401
        return portaudio.stream(chosen, self.channels, rate_hz, round(CALLBACK_S * rate_hz), callback)

    def _close(self) -> None:
        """Close the device, whatever state it is in."""
        self._ear.end()
        if self._stream is not None:
            self._stream.close(ignore_errors=True)
            self._stream = None

    def _callback(self, frames: Pcm, _count: int, _time: object, status: Any) -> None:  # noqa: ANN401
        """Take float32[n, channels] on PortAudio's thread: copy it, and note where samples are missing."""
        if status.input_overflow:
            self._gaps.append(self._ring.written)
        if self._ring.write(frames):
            self._gaps.append(self._ring.written)
        if self._company is not None:
            self._company.arrived.set()
