"""Motion against the truth of simulated drive-bys. `make drives` runs more of them and prints the figures."""

import os
import sys
from collections import Counter
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bench import figures
from tests.simulate.crossings import STREET_SIRENS, street_drive

from sirend.audio.stream import Block, Pcm, Samples, to_samples
from sirend.audio.windows import Windows
from sirend.detect.closest import Closest
from sirend.detect.motion import MEMORY_S, Course, Motion, decide, find_course, motion_of
from sirend.detect.pitch import STEP, PitchTracker
from sirend.simulate import sirens, synthesis
from sirend.simulate.background import synthetic_street
from sirend.simulate.levels import mix_at_snr
from sirend.simulate.scene import Scene, render_scene
from sirend.simulate.street import KMH, DriveBy, drive_by

RATE_HZ = 16_000
DRIVES = int(os.environ.get("SIREND_DRIVES", "10"))
ARE_MANY = DRIVES >= 100
"""Whether the drives are enough to hold the figures of issue and documentation to; a few scatter about them."""
NEAR_S = 1.0
"""Within so long of the closest point the distance changes by a few metres, and its sign says nothing of use."""


def _motions(pcm: Pcm, since: int = 0) -> list[tuple[float, Motion]]:
    """Return the time of each window's end and the motion then, as the pipeline judges it."""
    windows, pitch = Windows(window=32_000, hop=4_000, channels=[0]), PitchTracker(MEMORY_S)
    pushed = windows.push(Block(Samples(0), pcm[:, np.newaxis]))
    return [(window.end / RATE_HZ, motion_of(pitch.update(window), 0, since)) for window in pushed]


def _scene(seed: int) -> Scene:
    rng = np.random.default_rng(seed)
    profile, siren = STREET_SIRENS[seed % len(STREET_SIRENS)]
    speed_kmh = rng.uniform(30.0, 90.0)
    return Scene(
        siren=siren,
        profile=profile,
        start_m=speed_kmh * KMH * 18.0,
        speed_kmh=speed_kmh,
        pass_m=rng.uniform(4.0, 20.0),
        snr_db=rng.uniform(15.0, 40.0),
        seed=seed,
    )


@cache
def _counts() -> dict[str, Counter[str]]:
    """Return how often each motion was right, wrong or unknown at an SNR of 5 dB and more, and what was said before."""
    counts: dict[str, Counter[str]] = {"away": Counter(), "near": Counter(), "coming": Counter()}
    for seed in range(DRIVES):
        rendered = render_scene(_scene(seed))
        time_s, snr_db, distance_m, closest_s = (
            rendered.truth[key] for key in ("time_s", "snr_db", "distance_m", "closest_s")
        )
        audible = np.flatnonzero(np.array(snr_db) > 0.0)
        for at_s, motion in _motions(rendered.pcm, round(time_s[audible[0]] * RATE_HZ)):
            here = min(round(at_s * 10), len(snr_db) - 1)
            true = Motion.APPROACHING if distance_m[here] < distance_m[here - 1] else Motion.DEPARTING
            if true is Motion.APPROACHING and snr_db[here] > 0.0:
                counts["coming"][motion.value] += 1
            if snr_db[max(here - 5, 0)] < 5.0:
                continue
            said = "right" if motion is true else "wrong" if motion in ("approaching", "departing") else motion.value
            counts["near" if abs(at_s - closest_s) < NEAR_S else "away"][said] += 1
    return counts


def test_the_sign_is_wrong_in_under_three_percent_of_the_claims() -> None:
    counts = _counts()
    away, near, coming = counts["away"], counts["near"], counts["coming"]
    every = away + near
    sys.stdout.write(f"\nmotion over {DRIVES} drive-bys, SNR >= 5 dB: {dict(every)}; of these within 1 s of the pass: ")
    sys.stdout.write(f"{dict(near)}; of a siren above 0 dB that comes: {dict(coming)}\n")
    figures.record(drives=DRIVES, motion=dict(every), motion_near=dict(near), motion_coming=dict(coming))
    assert every["wrong"] < (0.03 if ARE_MANY else 0.05) * (every["right"] + every["wrong"])
    assert away["wrong"] < (0.02 if ARE_MANY else 0.05) * (away["right"] + away["wrong"])
    assert away["right"] > 0.6 * away.total()
    assert away["stationary"] < 0.05 * away.total()
    assert coming["approaching"] > (0.6 if ARE_MANY else 0.5) * coming.total()


def test_most_windows_of_a_drive_at_the_levels_of_a_street_are_said_to_approach() -> None:
    said = Counter[str]()
    for seed in range(DRIVES):
        drive = street_drive(seed)
        rendered = render_scene(drive)
        first_s, snr_db = rendered.truth["first_audible_s"], rendered.truth["snr_db"]
        for at_s, motion in _motions(rendered.pcm, round((first_s - 1.0) * RATE_HZ)):
            if first_s <= at_s < drive.stop_line_s - NEAR_S and snr_db[round(10 * at_s)] > 0.0:
                said[motion.value] += 1
    shares = {motion: round(count / said.total(), 3) for motion, count in said.items()}
    sys.stdout.write(f"\nmotion over {DRIVES} drives at the levels of a street, above 0 dB: {shares}\n")
    figures.record(street_drives=DRIVES, street_motion=dict(said))
    assert said["approaching"] > (0.6 if ARE_MANY else 0.45) * said.total()
    assert said["departing"] < 0.03 * (said["approaching"] + said["departing"])


def _parked(profile: str, siren: str, seconds: float = 24.0) -> Pcm:
    """Return a siren that stands 40 m from the microphone, at 15 dB over the street."""
    rng = np.random.default_rng(7)
    geometry, samples = DriveBy(39.0, 0.0, 8.0), to_samples(seconds)
    source = synthesis.synthesise(
        sirens.find_siren(profile, siren), geometry.source_samples(samples, RATE_HZ), RATE_HZ, rng
    )
    received, _ = drive_by(source, geometry, RATE_HZ, samples=samples)
    mixture = mix_at_snr(received, synthetic_street(samples, rng), 15.0)[0]
    return np.asarray(0.5 * mixture / np.abs(mixture).max(), np.float32)


@pytest.mark.parametrize(("profile", "siren"), [("us", "wail"), ("de", "hilo"), ("us", "yelp"), ("it", "hilo")])
def test_a_parked_siren_is_said_to_stand(profile: str, siren: str) -> None:
    said = [motion for at_s, motion in _motions(_parked(profile, siren)) if at_s >= 14.0]
    assert set(said) <= {Motion.STATIONARY, Motion.UNKNOWN}
    assert said.count(Motion.STATIONARY) > 0.7 * len(said)


def test_nothing_is_said_of_less_than_four_seconds_and_no_rest_before_three_cycles() -> None:
    motions = _motions(_parked("us", "wail", 12.5))
    assert {motion for at_s, motion in motions if at_s < 4.0} == {Motion.UNKNOWN}
    assert Motion.STATIONARY not in {motion for at_s, motion in motions if at_s < 12.0}
    assert sum(motion is Motion.APPROACHING for _, motion in motions) <= 0.1 * len(motions)
    late = _motions(_parked("us", "wail", 20.0), since=9 * RATE_HZ)
    assert {motion for at_s, motion in late if at_s < 13.0} == {Motion.UNKNOWN}


def test_nothing_is_said_of_a_steady_tone_a_street_or_silence() -> None:
    samples = 20 * RATE_HZ
    tone = (0.1 * np.sin(2 * np.pi * 700.0 * np.arange(samples) / RATE_HZ) * np.linspace(0.1, 1.0, samples)).astype(
        np.float32
    )
    street = 0.1 * synthetic_street(samples, np.random.default_rng(1))
    for pcm in (tone, street, np.zeros(samples, np.float32)):
        assert {motion for _, motion in _motions(pcm)} == {Motion.UNKNOWN}


def _frames(slope_db_s: float, *, seconds: float = 16.0, drop: float = 0.0) -> Course | None:
    """Follow a two-tone of 1.5 s whose level changes steadily, and whose pitch falls by a part halfway."""
    at_s = np.arange(round(seconds * RATE_HZ / STEP)) * STEP / RATE_HZ
    hz = np.where(at_s % 1.5 < 0.75, 410.0, 547.0) * np.where(at_s > at_s[-1] - 4.0, 1.0 - drop, 1.0)
    level_db = -60.0 + slope_db_s * at_s + 6.0 * (hz > 480.0)
    return find_course(hz.astype(np.float32), np.full(hz.size, 0.8, np.float32), level_db.astype(np.float32))


@given(st.floats(-3.0, 3.0))
def test_the_cycle_is_taken_out_of_the_level(slope_db_s: float) -> None:
    course = _frames(slope_db_s)
    assert course is not None
    assert course.cycle_s == pytest.approx(1.5, abs=0.02)
    slopes = np.diff(course.cycles_db) / course.whole_s
    assert slopes == pytest.approx([slope_db_s] * slopes.size, abs=0.35)


@pytest.mark.parametrize(
    ("slope_db_s", "drop", "is_resting"),
    [(0.0, 0.0, True), (0.5, 0.0, False), (-0.5, 0.0, False), (0.0, 0.02, False)],
)
def test_a_siren_rests_when_neither_level_nor_pitch_of_its_cycles_move(
    slope_db_s: float, drop: float, is_resting: bool
) -> None:
    course = _frames(slope_db_s, drop=drop)
    assert course is not None
    assert course.is_resting is is_resting


@pytest.mark.parametrize(
    ("nearest", "motion"),
    [
        (Closest(0.7, 0.2, 0.1, 6.0), Motion.APPROACHING),
        (Closest(0.6, 0.3, 0.1, 6.0), Motion.UNKNOWN),
        (Closest(0.01, 0.98, 0.01, 9.0), Motion.DEPARTING),
        (Closest(0.01, 0.98, 0.01, 6.0), Motion.UNKNOWN),  # a road's reflection does that too
        (Closest(0.05, 0.94, 0.01, 9.0), Motion.UNKNOWN),
        (Closest(0.2, 0.2, 0.6, 9.0), Motion.STATIONARY),
        (Closest(0.3, 0.3, 0.4, 9.0), Motion.UNKNOWN),
        (None, Motion.UNKNOWN),
    ],
)
def test_what_is_claimed_is_likely(nearest: Closest | None, motion: Motion) -> None:
    assert decide(nearest, _frames(0.0)) is motion


def test_nothing_rests_whose_cycles_are_not_known_or_move() -> None:
    resting = Closest(0.1, 0.1, 0.8, 9.0)
    assert decide(resting, None) is Motion.UNKNOWN
    assert decide(resting, _frames(0.5)) is Motion.UNKNOWN


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(0, 900))
def test_any_frames_give_an_answer(seed: int, frames: int) -> None:
    rng = np.random.default_rng(seed)
    hz, strength = rng.uniform(250.0, 2500.0, frames), rng.random(frames)
    level = rng.uniform(-120.0, 0.0, frames)
    course = find_course(*(part.astype(np.float32) for part in (hz, strength, level)))
    assert course is None or np.isfinite(course.cycles_db).all()
