from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.detect.claps import claps

from sirend.config.geometry import KNOWN
from sirend.detect.bearing_course import apart
from sirend.detect.clap import Clap, Claps, locate_clap
from sirend.simulate.array_scene import render_at_array
from sirend.simulate.scene import Scene

QUAD = KNOWN["respeaker-4"]
PCM = claps(QUAD, (10.0, 100.0, 190.0), snr_db=25.0)


def heard(pcm: np.ndarray, block: int = 1_600) -> list[Clap]:
    found = Claps(QUAD)
    return [clap for start in range(0, len(pcm), block) for clap in found.push(pcm[start : start + block])]


@given(st.integers(100, 20_000))
@settings(max_examples=8)
def test_any_cutting_into_blocks_finds_the_same_claps(block: int) -> None:
    assert [astuple(each) for each in heard(PCM, block)] == [astuple(each) for each in heard(PCM)]


def test_each_clap_is_found_once_when_and_where_it_was() -> None:
    found = heard(PCM)
    assert [each.at / 16_000 for each in found] == pytest.approx([1.0, 2.5, 4.0], abs=0.02)
    for clap, deg in zip(found, (10.0, 100.0, 190.0), strict=True):
        placed = locate_clap(np.array(QUAD.places_m), np.array(clap.arrival_s))
        assert placed is not None
        assert abs(float(apart(placed.deg, deg))) < 4.0
        assert placed.sd_deg < 10.0


def test_a_dead_microphone_is_left_out() -> None:
    pcm = PCM.copy()
    pcm[:, 2] = 0.0
    found = heard(pcm)
    assert [each.dead for each in found] == [(2,)] * 3
    placed = locate_clap(np.array(QUAD.places_m), np.array(found[0].arrival_s))
    assert placed is not None
    assert abs(float(apart(placed.deg, 10.0))) < 6.0
    assert locate_clap(np.array(QUAD.places_m), np.array([0.0, 0.0, np.nan, np.nan])) is None


def test_neither_street_nor_siren_claps() -> None:
    siren = render_at_array(Scene(siren="yelp", start_m=60.0, speed_kmh=50.0, snr_db=25.0), QUAD).pcm[:, 1:5]
    assert heard(siren) == []
    assert heard(np.zeros((32_000, 4), np.float32)) == []
