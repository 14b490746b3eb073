from __future__ import annotations

import math

import pytest

from sirend.cli.arguments import ARRAYS
from sirend.config.geometry import KNOWN, Geometry, of, problems


def test_the_arrays_that_are_sold_can_give_a_bearing() -> None:
    assert set(ARRAYS) == set(KNOWN)
    assert problems(KNOWN["respeaker-4"], 6) == []
    assert problems(KNOWN["uma-8"], 8) == []
    first, second, *_ = KNOWN["respeaker-4"].places_m
    assert math.dist(first, second) == pytest.approx(0.0457, abs=1e-4)
    assert not set(KNOWN["respeaker-4"].channels) & set(KNOWN["respeaker-4"].processed)


@pytest.mark.parametrize(
    ("places", "channels", "words"),
    [
        (((0.0, 0.0), (0.1, 0.0)), 2, "2 microphones give no bearing"),
        (((0.0, 0.0), (0.05, 0.0), (0.1, 0.001)), 3, "lie in a line"),
        (((0.0, 0.0), (0.01, 0.0), (0.0, 0.01)), 3, "14 mm across"),
        (((0.0, 0.0), (50.0, 0.0), (0.0, 50.0)), 3, "are its places in metres?"),
        (((0.0, 0.0), (0.0, 0.0), (0.05, 0.0), (0.0, 0.05)), 4, "two microphones lie in one place"),
        (((0.0, 0.0), (0.05, 0.0), (0.0, 0.05)), 2, "column 2 is not there"),
    ],
)
def test_a_geometry_that_gives_no_bearing_is_told_why(
    places: tuple[tuple[float, float], ...], channels: int, words: str
) -> None:
    (problem,) = problems(of(places), channels)
    assert words in problem


def test_own_places_are_the_first_columns() -> None:
    places = ((0.0, 0.0), (0.05, 0.0), (0.0, 0.05))
    assert of(places) == Geometry(places, (0, 1, 2))
    with pytest.raises(KeyError):
        of("respeaker-5")
