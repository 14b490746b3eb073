"""Where the microphones of an array lie, and whether a bearing can be had from them.

Places are metres in the plane of the array: x to the right of its front, y to the front. All hear the same sound, a
fraction of a millisecond apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

Place = tuple[float, float]

SOUND_M_S = 343.0
"""Speed of sound at 20 degrees Celsius; 10 degrees are 2 %, which no bearing feels."""
LEAST_MICROPHONES = 3
LEAST_M = 0.03
"""Least distance across an array. A siren's 500 Hz has 0.69 m: over 30 mm its phase turns by 16 degrees at most, and
capsules of one kind differ by 5 (assumed)."""
MOST_M = 0.4
"""Most, for two sounds half a second apart are no longer told apart by phase alone, and the grid of pairs is fine."""
FLAT = 0.2
"""Least width of an array against its length: in a line, front and back sound alike."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """An array: places of its microphones and the columns of its device that they are."""

    places_m: tuple[Place, ...]
    """(x, y) of each microphone, m."""
    channels: tuple[int, ...]
    """Column of the input of each microphone, counted from 0, in the same order."""
    processed: tuple[int, ...] = ()
    """Columns that the device has worked on (beam, echo cancellation): their phase says nothing."""


def _ring(count: int, radius_m: float, first_deg: float = 0.0) -> tuple[Place, ...]:
    """Return places evenly on a circle, clockwise from ``first_deg`` right of the front."""
    turns = [math.radians(first_deg + 360.0 * number / count) for number in range(count)]
    return tuple((radius_m * math.sin(turn), radius_m * math.cos(turn)) for turn in turns)


KNOWN = {
    # ReSpeaker USB four-microphone array (2nd): a square of 45.7 mm; its firmware of six channels has the processed
    # sound in column 0, the microphones in 1 to 4 and the playback in 5.
    "respeaker-4": Geometry(_ring(4, 0.0323, 45.0), (1, 2, 3, 4), (0, 5)),
    # miniDSP UMA-8 with raw firmware (2nd): one in the middle, six on a circle of 43 mm.
    "uma-8": Geometry(((0.0, 0.0), *_ring(6, 0.043)), (0, 1, 2, 3, 4, 5, 6), (7,)),
}
"""Arrays that are sold, by the name that ``array.geometry`` takes."""


def of(named: str | tuple[Place, ...]) -> Geometry:
    """Return the geometry of that name, or of those places in columns 0, 1, 2, ...; raise ``KeyError`` for no name."""
    if isinstance(named, str):
        return KNOWN[named]
    return Geometry(named, tuple(range(len(named))))


def problems(geometry: Geometry, channels: int) -> list[str]:
    """Return why no bearing can be had from ``geometry`` on a device of ``channels``, in words; none if it can."""
    found = []
    places = geometry.places_m
    if len(places) < LEAST_MICROPHONES:
        return [f"{len(places)} microphones give no bearing: {LEAST_MICROPHONES} that are not in a line are the least"]
    across = max(math.dist(a, b) for a in places for b in places)
    if min(math.dist(a, b) for a, b in pairwise(sorted(places))) < 1e-4:  # noqa: PLR2004  a tenth of a millimetre
        found.append("two microphones lie in one place: give each its own [x, y] in metres")
    if across < LEAST_M:
        found.append(f"it is {1000 * across:.0f} mm across: a siren's tones need {1000 * LEAST_M:.0f} mm at least")
    elif across > MOST_M:
        found.append(f"it is {across:.2f} m across, over {MOST_M:g} m: are its places in metres?")
    elif _width(places) < FLAT * across:
        found.append("its microphones lie in a line: front and back would sound alike; place one beside it")
    missing = [channel for channel in geometry.channels if channel >= channels]
    if missing:
        found.append(f"column {missing[0]} is not there: the device is opened with audio.channels {channels}")
    return found


def _width(places: tuple[Place, ...]) -> float:
    """Return how wide the places are across their longest direction, m: the least over all directions."""
    return min(_spread(places, math.radians(turn)) for turn in range(0, 180, 3))


def _spread(places: tuple[Place, ...], turn: float) -> float:
    along = [x * math.cos(turn) + y * math.sin(turn) for x, y in places]
    return max(along) - min(along)
