"""What is wrong with the samples that arrive, told from the samples alone.

A microphone that died looks like a quiet night. Each second of every channel is looked at, and a fault counts once it
has held for ``HOLD_S`` seconds, so that it is known within 5 s of its beginning. Pure: time comes in with each call.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from sirend.audio.level import level_dbfs
from sirend.audio.stream import SAMPLE_RATE_HZ, SILENCE_DBFS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sirend.audio.stream import Pcm

HOLD_S = 3
"""Seconds in a row for which a fault must hold, and seconds in a row without it after which it is over."""
SILENT_FOR_S = 2.0
"""Blocks come 50 times a second: none for so long is a fault, however patient ``audio.stall_s`` is."""
CLIPPED = 0.999
"""Amplitude from which a sample counts as clipped: 32767/32768 rounded down by a resampling sound server."""
CLIPPED_SHARE = 0.01
DC_SHARE = 0.05
"""Mean of a second, of full scale. The offset of cheap converters is below 0.02."""
FLAT = 1e-6
"""Peak-to-peak value below which a second is constant; a tenth of the step of 16 bits is more."""
FAR_BELOW_DB = 25.0
"""How far below the quietest second learned a whole second must lie to be no quiet night but a cut cable."""
LEARNED_MINUTES = 60
"""How far back the noise floor looks; it is known after the first minute."""
RATE_SHARE = 0.03
"""Sound cards keep their rate within 0.0001; 44.1 kHz taken for 48 kHz is off by 0.08."""
BEHIND_S = 1.0
"""A worker that late twice within ``RECENT_S`` is too slow; the ring holds 4 s."""
RECENT_S = 10.0
OVERFLOWS_A_MINUTE = 6
"""One overflow is an accident; so many within a minute are a host that cannot keep up."""
MINUTE_S = 60.0
NEEDLE = 64
"""Samples in a row that no microphone gives twice: its own noise forbids it."""
MOST_TRIED = 512
"""Places at which a repetition is looked for; a quiet input of few bits has many that fit one sample alone."""
NO_SAMPLES = "no samples arrive"


class InputFault(StrEnum):
    """What may be wrong with a channel."""

    SILENCE = "digital silence, the microphone is dead or off"
    CONSTANT = "every sample has the same value, the input is stuck"
    REPEATED = "the same samples again and again, the input is stuck"
    DC = "a constant offset beside the sound, the microphone or its wiring is broken"
    CLIPPING = "clipping, the gain is too high"
    QUIET = "far quieter than it has ever been, the microphone may be cut off or covered"

    @property
    def is_deaf(self) -> bool:
        """Whether nothing can be heard any more."""
        return self in (InputFault.SILENCE, InputFault.CONSTANT, InputFault.REPEATED)


@dataclass(frozen=True, slots=True)
class Streak:
    """A fault's course: how long it has held, or has been over."""

    is_on: bool = False
    seconds: int = 0
    """Seconds in a row that speak against ``is_on``."""

    def step(self, *, holds: bool) -> Streak:
        """Return the course after another second."""
        if holds is self.is_on:
            return Streak(self.is_on)
        return Streak(holds) if self.seconds + 1 >= HOLD_S else Streak(self.is_on, self.seconds + 1)


class Floor:
    """The quietest second of the last hour, dBFS. Seconds far below it are not learned: they are what it is for."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._minutes: deque[float] = deque(maxlen=LEARNED_MINUTES)
        self._minute: list[float] = []

    @property
    def dbfs(self) -> float:
        """The floor; minus infinity in the first minute."""
        return min(self._minutes, default=-math.inf)

    def is_far_above(self, second_dbfs: float) -> bool:
        """Return whether a second lies far below the floor; learn it when it does not."""
        if second_dbfs < self.dbfs - FAR_BELOW_DB:
            return True
        if second_dbfs > SILENCE_DBFS:
            self._minute.append(second_dbfs)
        if len(self._minute) >= 60:  # noqa: PLR2004  seconds in a minute
            self._minutes.append(min(self._minute))
            self._minute.clear()
        return False


def is_repeated(before: Pcm, now: Pcm) -> bool:
    """Return whether ``now``, float32[n], only repeats what was heard up to ``len(before)`` samples earlier."""
    if min(len(now), len(before)) < NEEDLE:
        return False
    both = np.concatenate((before, now))
    needle = both[-NEEDLE:]
    if float(np.ptp(needle)) <= FLAT:
        return False
    ends = np.flatnonzero(both[NEEDLE - 1 : -1] == needle[-1]) + NEEDLE - 1  # where the needle's last sample occurs
    for end in ends[: -MOST_TRIED - 1 : -1]:
        if np.array_equal(both[end + 1 - NEEDLE : end + 1], needle):
            start = len(before) - (len(both) - 1 - int(end))
            return start >= 0 and np.array_equal(both[start : start + len(now)], now)
    return False


def faults_of(second: Pcm, before: Pcm, floor: Floor) -> frozenset[InputFault]:
    """Return what is wrong with ``second``, float32[n], given the one ``before``; ``floor`` learns from it."""
    low, high = float(second.min()), float(second.max())
    if high - low <= FLAT:
        return frozenset({InputFault.SILENCE if max(abs(low), abs(high)) <= FLAT else InputFault.CONSTANT})
    if is_repeated(before, second):
        return frozenset({InputFault.REPEATED})
    mean = float(second.mean(dtype=np.float64))
    holds = {
        InputFault.DC: abs(mean) > DC_SHARE,
        InputFault.CLIPPING: float(np.mean(np.abs(second) >= CLIPPED)) > CLIPPED_SHARE,
        InputFault.QUIET: floor.is_far_above(level_dbfs(second - np.float32(mean))),
    }
    return frozenset(fault for fault, is_true in holds.items() if is_true)


class Channel:
    """One channel's faults, second by second."""

    def __init__(self) -> None:
        """Know of no fault."""
        self._streaks = dict.fromkeys(InputFault, Streak())
        self._floor = Floor()
        self._before: Pcm = np.zeros(0, dtype=np.float32)
        self.faults: tuple[InputFault, ...] = ()
        """What is wrong, as of the last second taken."""

    def observe(self, second: Pcm) -> None:
        """Take the next second, float32[n]."""
        found = faults_of(second, self._before, self._floor)
        self._streaks = {fault: streak.step(holds=fault in found) for fault, streak in self._streaks.items()}
        self._before = second
        self.faults = tuple(fault for fault, streak in self._streaks.items() if streak.is_on)


class Pace:
    """The count of samples against the monotonic clock.

    Blocks come late, never early, so the least delayed one of each second tells how far the count is ahead; how that
    lead changes from second to second is the error of the rate, whatever the host's load.
    """

    def __init__(self, now_s: float) -> None:
        """Begin to count at the monotonic time ``now_s``."""
        self._began_s = now_s
        self._second = 0
        self._lead_s = -math.inf
        self._leads: deque[tuple[int, float]] = deque(maxlen=4)

    @property
    def drift(self) -> float:
        """Share of samples too many, or too few if negative, over the last seconds; 0 until there are enough."""
        if len(self._leads) < 3:  # noqa: PLR2004  two would make one late second a fault
            return 0.0
        (first, first_s), (last, last_s) = self._leads[0], self._leads[-1]
        return (last_s - first_s) / (last - first)

    def observe(self, heard_s: float, now_s: float) -> None:
        """Take notice that ``heard_s`` seconds of samples had arrived by ``now_s``."""
        second = int(now_s - self._began_s)
        if second != self._second:
            if self._second:  # the first second may hold what the host had stored up
                self._leads.append((self._second, self._lead_s))
            self._second, self._lead_s = second, -math.inf
        self._lead_s = max(self._lead_s, heard_s - (now_s - self._began_s))


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong with the input, in words for the health message."""

    failed: tuple[str, ...] = ()
    """Why nothing can be heard at all."""
    degraded: tuple[str, ...] = ()
    """What makes hearing worse, or fails for some approaches."""


class InputMonitor:
    """Watches one input with its channels."""

    def __init__(self, approaches: Mapping[str, int]) -> None:
        """Watch the channels, counted from 0, of the named approaches."""
        self._columns = dict(approaches)
        self._channels = {name: Channel() for name in approaches}
        self._pending: deque[Pcm] = deque()
        self._pending_n = 0
        self._rate_hz = SAMPLE_RATE_HZ
        self._heard_n = 0
        self._heard_at_s: float | None = None
        self._pace = Pace(0.0)
        self._late: deque[float] = deque(maxlen=2)
        self._overflows: deque[float] = deque(maxlen=OVERFLOWS_A_MINUTE)

    @property
    def is_deaf(self) -> bool:
        """Whether no channel hears anything."""
        return all(any(fault.is_deaf for fault in channel.faults) for channel in self._channels.values())

    @property
    def deafness(self) -> str | None:
        """Why no channel hears anything, in words; None while one does."""
        if not self.is_deaf:
            return None
        faults = [fault for channel in self._channels.values() for fault in channel.faults if fault.is_deaf]
        return "; ".join(dict.fromkeys(faults))

    @property
    def stuck(self) -> list[int]:
        """Columns that repeat what they said before, which must not be taken for what is there now."""
        return [
            self._columns[name]
            for name, channel in self._channels.items()
            if not {InputFault.CONSTANT, InputFault.REPEATED}.isdisjoint(channel.faults)
        ]

    def begin(self, rate_hz: int, now_s: float) -> None:
        """Take notice that the device was opened at ``rate_hz`` at the monotonic time ``now_s``."""
        self._rate_hz = rate_hz
        self._heard_n = 0
        self._heard_at_s = now_s
        self._pace = Pace(now_s)
        self._pending.clear()
        self._pending_n = 0

    def end(self) -> None:
        """Take notice that the device was closed: that nothing arrives is no fault of its own then."""
        self._heard_at_s = None

    def observe(self, pcm: Pcm, now_s: float) -> None:
        """Take a block, float32[n, channels], at the device's rate, that was taken from the ring at ``now_s``."""
        self._heard_at_s = now_s
        self._heard_n += len(pcm)
        self._pace.observe(self._heard_n / self._rate_hz, now_s)
        if len(pcm) > BEHIND_S * self._rate_hz:
            self._late.append(now_s)
        self._pending.append(pcm)
        self._pending_n += len(pcm)
        if self._pending_n < self._rate_hz:
            return
        waiting = np.concatenate(self._pending)
        whole = len(waiting) - len(waiting) % self._rate_hz
        for start in range(0, whole, self._rate_hz):
            for name, channel in self._channels.items():
                channel.observe(waiting[start : start + self._rate_hz, self._columns[name]])
        self._pending = deque([waiting[whole:]])
        self._pending_n = len(waiting) - whole

    def count_overflow(self, now_s: float) -> None:
        """Take notice of an overflow: samples that the host or the ring dropped."""
        self._overflows.append(now_s)

    def diagnosis(self, now_s: float) -> Diagnosis:
        """Return what is wrong at the monotonic time ``now_s``."""
        failed = [] if self._heard_at_s is None or now_s - self._heard_at_s < SILENT_FOR_S else [NO_SAMPLES]
        heard = [f"{name}: {fault}" for name, channel in self._channels.items() for fault in channel.faults]
        degraded = list(self._of_the_host(now_s))
        if self.is_deaf:
            return Diagnosis((*failed, *heard), tuple(degraded))
        return Diagnosis(tuple(failed), (*heard, *degraded))

    def _of_the_host(self, now_s: float) -> Iterator[str]:
        """Yield what is wrong with the device's or the host's pace."""
        if abs(drift := self._pace.drift) > RATE_SHARE:
            more = "more" if drift > 0.0 else "fewer"
            yield f"{more} samples arrive than {self._rate_hz} Hz: the device's rate is wrong or samples are lost"
        if len(self._late) == 2 and now_s - self._late[0] < RECENT_S:  # noqa: PLR2004  once may happen
            yield "the model is too slow for this host: the worker is more than 1 s behind the microphone"
        if len(self._overflows) == OVERFLOWS_A_MINUTE and now_s - self._overflows[0] < MINUTE_S:
            yield f"the host cannot keep up: {OVERFLOWS_A_MINUTE} overflows or more within a minute"
