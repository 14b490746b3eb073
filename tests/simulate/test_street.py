"""The drive-by against physics: Doppler, spreading, absorption, reflection and timing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from sirend.simulate.street import Air, DriveBy, drive_by

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE_HZ = 16_000


def sine(hz: float, seconds: float) -> NDArray[np.float32]:
    return np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE_HZ)) / RATE_HZ).astype(np.float32)


def pitch_hz(pcm: NDArray[np.float32]) -> float:
    power = np.log(np.abs(np.fft.rfft(pcm * np.hanning(pcm.size), 8 * pcm.size)) + 1e-12)
    peak = int(np.argmax(power))
    left, here, right = power[peak - 1 : peak + 2]
    return float((peak + 0.5 * (left - right) / (left - 2 * here + right)) * RATE_HZ / (8 * pcm.size))


def rms(pcm: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(pcm, dtype=np.float64))))


# ISO 9613-2:1996 table 2 and the tables of ISO 9613-1: temperature, humidity, dB/km at the octaves 125 Hz to 8 kHz.
@pytest.mark.parametrize(
    ("temperature_c", "humidity_percent", "db_km"),
    [
        (10.0, 70.0, (0.411, 1.04, 1.93, 3.66, 9.66, 32.8, 117.0)),
        (20.0, 70.0, (0.339, 1.13, 2.80, 4.98, 9.02, 22.9, 76.6)),
    ],
)
def test_absorption_is_that_of_the_standard(
    temperature_c: float, humidity_percent: float, db_km: tuple[float, ...]
) -> None:
    octaves_hz = 10.0 ** np.linspace(2.1, 3.9, 7)  # exact midband frequencies
    computed = 1000.0 * Air(temperature_c, humidity_percent).absorption_db_m(octaves_hz)
    np.testing.assert_allclose(computed, db_km, rtol=0.01)


@pytest.mark.parametrize(
    ("temperature_c", "humidity_percent", "db_km"),
    [
        (15.0, 20.0, (8.2, 28.2, 88.8, 202.0)),
        (15.0, 50.0, (4.2, 10.8, 36.2, 129.0)),
        (30.0, 70.0, (7.4, 12.7, 23.1, 59.3)),
    ],
)
def test_absorption_in_other_weather(temperature_c: float, humidity_percent: float, db_km: tuple[float, ...]) -> None:
    computed = 1000.0 * Air(temperature_c, humidity_percent).absorption_db_m(10.0 ** np.linspace(3.0, 3.9, 4))
    np.testing.assert_allclose(computed, db_km, rtol=0.02)


def test_sound_is_faster_in_warm_air() -> None:
    assert Air(20.0).sound_m_s == pytest.approx(343.2)
    assert Air(0.0).sound_m_s == pytest.approx(331.3, abs=0.1)


@pytest.mark.parametrize("speed_kmh", [30.0, 60.0, 120.0])
@pytest.mark.parametrize("hz", [440.0, 3000.0])
def test_doppler_shift_of_approach_and_departure(speed_kmh: float, hz: float) -> None:
    # So far away along the street that the angle to it does not matter: f c / (c -+ v).
    air, speed_m_s = Air(), speed_kmh / 3.6
    coming, _ = drive_by(sine(hz, 1.1), DriveBy(2000.0, speed_kmh, 5.0), RATE_HZ, samples=RATE_HZ)
    going, _ = drive_by(sine(hz, 1.1), DriveBy(-2000.0, speed_kmh, 5.0), RATE_HZ, samples=RATE_HZ)
    middle = slice(1000, 15_000)
    assert pitch_hz(coming[middle]) == pytest.approx(hz * air.sound_m_s / (air.sound_m_s - speed_m_s), rel=2e-4)
    assert pitch_hz(going[middle]) == pytest.approx(hz * air.sound_m_s / (air.sound_m_s + speed_m_s), rel=2e-4)


def test_pitch_is_unshifted_at_the_moment_heard_from_abeam() -> None:
    geometry = DriveBy(60.0, 60.0, 20.0, ground_reflection=0.0)
    received, _ = drive_by(sine(1000.0, 8.0), geometry, RATE_HZ)
    abeam = int((geometry.closest_s + np.hypot(20.0, 3.0) / Air().sound_m_s) * RATE_HZ)
    assert pitch_hz(received[abeam - 800 : abeam + 800]) == pytest.approx(1000.0, rel=5e-4)


@settings(max_examples=60, deadline=None)
@given(st.floats(-500.0, 500.0), st.floats(0.0, 200.0), st.floats(0.5, 50.0), st.booleans(), st.floats(0.0, 60.0))
def test_emission_plus_travel_is_reception(
    start_m: float, speed_kmh: float, pass_m: float, mirrored: bool, heard_s: float
) -> None:
    geometry, air = DriveBy(start_m, speed_kmh, pass_m), Air()
    emitted_s = geometry.emission_s(np.array([heard_s]), air, mirrored=mirrored)
    travel_s = geometry.distance_m(emitted_s, mirrored=mirrored) / air.sound_m_s
    assert emitted_s[0] + travel_s[0] == pytest.approx(heard_s, abs=1e-8)
    assert emitted_s[0] < heard_s


def test_level_falls_six_decibels_a_doubling() -> None:
    levels = []
    for distance_m in (20.0, 40.0, 80.0, 160.0):
        geometry = DriveBy(distance_m, 0.0, 0.0, source_height_m=5.0, ground_reflection=0.0)
        received, where_m = drive_by(sine(1000.0, 0.5), geometry, RATE_HZ, absorbing=False)
        assert where_m[0] == distance_m
        levels.append(20 * np.log10(rms(received[1000:7000])))
    np.testing.assert_allclose(np.diff(levels), -20 * np.log10(2.0), atol=0.01)
    assert levels[0] == pytest.approx(-3.01 - 26.02, abs=0.02)


@pytest.mark.parametrize("hz", [1000.0, 4000.0])
def test_air_takes_what_the_standard_says_over_a_distance(hz: float) -> None:
    geometry = DriveBy(300.0, 0.0, 0.0, source_height_m=5.0, ground_reflection=0.0)
    with_air, without = (
        rms(drive_by(sine(hz, 1.0), geometry, RATE_HZ, absorbing=on)[0][2000:14_000]) for on in (True, False)
    )
    expected_db = 300.0 * float(Air().absorption_db_m(np.array([hz]))[0])
    assert 20 * np.log10(without / with_air) == pytest.approx(expected_db, rel=0.02)


def test_loudest_and_nearest_when_the_geometry_says() -> None:
    geometry = DriveBy(100.0, 72.0, 8.0)
    received, distance_m = drive_by(sine(1000.0, 10.2), geometry, RATE_HZ, samples=10 * RATE_HZ)
    assert geometry.closest_s == 5.0
    assert int(np.argmin(distance_m)) == 5 * RATE_HZ
    assert distance_m.min() == pytest.approx(np.hypot(8.0, 3.0))
    assert distance_m[0] == pytest.approx(np.hypot(100.0, np.hypot(8.0, 3.0)))
    short = np.sqrt(np.convolve(np.square(received, dtype=np.float64), np.ones(1600) / 1600, "same"))
    assert int(np.argmax(short)) / RATE_HZ == pytest.approx(5.0, abs=0.4)


def test_the_road_mirrors() -> None:
    # Standing 20 m off at the microphone's height: half a wavelength of detour cancels, a whole one adds.
    direct_m, mirrored_m = 20.0, np.hypot(20.0, 10.0)
    geometry = DriveBy(20.0, 0.0, 0.0, source_height_m=5.0, ground_reflection=1.0, ground_cutoff_hz=7200.0)
    detour_m = mirrored_m - direct_m
    levels = {}
    for halves in (1, 2):
        hz = halves * 0.5 * Air().sound_m_s / detour_m
        levels[halves] = rms(drive_by(sine(hz, 1.0), geometry, RATE_HZ, absorbing=False)[0][4000:12_000]) * np.sqrt(2)
    assert levels[1] == pytest.approx(1 / direct_m - 1 / mirrored_m, rel=0.02)
    assert levels[2] == pytest.approx(1 / direct_m + 1 / mirrored_m, rel=0.02)


@pytest.mark.parametrize(("hz", "noise_db"), [(1500.0, -88.0), (3000.0, -85.0), (6000.0, -70.0)])
def test_the_delay_line_is_clean(hz: float, noise_db: float) -> None:
    received, _ = drive_by(sine(hz, 1.1), DriveBy(3000.0, 100.0, 5.0), RATE_HZ, absorbing=False, samples=RATE_HZ)
    power = np.abs(np.fft.rfft(received * signal.windows.blackmanharris(received.size))) ** 2
    peak = int(np.argmax(power))
    power[peak - 6 : peak + 7], strongest = 0.0, power[peak]
    assert 10 * np.log10(power[100:].max() / strongest) < noise_db


def test_the_first_sample_heard_is_the_first_of_the_source_and_the_last_still_sounds() -> None:
    geometry = DriveBy(300.0, 60.0, 8.0)
    samples = 36 * RATE_HZ
    needed = geometry.source_samples(samples, RATE_HZ)
    assert samples < needed < samples + 2 * RATE_HZ
    received, _ = drive_by(np.ones(needed, np.float32), geometry, RATE_HZ, absorbing=False, samples=samples)
    assert received.shape == (samples,)
    assert rms(received[50:150]) > 0.8 / 320.0
    assert rms(received[-150:-50]) > 0.8 / 320.0
    cut, _ = drive_by(np.ones(needed - 3200, np.float32), geometry, RATE_HZ, absorbing=False, samples=samples)
    assert rms(cut[-150:-50]) == pytest.approx(0.0, abs=1e-6)


def test_an_impulse_response_adds_its_echo() -> None:
    echo = np.zeros(801, np.float32)
    echo[0], echo[800] = 1.0, 0.5
    geometry = DriveBy(50.0, 40.0, 8.0)
    dry, _ = drive_by(sine(700.0, 0.5), geometry, RATE_HZ)
    wet, _ = drive_by(sine(700.0, 0.5), geometry, RATE_HZ, impulse_response=echo)
    assert wet.shape == dry.shape
    np.testing.assert_allclose(wet[800:] - dry[800:], 0.5 * dry[:-800], atol=1e-7)
