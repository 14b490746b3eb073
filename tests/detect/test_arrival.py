"""How long a siren still needs, against the truth of drives down a street and of roads drawn otherwise."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bench import figures
from tests.simulate.crossings import street_drive

from sirend.audio.stream import Block, Samples
from sirend.audio.windows import Windows
from sirend.detect.arrival import LEAST_S, MEMORY_S, Arrival, arrival_of, find_arrival
from sirend.detect.closest import STEP_S
from sirend.detect.motion import Motion, motion_of
from sirend.detect.pitch import PitchTracker
from sirend.simulate import scene
from sirend.simulate.scene import render_scene
from sirend.simulate.street import DriveBy

if TYPE_CHECKING:
    from sirend.simulate.scene import Rendered

RATE_HZ = 16_000
DRIVES = int(os.environ.get("SIREND_DRIVES", "10"))
ARE_MANY = DRIVES >= 100
"""Whether the drives are enough to hold the bound to; a few scatter about it."""
SOUND_M_S = 340.0


def heard(
    to_s: float | None,
    *,
    seconds: float = 12.0,
    speed_m_s: float = 14.0,
    heights_m2: float = 10.0,
    mirrored: float = 0.8,
) -> Arrival | None:
    """Return what is made of a wail of 4 s that is nearest in ``to_s``, beside what the road mirrors of it."""
    back_s = np.arange(round(seconds / STEP_S))[::-1] * STEP_S
    octaves = 9.3 + 0.65 * (1.0 - np.cos(2.0 * np.pi * back_s / 4.0))
    level_db = -50.0 - 6.0 * (octaves - 9.3)
    if to_s is not None:
        far_m = np.hypot((back_s + to_s) * speed_m_s, 8.0)
        turn = 2.0 * np.pi * np.exp2(octaves) * 2.0 * heights_m2 / far_m / SOUND_M_S
        level_db += 20.0 * np.log10(np.abs(1.0 + mirrored * np.exp(-1j * turn)) / far_m)
    return found(np.exp2(octaves), np.full(back_s.size, 0.8), level_db)


def found(
    hz: npt.NDArray[np.float64], strength: npt.NDArray[np.float64], level_db: npt.NDArray[np.float64]
) -> Arrival | None:
    """Return what is made of frames float64[n]."""
    return find_arrival(hz.astype(np.float32), strength.astype(np.float32), level_db.astype(np.float32))


def test_a_wail_over_any_road_is_expected_when_it_comes() -> None:
    rng = np.random.default_rng(1)
    off = []
    for _ in range(60):
        to_s, mirrored = float(rng.uniform(2.5, 8.0)), float(rng.uniform(0.0, 0.85))
        arrival = heard(
            to_s,
            speed_m_s=float(rng.uniform(9.0, 19.0)),
            heights_m2=float(rng.uniform(6.0, 16.0)),
            mirrored=mirrored,
        )
        if arrival is not None:  # a doubt is allowed
            off.append(abs(arrival.eta_s / to_s - 1.0))
    assert len(off) > 30
    assert np.mean(np.array(off) < 0.25) > 0.7
    assert np.mean(np.array(off) < 0.6) > 0.95


@pytest.mark.parametrize("mirrored", [0.0, 0.5, 0.8])
def test_a_siren_that_comes_is_told_of(mirrored: float) -> None:
    arrival = heard(5.0, mirrored=mirrored)
    assert arrival is not None
    assert arrival.eta_s == pytest.approx(5.0, rel=0.25)
    assert arrival.low_s < 5.0 < arrival.high_s


def test_nothing_is_told_of_little_sound_of_a_level_that_stands_still_and_of_times_far_away() -> None:
    assert heard(5.0, seconds=LEAST_S - 0.5) is None
    assert heard(None) is None
    assert heard(0.5) is None
    assert heard(30.0) is None


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(0, 900))
def test_any_frames_give_an_interval_or_nothing(seed: int, frames: int) -> None:
    rng = np.random.default_rng(seed)
    arrival = found(rng.uniform(250.0, 2500.0, frames), rng.random(frames), rng.uniform(-120.0, 0.0, frames))
    assert arrival is None or 0.0 < arrival.low_s < arrival.eta_s < arrival.high_s


def _told(rendered: Rendered) -> list[tuple[float, Arrival]]:
    """Return the time left and what is told of it once a second, as events are."""
    windows, pitch = Windows(window=32_000, hop=4_000, channels=[0]), PitchTracker(MEMORY_S)
    since, told = round((rendered.truth["first_audible_s"] - 1.0) * RATE_HZ), []
    for number, window in enumerate(windows.push(Block(Samples(0), rendered.pcm[:, np.newaxis]))):
        frames = pitch.update(window)
        if number % 4 == 0 and motion_of(frames, 0, since) is Motion.APPROACHING:
            arrival = arrival_of(frames, 0, since)
            if arrival is not None:
                told.append((rendered.truth["closest_s"] - window.end / RATE_HZ, arrival))
    return told


@pytest.mark.parametrize("road", ["the simulator's", "drawn"])
def test_half_of_the_times_told_are_right_within_a_quarter(road: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[float, Arrival]] = []
    drives = 0
    for seed in range(DRIVES):
        if road == "drawn":
            rng = np.random.default_rng((seed, 78))
            drawn = partial(
                DriveBy,
                mic_height_m=float(rng.uniform(3.0, 8.0)),
                source_height_m=float(rng.uniform(1.5, 3.0)),
                ground_reflection=float(rng.uniform(0.2, 0.9)),
                ground_cutoff_hz=float(np.exp(rng.uniform(np.log(1500.0), np.log(7000.0)))),
            )
            monkeypatch.setattr(scene, "DriveBy", drawn)
        each = _told(render_scene(street_drive(seed)))
        drives += bool(each)
        told += each
    off = np.abs([arrival.eta_s / max(true_s, 1e-3) - 1.0 for true_s, arrival in told])
    within = {f"within_{part}": round(float(np.mean(off <= part / 100.0)), 3) for part in (25, 60)}
    holds = round(float(np.mean([each.low_s <= true_s <= each.high_s for true_s, each in told])), 3)
    sys.stdout.write(f"\narrival, {road} road: told {len(told)} times in {drives} of {DRIVES} drives, {within}, ")
    sys.stdout.write(f"the interval holds {holds}\n")
    key = "eta" if road == "drawn" else "eta_plain"
    figures.record(**{key: {"times": len(told), "told_in": drives, "of": DRIVES, **within, "interval": holds}})
    assert within["within_25"] >= (0.5 if ARE_MANY else 0.4)
    assert within["within_60"] >= (0.9 if ARE_MANY else 0.75)
    assert drives >= (0.3 if ARE_MANY else 0.2) * DRIVES
