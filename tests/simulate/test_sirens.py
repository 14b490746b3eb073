"""The tone table against its sources, and the synthesised sound against the tone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sirend.errors import UsageError
from sirend.simulate import siren_sound, sirens, synthesis, variation

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE_HZ = 16_000


def strongest_hz(pcm: NDArray[np.float32], *, below_hz: float = 8000.0) -> float:
    """Frequency of the largest line of a windowed spectrum, with parabolic interpolation."""
    power = np.log(np.abs(np.fft.rfft(pcm * np.hanning(pcm.size), 4 * pcm.size)) + 1e-12)
    bin_hz = RATE_HZ / (4 * pcm.size)
    peak = int(np.argmax(power[: int(below_hz / bin_hz)]))
    left, here, right = power[peak - 1 : peak + 2]
    return float((peak + 0.5 * (left - right) / (left - 2 * here + right)) * bin_hz)


def sounded(tone: siren_sound.SirenSound, seconds: float, *, start_s: float = 0.0) -> NDArray[np.float32]:
    return synthesis.synthesise(tone, int(seconds * RATE_HZ), RATE_HZ, np.random.default_rng(7), start_s=start_s)


@pytest.mark.parametrize(
    ("profile", "siren", "pitches_hz", "cycle_s"),
    [
        ("de", "hilo", (410.0, 547.0), 1.5),
        ("de", "hilo-country", (362.0, 483.0), 1.5),
        ("de", "martin-horn", (435.0, 580.0), 1.5),
        ("fr", "police", (435.0, 580.0), 60 / 55),
        ("fr", "hilo", (435.0, 580.0), 60 / 55),
        ("fr", "fire", (435.0, 488.0), 60 / 27.5),
        ("fr", "gendarmerie", (435.0, 732.0), 60 / 55),
        ("fr", "samu", (435.0, 651.0), 60 / 55),
        ("it", "hilo", (392.0, 660.0), 3.0),
        ("jp", "ambulance-residential", (850.0, 680.0), 1.3),
        ("us", "hilo", (950.0, 1150.0), 60 / 70),
        ("uk", "hilo", (975.0, 775.0), 1.0),
        ("ch", "hilo", (554.4, 415.3), 2.3),
    ],
)
def test_two_tones_sound_at_their_pitches(
    profile: str, siren: str, pitches_hz: tuple[float, float], cycle_s: float
) -> None:
    tone = sirens.find_siren(profile, siren)
    assert tone.motion.cycle_s == pytest.approx(cycle_s)
    pcm = sounded(tone, 2 * cycle_s)
    for step, expected_hz in enumerate(pitches_hz):
        begin, end = (int((step * cycle_s / 2 + offset_s) * RATE_HZ) for offset_s in (0.06, cycle_s / 2 - 0.26))
        heard = strongest_hz(pcm[begin : max(end, begin + 3200)], below_hz=800.0 + expected_hz / 3)
        assert heard == pytest.approx(expected_hz, rel=0.006)


@pytest.mark.parametrize(
    ("profile", "siren", "low_hz", "high_hz", "cpm"),
    [
        ("us", "wail", 725.0, 1800.0, 15.0),
        ("us", "wail-msc", 700.0, 1600.0, 11.0),
        ("us", "yelp", 725.0, 1800.0, 220.0),
        ("us", "phaser", 725.0, 1800.0, 1300.0),
        ("us", "mechanical", 400.0, 800.0, 60 / 16),
        ("de", "yelp", 800.0, 1700.0, 200.0),
        ("jp", "police", 400.0, 900.0, 15.0),
        ("jp", "fire", 350.0, 850.0, 7.5),
        ("uk", "wail", 600.0, 1500.0, 14.0),
    ],
)
def test_sweeps_span_their_range_once_a_cycle(
    profile: str, siren: str, low_hz: float, high_hz: float, cpm: float
) -> None:
    motion = sirens.find_siren(profile, siren).motion
    assert 60.0 / motion.cycle_s == pytest.approx(cpm)
    seconds = np.linspace(0.0, motion.cycle_s, 20_000, endpoint=False)
    pitch_hz = siren_sound.instantaneous_hz(sirens.find_siren(profile, siren), seconds)
    assert pitch_hz.min() == pytest.approx(low_hz, rel=1e-3)
    assert pitch_hz.max() == pytest.approx(high_hz, rel=1e-3)
    turns = np.sign(np.diff(np.concatenate((pitch_hz, pitch_hz[:2]))))
    assert np.count_nonzero(np.diff(turns[turns != 0])) == 2


def test_wail_is_heard_where_the_pitch_says() -> None:
    tone = sirens.find_siren("us", "wail")
    pcm = sounded(tone, 4.0)
    for at_s in (0.4, 1.0, 1.9, 2.6, 3.5):
        middle = int(at_s * RATE_HZ)
        expected_hz = float(siren_sound.instantaneous_hz(tone, np.array([at_s]))[0])
        assert strongest_hz(pcm[middle - 400 : middle + 400], below_hz=2000.0) == pytest.approx(expected_hz, rel=0.02)


def test_the_japanese_ambulance_beats_ten_times_a_second() -> None:
    pcm = sounded(sirens.find_siren("jp", "ambulance"), 0.65)[800:9600].astype(float)
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(pcm.size), 16_000))
    assert {int(np.argmax(spectrum[955:966])) + 955, int(np.argmax(spectrum[966:976])) + 966} <= set(range(959, 972))
    assert spectrum[970] > 0.4 * spectrum[960]
    assert spectrum[965] < 0.75 * spectrum[960]


def test_the_rumbler_sounds_below_its_main_tone() -> None:
    plain, rumbler = (sounded(sirens.find_siren("us", name), 2.0) for name in ("yelp", "rumbler"))
    bass = [np.sum(np.abs(np.fft.rfft(pcm))[360:800] ** 2) / np.sum(pcm**2) for pcm in (plain, rumbler)]  # 180-400 Hz
    assert bass[1] > 100 * bass[0]


def test_the_third_harmonic_is_strong_and_the_second_weak() -> None:
    pcm = sounded(sirens.find_siren("us", "hilo"), 60 / 140)
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(pcm.size), RATE_HZ))
    first, second, third = (float(spectrum[k * 950 - 10 : k * 950 + 11].max()) for k in (1, 2, 3))
    assert third > 0.2 * first
    assert second < 0.25 * third


def test_nothing_aliases() -> None:
    # Every line of a steady tone is a harmonic of it; aliased ones would lie between.
    steady = siren_sound.Sweep((siren_sound.Segment(1.0, 1234.0, 1234.0),), (60.0, 60.0))
    voice = siren_sound.Voice(drive=8.0, drift=0.0, band_hz=(100.0, 7000.0))
    pcm = sounded(siren_sound.SirenSound("any", "steady", steady, voice), 1.2)[3200:]
    power = np.abs(np.fft.rfft(pcm * np.blackman(pcm.size))) ** 2
    off = np.abs(np.arange(power.size) - 1234.0 * np.round(np.arange(power.size) / 1234.0)) > 5
    assert 10 * np.log10(power[off].max() / power.max()) < -80.0


def test_a_tone_has_no_clicks_between_its_steps() -> None:
    pcm = sounded(sirens.find_siren("it", "hilo"), 6.0)
    jumps = np.abs(np.diff(pcm))
    at_border = jumps[int(1.45 * RATE_HZ) : int(1.55 * RATE_HZ)].max()
    assert at_border <= 1.2 * jumps[int(2.0 * RATE_HZ) : int(2.5 * RATE_HZ)].max()


def test_gaps_are_silent_and_tones_are_not() -> None:
    pcm = sounded(sirens.find_siren("ch", "hilo"), 2.3)
    gap, tone = pcm[int(0.97 * RATE_HZ) : int(1.1 * RATE_HZ)], pcm[int(0.2 * RATE_HZ) : int(0.8 * RATE_HZ)]
    assert np.std(gap) < 0.003 * np.std(tone)


def test_start_moves_along_the_cycle() -> None:
    tone = sirens.find_siren("de", "hilo")
    assert strongest_hz(sounded(tone, 0.5, start_s=0.8), below_hz=900.0) == pytest.approx(547.0, rel=0.006)


@pytest.mark.parametrize(
    ("profile", "siren", "said"),
    [
        ("xx", "wail", "no siren profile 'xx': choose one of ch, de, fr, it, jp, uk, us"),
        ("de", "wail", "profile 'de' has no siren 'wail': choose one of hilo, hilo-country, martin-horn, yelp"),
        ("fr", "yelp", "choose one of fire, gendarmerie, hilo, police, samu"),
    ],
)
def test_unknown_names_list_what_there_is(profile: str, siren: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        sirens.find_siren(profile, siren)
    assert said in str(caught.value)


def test_every_alias_leads_somewhere() -> None:
    for profile, name in sirens.ALIASES:
        assert sirens.find_siren(profile, name).siren == sirens.ALIASES[profile, name]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(sirens.TONES)))
def test_a_variant_stays_within_its_tolerances(seed: int, name: tuple[str, str]) -> None:
    plain = sirens.TONES[name]
    other = variation.vary(plain, np.random.default_rng(seed))
    slowest, fastest = plain.motion.band_cpm
    assert slowest * 0.999 <= 60.0 / other.motion.cycle_s <= fastest * 1.001
    for end in (min, max):
        was, now = (end(segment.from_hz for segment in tone.motion.segments) for tone in (plain, other))
        assert abs(now / was - 1.0) < 0.05 + 0.03
    for layer, _gain in other.layers:
        assert layer.cycle_s == pytest.approx(other.motion.cycle_s)
    assert all(segment.seconds > 0.0 for segment in other.motion.segments)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([8000, 16_000, 48_000]))
def test_any_random_tone_sounds(seed: int, rate_hz: int) -> None:
    rng = np.random.default_rng(seed)
    tone = variation.random_tone(rng)
    pcm = synthesis.synthesise_cut(tone, rate_hz, rate_hz, rng)
    assert pcm.dtype == np.float32
    assert pcm.shape == (rate_hz,)
    assert float(np.max(np.abs(pcm))) == pytest.approx(1.0, abs=1e-6)
    assert float(np.std(pcm)) > 0.02


def test_the_same_seed_gives_the_same_sound() -> None:
    def once() -> bytes:
        rng = np.random.default_rng(3)
        return synthesis.synthesise(variation.random_tone(rng), 4000, RATE_HZ, rng).tobytes()

    assert once() == once()


def test_random_tones_are_many_and_some_belong_to_no_table() -> None:
    rng = np.random.default_rng(0)
    drawn = [variation.random_tone(rng) for _ in range(400)]
    free = sum(tone.profile == "any" for tone in drawn)
    assert 50 < free < 115
    assert {(tone.profile, tone.siren) for tone in drawn} >= set(sirens.TONES)
    assert len({tone.motion for tone in drawn}) == 400
