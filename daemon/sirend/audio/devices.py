"""The microphones of a site: one device, or several that share the worker and PortAudio.

Each device has a clock of its own and so a stream of its own; nothing is mixed or resampled to make one of them. What
comes of the streams meets only where it is decided which approach may call.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from sirend.audio import portaudio
from sirend.audio.diagnosis import Diagnosis, InputMonitor
from sirend.audio.microphone import POLL_S, Microphone
from sirend.audio.stream import Block
from sirend.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sirend.audio.routing import Pickup
    from sirend.audio.stream import Gap

_log = logging.getLogger(__name__)
TRIAL_POLL_S = 0.01
"""How long to wait until it is seen whether a device that is tried out delivers."""


class Devices:
    """Several microphones as sources beside each other. Used in a ``with`` statement, which opens and closes them.

    Devices are numbered from 0, in the order of ``pickups``.
    """

    def __init__(self, pickups: Sequence[Pickup], stop: threading.Event) -> None:
        """Prepare to record from ``pickups`` until ``stop`` is set."""
        self.arrived = threading.Event()
        self.names = [pickup.audio.device for pickup in pickups]
        """What the devices are called."""
        self._monitors = [InputMonitor({each.name: each.channel for each in pickup.approaches}) for pickup in pickups]
        company = self if len(pickups) > 1 else None
        self.microphones = [
            Microphone(pickup.audio, stop, monitor, company)
            for pickup, monitor in zip(pickups, self._monitors, strict=True)
        ]
        self._opened = ExitStack()
        self._cards: frozenset[str] = frozenset()

    def __enter__(self) -> Self:
        """Open the devices. One that is missing is sought while the others are heard.

        Raises ``DeviceError`` when none can be opened, ``ConfigError`` when a name can be that of none.
        """
        with ExitStack() as opened:
            self._cards = portaudio.cards()
            own = [microphone for microphone in self.microphones if microphone.uses_portaudio]
            absent = self._absent(own) if len(self.microphones) > 1 else {}
            for microphone in self.microphones:
                if microphone not in absent:
                    try:
                        microphone.__enter__()
                    except DeviceError as error:
                        absent[microphone] = error
                opened.push(microphone)
            if len(absent) == len(self.microphones):
                raise absent[self.microphones[0]]
            for failure in absent.values():
                _log.warning("one input is missing, the others are heard: %s", failure)
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Close them."""
        self._opened.close()

    @staticmethod
    def _absent(microphones: Sequence[Microphone]) -> dict[Microphone, DeviceError]:
        """Return which cannot be recorded from, and why. To be asked while no stream is open."""
        absent = {}
        for microphone in microphones:
            try:
                for _ in microphone.try_out():
                    time.sleep(TRIAL_POLL_S)
            except DeviceError as error:
                absent[microphone] = error
        return absent

    @property
    def dropped(self) -> int:
        """Samples dropped since the beginning because the worker was late, of all devices."""
        return sum(microphone.dropped for microphone in self.microphones)

    def __iter__(self) -> Iterator[tuple[int, Block | Gap]]:
        """Yield what each device does, with its number, until the stop.

        An empty block says that none had anything for 0.1 s, so that the worker can attend to other things.
        """
        if len(self.microphones) == 1:
            yield from ((0, item) for item in self.microphones[0])
            return
        streams = [iter(microphone) for microphone in self.microphones]
        while True:
            self.arrived.clear()
            is_idle = True
            for number, stream in enumerate(streams):
                item = next(stream, None)
                if item is None:
                    return
                if not isinstance(item, Block) or len(item.pcm):
                    is_idle = False
                    yield number, item
            if is_idle and not self.arrived.wait(POLL_S):
                yield 0, self.microphones[0].nothing()

    def rescan(self) -> None:
        """Let PortAudio look for devices again.

        It does so only while no stream is open. So the others are interrupted, and lose a window's length, only when a
        card has come since it looked last; where nothing is open it costs nothing.
        """
        others = [each for each in self.microphones if each.uses_portaudio and each.is_open]
        cards = portaudio.cards()
        if others and cards <= self._cards:
            return
        for microphone in others:
            microphone.pause()
        try:
            portaudio.restart()
            self._cards = cards
        finally:
            absent = self._absent(others)
            for microphone in others:
                if microphone not in absent:
                    microphone.resume()

    def diagnosis(self, now_s: float) -> Diagnosis:
        """Return what is wrong at the monotonic time ``now_s``. The site has failed only when every input has."""
        found = [
            Diagnosis(
                (*each.failed, *filter(None, [microphone.problem])),
                (*each.degraded, *filter(None, [microphone.notice])),
            )
            for each, microphone in zip(
                (monitor.diagnosis(now_s) for monitor in self._monitors), self.microphones, strict=True
            )
        ]
        if len(found) == 1:
            return found[0]
        told = [
            Diagnosis(*(tuple(f"{name}: {what}" for what in part) for part in (each.failed, each.degraded)))
            for name, each in zip(self.names, found, strict=True)
        ]
        failed = tuple(what for each in told for what in each.failed)
        degraded = tuple(what for each in told for what in each.degraded)
        is_deaf = all(
            each.failed or microphone.is_seeking for each, microphone in zip(found, self.microphones, strict=True)
        )
        return Diagnosis(failed, degraded) if is_deaf else Diagnosis((), failed + degraded)
