"""The microphones of an array as one ear: the row that the network hears, and the bearing of what it calls a siren."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from sirend.audio.level import levels_dbfs
from sirend.audio.stream import SAMPLE_RATE_HZ, SILENCE_DBFS, Samples, Window, to_samples
from sirend.audio.tape import Tape
from sirend.config import geometry
from sirend.detect.beams import LATE, TAPS, Beams, directions_deg
from sirend.detect.bearing import Compass
from sirend.detect.pitch import STEP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sirend.config.geometry import Geometry
    from sirend.config.settings import Config
    from sirend.detect.bearing import Bearing
    from sirend.detect.pitch import Pitch

DEAD_DB = 20.0
"""A microphone so far below the middle one of its array is dead: capsules of one kind differ by a few dB."""
ASKED = 8
"""Windows with a tone of a siren, 2 s at the usual hop, after which it is told when hardly one had a direction."""
HARDLY = 0.25
CLEAR, CLEAR_FRAMES = 0.65, 8
"""Strength of the tone in one of the last frames, a quarter of a second, from which a sound array knows where it is: a
beam makes tones stand out that the microphones alone do not agree on yet."""
SPARSE = 16
"""Every so many samples are compared to tell a mono device: microphones of their own never agree in all of them."""
_STREET = 0.25
"""Strength that a street alone has: what a frame has of it is no siren's, which else would not seem to fade in it."""
LOUDEST_S = 8.0
"""A siren is compared with itself over so long."""
EARLIER = to_samples(2.0)
"""So much is remembered before a window. A faint siren is first suspected as it passes, or half a second later: the two
seconds of then hold too little of how it came."""


class ArrayEar:
    """Hears with the microphones of one array, on one thread."""

    def __init__(self, microphones: Geometry, heading_deg: float, legs_deg: Sequence[float]) -> None:
        """Hear with ``microphones``, whose front looks to the compass bearing ``heading_deg``.

        Best it hears along the legs, which lie at the compass bearings ``legs_deg``.
        """
        self._compass = Compass(microphones, heading_deg)
        self._beams = Beams(microphones, [deg - heading_deg for deg in directions_deg(legs_deg)])
        self._channels = microphones.channels
        self._past: tuple[Bearing, ...] = ()
        self._row = 0
        self._dead: tuple[int, ...] = ()
        self._is_mono = False
        self._found: deque[bool] = deque(maxlen=ASKED)
        self._tape = Tape(0)
        self._recent: deque[tuple[Window, Window]] = deque()
        """The windows of the last ``EARLIER`` samples, and what was picked of each."""

    @classmethod
    def of(cls, config: Config) -> Self | None:
        """Return that of the configured array; None where each approach has a microphone of its own."""
        if config.array is None:
            return None
        legs_deg = [each.bearing_deg for each in config.approaches if each.bearing_deg is not None]
        return cls(geometry.of(config.array.geometry), config.array.heading_deg, legs_deg)

    @property
    def problem(self) -> str | None:
        """What keeps the array from telling a direction, in words for the installer; None while nothing does."""
        if self._dead:
            return f"array: the microphone in column {self._dead[0]} is silent: no leg is told; check or replace it"
        if self._is_mono:
            return (
                "array: all its channels carry the same sound, as of a mono device: no leg is told; "
                "open the raw microphones"
            )
        if len(self._found) == ASKED and sum(self._found) <= HARDLY * ASKED:
            return (
                "array: a siren is heard, but its microphones do not agree on a direction: no leg is told; "
                "are two channels swapped, or is array.geometry another one?"
            )
        return None

    def reset(self) -> None:
        """Forget what was heard."""
        self._compass.reset()
        self._past = ()

    def pick(self, window: Window) -> Window:
        """Return the one row that the network hears of ``window``, which follows on the last one, or on a gap.

        It is the beams', or one microphone's where they cannot be trusted.
        """
        length = window.pcm.shape[1]
        last, picked = self._recent[-1] if self._recent else (None, window)
        if last is window:
            return picked  # whoever looks on asked before
        is_next = last is not None and window.end - last.end == window.fresh < length
        if not is_next:
            self._recent.clear()
            self._beams.reset()
            self._tape = Tape(length)
        self._inspect(window)
        begin = length - (window.fresh if is_next else length) - (TAPS - 1)
        pcm = window.pcm[:, begin:] if begin >= 0 else np.pad(window.pcm, ((0, 0), (TAPS - 1, 0)))
        heard = pcm[self._row, TAPS - 1 - LATE : -LATE] if self.problem else self._beams.hear(pcm)
        picked = replace(window, pcm=self._tape.append(heard[np.newaxis])[:, -length:])
        self._recent.append((window, picked))
        while self._recent[0][0].end < window.end - EARLIER:
            self._recent.popleft()
        return picked

    def _inspect(self, window: Window) -> None:
        """Look for microphones that are dead, and for channels that are one."""
        levels = levels_dbfs(window.pcm)
        ordered = sorted(levels.tolist())
        middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2.0
        dead = np.flatnonzero(levels < middle - DEAD_DB)
        self._dead = tuple(self._channels[row] for row in dead)
        some = window.pcm[:, ::SPARSE]
        self._is_mono = middle > SILENCE_DBFS and all(np.array_equal(row, some[0]) for row in some[1:])
        if self._row in dead:
            self._row = int(np.argmin(np.abs(levels - middle)))

    @property
    def earlier(self) -> Window:
        """What was picked last, with what was picked in the ``EARLIER`` before it."""
        return _joined([picked for _, picked in self._recent])

    @property
    def past(self) -> tuple[Bearing, ...]:
        """Where the siren was before the end of the first window in which its bearing was asked; else nothing.

        How far it has faded is that of the window's end: what fades within it leaves, unless it came nearer first.
        """
        return self._past

    def bearing(self, window: Window, pitch: Pitch, *, is_believed: bool, is_settled: bool = False) -> Bearing | None:
        """Return where the siren is that ``window`` is full of, or may be; None while that is not known.

        ``is_believed``: it is a siren, so a bearing is due. ``is_settled``: its leg is known, which
        leaves nothing to decide; how far it has faded is not told then.
        """
        if self._dead or self._is_mono:
            self.reset()
            return None
        heard = window if self._compass.is_asked else _joined([each for each, _ in self._recent])
        found = self._compass.update(heard, pitch, is_settled=is_settled)
        if self._compass.has_tone and is_believed and float(pitch.strength[0, -CLEAR_FRAMES:].max()) >= CLEAR:
            self._found.append(found is not None)
        if found is None and not self._compass.past:
            self._past = ()
            return None
        if is_settled:
            self._past = ()
            return found  # who asks knows the leg, and not whether it fades
        loudness = Loudness.of(pitch)
        self._past = tuple(
            replace(each, below_db=loudness.below_db, nears_db=loudness.nears_db(each.end))
            for each in self._compass.past
        )
        return None if found is None else replace(found, below_db=loudness.below_db, level_dbfs=loudness.last_dbfs)


def _joined(windows: Sequence[Window]) -> Window:
    """Return one window of all that ``windows`` hear, each of which follows on the one before."""
    parts = [windows[0].pcm, *(each.pcm[:, -each.fresh :] for each in windows[1:])]
    pcm = np.concatenate(parts, axis=1)
    return Window(windows[-1].end, pcm, pcm.shape[1])


@dataclass(frozen=True, slots=True)
class Loudness:
    """How loud a siren's tone was over each second of the last ``LOUDEST_S``; nothing where less than one is known."""

    ends: npt.NDArray[np.int64]
    """Where each second ends, int64[seconds]."""
    level_dbfs: npt.NDArray[np.float64]
    """The tone's level in it, float64[seconds]."""

    @classmethod
    def of(cls, pitch: Pitch) -> Self:
        """Return that of the first channel of ``pitch``."""
        begin = int(np.searchsorted(pitch.at, pitch.at[-1] - to_samples(LOUDEST_S))) if pitch.at.size else 0
        weight = np.square(pitch.strength[0, begin:].astype(np.float64))
        own = np.maximum(1.0 - _STREET / np.maximum(pitch.strength[0, begin:], 1e-3), 0.0)  # its share of the tone
        power = weight * own * 10.0 ** (pitch.level_dbfs[0, begin:] / 10.0)
        frames = SAMPLE_RATE_HZ // STEP
        if weight.size <= frames:
            return cls(np.zeros(0, np.int64), np.zeros(0))
        of_second = np.convolve(power, np.ones(frames), "valid") / np.maximum(
            np.convolve(weight, np.ones(frames), "valid"), 1e-9
        )
        return cls(pitch.at[begin + frames - 1 :], 10.0 * np.log10(np.maximum(of_second, 1e-20)))

    @property
    def last_dbfs(self) -> float | None:
        """The level of the last second, dBFS; None where less is known."""
        return float(self.level_dbfs[-1]) if self.level_dbfs.size else None

    @property
    def below_db(self) -> float:
        """How far the last second lies under the loudest, dB."""
        return float(self.level_dbfs.max() - self.level_dbfs[-1]) if self.level_dbfs.size else 0.0

    def nears_db(self, at: Samples) -> float:
        """Return by how much the loudest second after ``at`` exceeds the one that ends there, dB."""
        first = max(0, int(np.searchsorted(self.ends, at, side="right")) - 1)
        return float(self.level_dbfs[first:].max() - self.level_dbfs[first]) if self.level_dbfs.size else 0.0
