"""No shipped model may do worse than the floors beside it: a small part of evaluate, with and without recordings."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from sirend.detect import bundle as bundles
from sirend.training import gate

ROOT = Path(__file__).parents[2]
RECORDINGS = Path(os.environ.get("SIREND_RECORDINGS", ROOT.parent / "shared" / "data"))
BUNDLES = sorted((ROOT / "models").glob("siren-*"))

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("folder", BUNDLES, ids=lambda folder: folder.name)
@pytest.mark.parametrize("part", gate.MADE_UP)
def test_made_up_sounds_are_told_apart_as_well_as_before(folder: Path, part: str) -> None:
    reached = gate.MADE_UP[part](bundles.load(folder))
    assert gate.shortfalls(part, reached, gate.floors(folder)[part]) == []


@pytest.mark.recordings
@pytest.mark.parametrize("folder", BUNDLES, ids=lambda folder: folder.name)
def test_recordings_are_told_apart_as_well_as_before(folder: Path) -> None:
    reached = gate.recorded(bundles.load(folder), RECORDINGS)
    assert gate.shortfalls("recorded", reached, gate.floors(folder)["recorded"]) == []


def test_what_is_worse_is_named() -> None:
    floor = gate.Reached(called=8, of=8, false_calls=1, seconds=168.0)
    assert gate.shortfalls("synthetic", floor, floor) == []
    assert gate.shortfalls("synthetic", replace(floor, false_calls=0), floor) == []
    worse = gate.shortfalls("synthetic", replace(floor, called=7, false_calls=2), floor)
    assert worse == [
        "synthetic: 7 of 8 sirens were called, the floor is 8",
        "synthetic: 2 false calls, the floor is 1",
    ]
    (other,) = gate.shortfalls("synthetic", replace(floor, seconds=100.0), floor)
    assert "measure it again" in other
