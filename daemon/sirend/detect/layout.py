"""Is an array as it is configured? Told from claps by someone who walks round it. Pure.

The delays of one clap fit a direction, or they do not. Over several, each order of the channels that fits them all is a
candidate: two neighbours that are swapped fit one order only. A ring looks the same when it is turned or mirrored, so
those orders fit alike; where the claps were tells them apart, or that they went round clockwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sirend.config.geometry import SOUND_M_S
from sirend.detect.bearing_course import apart
from sirend.detect.clap import locate_clap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sirend.config.geometry import Geometry
    from sirend.detect.clap import Clap

FITS = 0.2
"""Delays that are left, RMS, against those across the array's own radius: claps in a street leave .03, two neighbours
of a square that are swapped .5."""
NEAR_DEG = 15.0
"""How far claps may lie from where they are said to be, RMS: nobody paces angles better (assumed)."""
HEADING_DEG = 8.0
"""A heading that is off by less is not worth a ladder: sectors are 60 degrees wide and more."""
LONG, SHORT = 1.2, 0.55
"""A sound along the array's plane is 1 long, one from 57 degrees under it .55."""
UNEVEN = 1.4
"""By how much the longest may exceed the shortest: claps on a round at 5 to 9 m and 4 m down differ by 1.2. An array of
another shape that fits all the same is longer in one direction."""
MOST_ORDERED = 7
"""Microphones of which all orders are tried; of more, two that are swapped."""
LEAST_ROUND = 3

_OTHER = (
    "the microphones do not lie as array.geometry says, in whatever order of the channels: "
    "is it the geometry of another device?"
)

Order = tuple[int, ...]
"""For each microphone of the geometry, whose place it truly has."""


@dataclass(frozen=True, slots=True)
class LayoutReport:
    """What claps say of an array."""

    bearings_deg: tuple[float | None, ...]
    """Compass bearing of each, as it is configured; None where the delays fit no direction."""
    sds_deg: tuple[float | None, ...]
    problems: tuple[str, ...]
    """What is wrong, and what to do; none where all is well."""
    is_dead: bool = False
    """Whether a microphone is."""


def layout_report(
    claps: Sequence[Clap],
    geometry: Geometry,
    heading_deg: float,
    expected_deg: Sequence[float] = (),
    *,
    is_clockwise: bool = True,
) -> LayoutReport:
    """Return what ``claps`` say of an array of ``geometry`` whose front looks to ``heading_deg``.

    ``expected_deg`` are the bearings from which each came, as far as that is known; without, they came one after the
    other clockwise, as seen from above, or not, as ``is_clockwise`` says.
    """
    places = np.array(geometry.places_m)
    late = np.array([clap.arrival_s for clap in claps]).reshape(len(claps), len(places))
    found = [locate_clap(places, each) for each in late]
    bearings = tuple(None if each is None else (each.deg + heading_deg) % 360.0 for each in found)
    sds = tuple(None if each is None else each.sd_deg for each in found)
    dead = [row for row in range(len(places)) if sum(row in clap.dead for clap in claps) * 2 > len(claps)]
    if dead:
        columns = ", ".join(str(geometry.channels[row]) for row in dead)
        said = f"the microphone in column {columns} does not hear the claps: check or replace it"
        return LayoutReport(bearings, sds, (said,), is_dead=True)
    known = [row for row in range(len(claps)) if not np.isnan(late[row]).any()]
    if not known:
        return LayoutReport(bearings, sds, ())
    late = late[known]
    expected = np.array([expected_deg[row] for row in known]) if expected_deg else None
    problem = _problem(places, late, heading_deg, expected, geometry, is_clockwise=is_clockwise)
    return LayoutReport(bearings, sds, () if problem is None else (problem,))


def _problem(  # noqa: PLR0913  what is configured, heard and stated
    places: npt.NDArray[np.float64],
    late: npt.NDArray[np.float64],
    heading_deg: float,
    expected: npt.NDArray[np.float64] | None,
    geometry: Geometry,
    *,
    is_clockwise: bool,
) -> str | None:
    """Return what is wrong; None where nothing is."""
    candidates = fitting(places, late)
    if not candidates:
        return _OTHER
    lengths = _towards(places, late, candidates[0])[1]
    long = float(np.median(lengths))
    if len(lengths) >= LEAST_ROUND and lengths.max() > UNEVEN * lengths.min():
        return _OTHER
    if long > LONG:
        return f"the microphones lie {long:.1f} times as far apart as array.geometry says: is it another device's?"
    if long < SHORT:
        return (
            f"the microphones lie {1.0 / max(long, 0.01):.1f} times as near to each other as array.geometry says, or "
            "all claps came from steeply under it: step back and clap again"
        )
    if expected is None:
        return _round(places, late, candidates, geometry, is_clockwise=is_clockwise)
    return _stated(places, late, candidates, heading_deg, expected, geometry=geometry)


def _round(
    places: npt.NDArray[np.float64],
    late: npt.NDArray[np.float64],
    candidates: Sequence[Order],
    geometry: Geometry,
    *,
    is_clockwise: bool,
) -> str | None:
    """Return what is wrong where nobody said from where the claps came."""
    chosen, as_it_is = min(candidates, key=_moved), tuple(range(len(places)))
    if chosen != as_it_is:
        return f"{_swapped(chosen, geometry)}; state where you clap with --expect to know which"
    steps = apart(np.roll(_towards(places, late, as_it_is)[0], -1), _towards(places, late, as_it_is)[0])[:-1]
    turns = steps[(np.abs(steps) > 10.0) & (np.abs(steps) < 170.0)]  # noqa: PLR2004  neither one place nor opposite ones
    if len(turns) < LEAST_ROUND - 1 or (np.sum(np.sign(turns)) > 0) == is_clockwise:
        return None
    ways = ("clockwise", "counter-clockwise")
    return (
        f"the claps seem to go round {ways[int(is_clockwise)]}, but you went {ways[int(not is_clockwise)]}: two "
        "microphones that lie opposite each other are swapped, or the array hangs upside down; state where you clap "
        "with --expect to know which"
    )


def _stated(  # noqa: PLR0913  as above
    places: npt.NDArray[np.float64],
    late: npt.NDArray[np.float64],
    candidates: Sequence[Order],
    heading_deg: float,
    expected: npt.NDArray[np.float64],
    *,
    geometry: Geometry,
) -> str | None:
    """Return what is wrong where the claps came from ``expected`` float64[n], degrees."""
    off = [(order, *_offset(_towards(places, late, order)[0] + heading_deg, expected)) for order in candidates]
    near = [each for each in off if each[2] <= NEAR_DEG]
    if not near:
        return (
            "the claps did not come from the bearings stated, whatever the order of the channels: were they clapped in "
            "that order, each once?"
        )
    order, offset, _ = min(near, key=lambda each: (_moved(each[0]), abs(each[1])))
    turned = "" if abs(offset) <= HEADING_DEG else f"set array.heading_deg to {round(heading_deg - offset) % 360}"
    if _moved(order):
        return f"{_swapped(order, geometry)}{'; then ' + turned if turned else ''}"
    return f"the heading is off by {offset:+.0f} degrees: {turned}" if turned else None


def fitting(places: npt.NDArray[np.float64], late: npt.NDArray[np.float64]) -> list[Order]:
    """Return the orders of microphones at ``places`` float64[m, 2] that fit arrivals float64[claps, m], s.

    The order of the configuration comes first where it is among them, then those that move least.
    """
    centred = places - places.mean(axis=0)
    basis, _ = np.linalg.qr(centred)
    orders = np.array(_orders(len(places)))
    late = late - late.mean(axis=1, keepdims=True)
    share = np.einsum("omd,km->okd", basis[orders], late)
    left = np.square(late).sum() - np.square(share).sum(axis=(1, 2))
    residual_s = np.sqrt(np.maximum(left, 0.0) / late.size)
    radius_s = float(np.sqrt(np.mean(np.square(centred).sum(axis=1)))) / SOUND_M_S
    fits = orders[residual_s <= FITS * radius_s]
    return sorted((tuple(int(each) for each in order) for order in fits), key=_moved)


def _orders(count: int) -> list[Order]:
    """Return the orders of ``count`` microphones that are tried."""
    whole = tuple(range(count))
    if count <= MOST_ORDERED:
        return list(permutations(whole))
    swapped = [
        tuple(two if each == one else one if each == two else each for each in whole)
        for one, two in combinations(whole, 2)
    ]
    return [whole, *swapped]


def _moved(order: Order) -> int:
    """Return how many microphones are not where they are said to be."""
    return sum(each != row for row, each in enumerate(order))


def _towards(
    places: npt.NDArray[np.float64], late: npt.NDArray[np.float64], order: Order
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the bearings of claps float64[n] to the right of the front, and the lengths of their delays float64[n]."""
    found = [each for each in (locate_clap(places[list(order)], row) for row in late) if each is not None]
    return np.array([each.deg for each in found]), np.array([each.long for each in found])


def _offset(deg: npt.NDArray[np.float64], expected: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return by how much ``deg`` lies clockwise of ``expected`` on average, and what is left, RMS; degrees."""
    off = apart(deg, expected)
    turned = np.exp(1j * np.deg2rad(off)).mean()
    middle = math.degrees(math.atan2(turned.imag, turned.real))
    return middle, float(np.sqrt(np.mean(np.square(apart(off, middle)))))


def _swapped(order: Order, geometry: Geometry) -> str:
    """Return in words which channels are to be swapped."""
    moved = [row for row, each in enumerate(order) if each != row]
    columns = [geometry.channels[row] for row in moved]
    if len(moved) == 2:  # noqa: PLR2004  a pair
        return (
            f"columns {columns[0]} and {columns[1]} are swapped: swap their cables, or their places in array.geometry"
        )
    truly = ", ".join(f"{geometry.channels[row]} is where {geometry.channels[order[row]]} should be" for row in moved)
    return f"columns {', '.join(map(str, columns))} are mixed up ({truly}): put their cables right, or their places"
