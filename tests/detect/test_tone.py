"""What kind of siren sounds: how often it is named, and how often wrongly. `make drives` runs more of them."""

from __future__ import annotations

import os
import sys
from collections import Counter
from functools import cache

import numpy as np
import pytest
from tests.bench import figures

from sirend.audio.stream import Block, Samples
from sirend.audio.windows import Windows
from sirend.config import settings
from sirend.detect.motion import MEMORY_S
from sirend.detect.pitch import STEP, PitchTracker, measure_pitch
from sirend.detect.tone import Tone, tone_of, tone_of_pitch
from sirend.simulate import sirens, synthesis
from sirend.simulate.background import synthetic_street
from sirend.simulate.levels import RATE_HZ, mix_at_snr
from sirend.simulate.scene import Scene, render_scene
from sirend.training.tones import tone_of_siren

DRIVES = int(os.environ.get("SIREND_DRIVES", "5"))


@cache
def _confusion() -> dict[Tone, Counter[Tone]]:
    """Return how often each kind was told for each, over windows of drives in which the siren is audible."""
    table: dict[Tone, Counter[Tone]] = {}
    every = sorted(sirens.TONES)
    for seed in range(DRIVES):
        profile, siren = every[seed % len(every)]
        drive = Scene(siren, profile, start_m=180.0, after_m=60.0, speed_kmh=50.0, in_sight_m=130.0, seed=seed)
        rendered = render_scene(drive)
        audible_s, snr_db = rendered.truth["first_audible_s"], rendered.truth["snr_db"]
        windows, pitch = Windows(window=32_000, hop=4_000, channels=[0]), PitchTracker(MEMORY_S)
        counts = table.setdefault(tone_of_siren(profile, siren), Counter())
        for window in windows.push(Block(Samples(0), rendered.pcm[:, np.newaxis])):
            followed = pitch.update(window)
            end_s = window.end / RATE_HZ
            is_due = window.end % RATE_HZ == 0 and end_s >= audible_s + 3.0
            if is_due and snr_db[min(round(10 * end_s), len(snr_db) - 1)] > 0.0:
                counts[tone_of(followed, 0, round(audible_s * RATE_HZ), window.pcm[0])] += 1
    return table


def test_tones_are_named_and_rarely_wrong_over_drives() -> None:
    table = _confusion()
    claims = sum(count for counts in table.values() for said, count in counts.items() if said is not Tone.UNKNOWN)
    right = sum(counts[true] for true, counts in table.items())
    windows = sum(sum(counts.values()) for counts in table.values())
    sys.stdout.write(f"\ntone of a siren in {windows} windows of {DRIVES} drives, a row what it is:\n")
    for true, counts in sorted(table.items()):
        said = ", ".join(f"{name} {100 * count / sum(counts.values()):.0f} %" for name, count in counts.most_common())
        sys.stdout.write(f"  {true}: {said}\n")
    sys.stdout.write(f"  {100 * claims / windows:.1f} % named, {100 * (1 - right / claims):.1f} % of these wrongly\n")
    figures.record(tones={str(true): dict(counts) for true, counts in table.items()}, tone_drives=DRIVES)
    assert 1.0 - right / claims < 0.03
    assert claims > 0.5 * windows


def test_the_configuration_knows_every_tone() -> None:
    assert tuple(settings.TONES) == tuple(Tone)


def _frames(profile: str, siren: str, seconds: float, snr_db: float = 15.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    tone = sirens.find_siren(profile, siren)
    samples = round(seconds * RATE_HZ)
    mixed, _ = mix_at_snr(synthesis.synthesise(tone, samples, RATE_HZ, rng), synthetic_street(samples, rng), snr_db)
    hz, strength, _ = measure_pitch(mixed[np.newaxis])[:, 0]
    return hz, strength


@pytest.mark.parametrize(
    ("profile", "siren"),
    [("us", "wail"), ("jp", "fire"), ("de", "yelp"), ("de", "hilo"), ("it", "hilo"), ("ch", "hilo")],
)
def test_a_clear_siren_is_named(profile: str, siren: str) -> None:
    assert tone_of_pitch(*_frames(profile, siren, 8.0)) is tone_of_siren(profile, siren)


def test_a_phaser_is_named_by_its_flutter_and_nothing_else_flutters() -> None:
    rng = np.random.default_rng(5)
    for (profile, siren), tone in sorted(sirens.TONES.items()):
        mixed, _ = mix_at_snr(
            synthesis.synthesise(tone, 6 * RATE_HZ, RATE_HZ, rng), synthetic_street(6 * RATE_HZ, rng), 5.0
        )
        windows, pitch = Windows(window=32_000, hop=4_000, channels=[0]), PitchTracker(MEMORY_S)
        told = [tone_of(pitch.update(each), 0, 0, each.pcm[0]) for each in windows.push(_block(mixed))]
        assert (Tone.PHASER in told) == (siren == "phaser"), (profile, siren)
        if siren == "phaser":
            assert told[-1] is Tone.PHASER
            assert told[3] is Tone.UNKNOWN  # 2.75 s are too short to say


def _block(pcm: np.ndarray) -> Block:
    return Block(Samples(0), pcm[:, np.newaxis])


@pytest.mark.parametrize(("profile", "siren"), [("us", "phaser"), ("fr", "fire"), ("us", "airhorn")])
def test_what_is_not_certain_is_not_named(profile: str, siren: str) -> None:
    assert tone_of_pitch(*_frames(profile, siren, 2.5)) is Tone.UNKNOWN
    assert tone_of_pitch(*_frames(profile, siren, 8.0, snr_db=-25.0)) is Tone.UNKNOWN


def test_a_street_and_a_steady_tone_are_no_siren() -> None:
    street = measure_pitch(synthetic_street(8 * RATE_HZ, np.random.default_rng(1))[np.newaxis])[:, 0]
    assert tone_of_pitch(street[0], street[1]) is Tone.UNKNOWN
    steady = np.full(256, 900.0, np.float32)
    assert tone_of_pitch(steady, np.ones(256, np.float32)) is Tone.UNKNOWN


def test_a_keyed_tone_is_a_horn_where_it_is_low_and_pulsed_where_it_is_high() -> None:
    on = (np.arange(256) % 32 < 16).astype(np.float32)
    assert tone_of_pitch(np.full(256, 1000.0, np.float32), on) is Tone.PULSED
    assert tone_of_pitch(np.full(256, 370.0, np.float32), on) is Tone.HORN


def test_a_siren_that_changes_is_mixed_for_a_while() -> None:
    rng = np.random.default_rng(3)
    parts = [
        synthesis.synthesise(sirens.find_siren("us", name), 4 * RATE_HZ, RATE_HZ, rng) for name in ("wail", "yelp")
    ]
    mixed, _ = mix_at_snr(np.concatenate(parts), synthetic_street(8 * RATE_HZ, rng), 20.0)
    windows, pitch = Windows(window=32_000, hop=4_000, channels=[0]), PitchTracker(MEMORY_S)
    said = [tone_of(pitch.update(each), 0, 0) for each in windows.push(Block(Samples(0), mixed[:, np.newaxis]))]
    assert said[-1] is Tone.MIXED
    assert said[round((4.0 - 2.0) / 0.25)] is Tone.WAIL
    assert set(said) <= {Tone.UNKNOWN, Tone.WAIL, Tone.MIXED, Tone.YELP}
    assert STEP == 500
