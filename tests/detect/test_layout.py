"""Someone walks round an array and claps: what is wrong with it is told, for each geometry."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.detect.claps import claps

from sirend.config.geometry import KNOWN, Geometry
from sirend.detect.bearing_course import apart
from sirend.detect.clap import Claps
from sirend.detect.layout import LayoutReport, layout_report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sirend.audio.stream import Pcm

ROUND = (0.0, 90.0, 180.0, 270.0)


def ring(count: int, radius_m: float = 0.035) -> Geometry:
    turns = 2.0 * np.pi * np.arange(count) / count
    return Geometry(
        tuple((float(radius_m * np.sin(turn)), float(radius_m * np.cos(turn))) for turn in turns), tuple(range(count))
    )


ARRAYS = {**KNOWN, "three": ring(3), "eight": ring(8, 0.05)}


def verdict(array: Geometry, pcm: Pcm, expected: Sequence[float] = ROUND, **more: float) -> LayoutReport:
    found = Claps(array)
    heard = [clap for start in range(0, len(pcm), 1_600) for clap in found.push(pcm[start : start + 1_600])]
    return layout_report(
        heard, array, more.get("heading_deg", 0.0), expected, is_clockwise=not more.get("is_other_way")
    )


def swapped(pcm: Pcm, one: int, other: int) -> Pcm:
    order = list(range(pcm.shape[1]))
    order[one], order[other] = order[other], order[one]
    return pcm[:, order]


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_that_is_right_is_right_with_and_without_bearings(name: str) -> None:
    array = ARRAYS[name]
    pcm = claps(array, ROUND, heading_deg=40.0)
    told = verdict(array, pcm, heading_deg=40.0)
    assert told.problems == ()
    off = [abs(float(apart(deg, at))) for deg, at in zip(told.bearings_deg, ROUND, strict=True) if deg is not None]
    assert len(off) == 4
    assert max(off) < 5.0
    assert verdict(array, pcm, (), heading_deg=40.0).problems == ()


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("turned", [-30.0, 90.0, 180.0])
def test_a_heading_that_is_off_is_told_with_the_right_one(name: str, turned: float) -> None:
    array = ARRAYS[name]
    (problem,) = verdict(array, claps(array, ROUND, heading_deg=40.0), heading_deg=(40.0 + turned) % 360.0).problems
    right = int(problem.rpartition(" ")[2])
    assert "the heading is off by" in problem
    assert abs(float(apart(right, 40.0))) <= 4.0


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (1, 2)])
def test_two_channels_that_are_swapped_are_named(name: str, pair: tuple[int, int]) -> None:
    array = ARRAYS[name]
    columns = " and ".join(str(array.channels[each]) for each in pair)
    (problem,) = verdict(array, swapped(claps(array, ROUND), *pair)).problems
    assert problem.startswith(f"columns {columns} are swapped")


def test_opposite_ones_that_are_swapped_mirror_the_array_which_the_way_round_tells() -> None:
    array = KNOWN["respeaker-4"]
    pcm = claps(array, ROUND)
    (problem,) = verdict(array, swapped(pcm, 0, 2), ()).problems
    assert "seem to go round counter-clockwise, but you went clockwise" in problem
    assert "opposite each other are swapped" in problem
    (problem,) = verdict(array, pcm, (), is_other_way=1.0).problems
    assert "seem to go round clockwise, but you went counter-clockwise" in problem


@pytest.mark.parametrize("name", ["respeaker-4", "uma-8", "eight"])
def test_neighbours_that_are_swapped_are_told_without_bearings_too(name: str) -> None:
    array = ARRAYS[name]
    (problem,) = verdict(array, swapped(claps(array, ROUND), 1, 2), ()).problems
    assert "swapped" in problem


@pytest.mark.parametrize("name", ARRAYS)
def test_a_dead_channel_is_named(name: str) -> None:
    array = ARRAYS[name]
    pcm = claps(array, ROUND)
    pcm[:, 1] *= 0.001
    told = verdict(array, pcm)
    assert told.is_dead
    assert f"the microphone in column {array.channels[1]} does not hear the claps" in told.problems[0]


@pytest.mark.parametrize("name", ARRAYS)
def test_a_geometry_of_another_size_or_shape_is_told(name: str) -> None:
    array = ARRAYS[name]
    larger = replace(array, places_m=tuple((2.0 * x, 2.0 * y) for x, y in array.places_m))
    assert "times as far apart" in verdict(array, claps(larger, ROUND)).problems[0]
    assert "times as near to each other" in verdict(larger, claps(array, ROUND)).problems[0]
    longer = replace(array, places_m=tuple((2.0 * x, y) for x, y in array.places_m))
    assert "do not lie as array.geometry says" in verdict(array, claps(longer, ROUND)).problems[0]


def test_claps_in_another_order_are_no_fault_of_the_array() -> None:
    array = KNOWN["respeaker-4"]
    assert "in that order" in verdict(array, claps(array, (0.0, 180.0, 90.0, 270.0))).problems[0]
