"""The microphones of an array as one ear: the row that the network hears, and the bearing of what it calls a siren."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sirend.audio.level import levels_dbfs
from sirend.detect.bearing import Compass

if TYPE_CHECKING:
    from sirend.audio.stream import Window
    from sirend.config.geometry import Geometry
    from sirend.detect.bearing import Bearing
    from sirend.detect.pitch import Pitch

DEAD_DB = 20.0
"""A microphone so far below the middle one of its array is dead: capsules of one kind differ by a few dB."""
ASKED = 16
"""Windows with a tone of a siren, 4 s at the usual hop, after which it is told when hardly one had a direction."""
HARDLY = 0.25


class ArrayEar:
    """Hears with the microphones of one array, on one thread."""

    def __init__(self, geometry: Geometry, heading_deg: float) -> None:
        """Hear with ``geometry``, whose front looks to the compass bearing ``heading_deg``."""
        self._compass = Compass(geometry, heading_deg)
        self._channels = geometry.channels
        self._row = 0
        self._dead: tuple[int, ...] = ()
        self._found: deque[bool] = deque(maxlen=ASKED)

    @property
    def problem(self) -> str | None:
        """What keeps the array from telling a direction, in words for the installer; None while nothing does."""
        if self._dead:
            return f"array: the microphone in column {self._dead[0]} is silent: no leg is told; check or replace it"
        if len(self._found) == ASKED and sum(self._found) <= HARDLY * ASKED:
            return (
                "array: a siren is heard, but its microphones do not agree on a direction: no leg is told; "
                "are two channels swapped, or is array.geometry another one?"
            )
        return None

    def reset(self) -> None:
        """Forget what was heard."""
        self._compass.reset()

    def pick(self, window: Window) -> Window:
        """Return the one row of ``window`` that the network hears: one microphone, another only when it is dead."""
        levels = levels_dbfs(window.pcm)
        middle = float(np.median(levels))
        dead = np.flatnonzero(levels < middle - DEAD_DB)
        self._dead = tuple(self._channels[row] for row in dead)
        if self._row in dead:
            self._row = int(np.argmin(np.abs(levels - middle)))
        return replace(window, pcm=window.pcm[self._row : self._row + 1])

    def bearing(self, window: Window, pitch: Pitch) -> Bearing | None:
        """Return where the siren is that ``window`` is full of; None while that is not known."""
        if self._dead:
            self._compass.reset()
            return None
        found = self._compass.update(window, pitch)
        if self._compass.has_tone:
            self._found.append(found is not None)
        return found
