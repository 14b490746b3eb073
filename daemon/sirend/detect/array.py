"""The microphones of an array as one ear: the row that the network hears, and the bearing of what it calls a siren."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sirend.audio.level import levels_dbfs
from sirend.audio.stream import SAMPLE_RATE_HZ, SILENCE_DBFS, to_samples
from sirend.detect.bearing import Compass
from sirend.detect.pitch import STEP

if TYPE_CHECKING:
    from sirend.audio.stream import Window
    from sirend.config.geometry import Geometry
    from sirend.detect.bearing import Bearing
    from sirend.detect.pitch import Pitch

DEAD_DB = 20.0
"""A microphone so far below the middle one of its array is dead: capsules of one kind differ by a few dB."""
ASKED = 10
"""Windows with a tone of a siren, 2.5 s at the usual hop, after which it is told when hardly one had a direction."""
HARDLY = 0.25
SPARSE = 16
"""Every so many samples are compared to tell a mono device: microphones of their own never agree in all of them."""
_STREET = 0.25
"""Strength that a street alone has: what a frame has of it is no siren's, which else would not seem to fade in it."""
LOUDEST_S = 8.0
"""A siren is compared with itself over so long."""


class ArrayEar:
    """Hears with the microphones of one array, on one thread."""

    def __init__(self, geometry: Geometry, heading_deg: float) -> None:
        """Hear with ``geometry``, whose front looks to the compass bearing ``heading_deg``."""
        self._compass = Compass(geometry, heading_deg)
        self._channels = geometry.channels
        self._past: tuple[Bearing, ...] = ()
        self._row = 0
        self._picked: tuple[Window, Window] | None = None
        self._dead: tuple[int, ...] = ()
        self._is_mono = False
        self._found: deque[bool] = deque(maxlen=ASKED)

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
        """Return the one row of ``window`` that the network hears: one microphone, another only when it is dead."""
        if self._picked is not None and self._picked[0] is window:
            return self._picked[1]  # whoever looks on asked before
        levels = levels_dbfs(window.pcm)
        ordered = sorted(levels.tolist())
        middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2.0
        dead = np.flatnonzero(levels < middle - DEAD_DB)
        self._dead = tuple(self._channels[row] for row in dead)
        some = window.pcm[:, ::SPARSE]
        self._is_mono = middle > SILENCE_DBFS and all(np.array_equal(row, some[0]) for row in some[1:])
        if self._row in dead:
            self._row = int(np.argmin(np.abs(levels - middle)))
        picked = replace(window, pcm=window.pcm[self._row : self._row + 1])
        self._picked = window, picked
        return picked

    @property
    def past(self) -> tuple[Bearing, ...]:
        """Where the siren was before the end of the first window in which its bearing was asked; else nothing.

        How far it has faded is that of the window's end: what fades within it leaves.
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
        found = self._compass.update(window, pitch, is_settled=is_settled)
        if self._compass.has_tone and is_believed:
            self._found.append(found is not None)
        if found is None and not self._compass.past:
            self._past = ()
            return None
        if is_settled:
            self._past = ()
            return found  # who asks knows the leg, and not whether it fades
        faded_db = below_db(pitch)
        self._past = tuple(replace(each, below_db=faded_db) for each in self._compass.past)
        return None if found is None else replace(found, below_db=faded_db)


def below_db(pitch: Pitch) -> float:
    """Return how far the tone of the last second lies under its loudest second of the last ``LOUDEST_S``, dB."""
    begin = int(np.searchsorted(pitch.at, pitch.at[-1] - to_samples(LOUDEST_S))) if pitch.at.size else 0
    weight = np.square(pitch.strength[0, begin:].astype(np.float64))
    own = np.maximum(1.0 - _STREET / np.maximum(pitch.strength[0, begin:], 1e-3), 0.0)  # its share of the tone
    power = weight * own * 10.0 ** (pitch.level_dbfs[0, begin:] / 10.0)
    frames = SAMPLE_RATE_HZ // STEP
    if weight.size <= frames:
        return 0.0
    of_second = np.convolve(power, np.ones(frames), "valid") / np.maximum(
        np.convolve(weight, np.ones(frames), "valid"), 1e-9
    )
    return float(10.0 * np.log10(max(of_second.max(), 1e-20) / max(of_second[-1], 1e-20)))
