"""What the beams of an array make of a siren, of a street and of what is each microphone's own."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.config.geometry import KNOWN, SOUND_M_S
from sirend.detect.beams import LATE, TAPS, Beams, directions_deg, filters

QUAD = KNOWN["respeaker-4"]
LEGS_DEG = [0.0, 90.0, 180.0, 270.0]
SAMPLES = 4 * SAMPLE_RATE_HZ


def lead_s(deg: float) -> npt.NDArray[np.float64]:
    """Return by how much earlier than the middle each microphone hears a wave from ``deg``, float64[microphones]."""
    towards = np.array((np.sin(np.deg2rad(deg)), np.cos(np.deg2rad(deg))))
    lead: npt.NDArray[np.float64] = np.array(QUAD.places_m) @ towards / SOUND_M_S
    return lead


def tone(deg: float, hz: float, amplitude: float = 1.0) -> np.ndarray:
    """Return a tone that comes from ``deg``, float32[microphones, n]."""
    at_s = np.arange(SAMPLES) / SAMPLE_RATE_HZ
    return (amplitude * np.sin(2.0 * np.pi * hz * (at_s + lead_s(deg)[:, np.newaxis]))).astype(np.float32)


def street(seed: int) -> np.ndarray:
    """Return noise from all round, float32[microphones, n], RMS 1."""
    rng = np.random.default_rng(seed)
    hz = np.fft.rfftfreq(SAMPLES, 1.0 / SAMPLE_RATE_HZ)
    waves = [
        np.fft.rfft(rng.standard_normal(SAMPLES)) * np.exp(2j * np.pi * hz * lead_s(deg)[:, np.newaxis])
        for deg in np.arange(0.0, 360.0, 15.0)
    ]
    heard = np.fft.irfft(np.sum(waves, axis=0), SAMPLES)
    return np.asarray(heard / np.sqrt(np.square(heard).mean()), np.float32)


def heard(pcm: np.ndarray) -> np.ndarray:
    return Beams(QUAD, LEGS_DEG).hear(np.pad(pcm, ((0, 0), (TAPS - 1, 0))))[TAPS:]


def share(pcm: np.ndarray, hz: float) -> float:
    """Return the power at ``hz`` over that of all within 100 Hz but itself, dB."""
    power = np.square(np.abs(np.fft.rfft(pcm * np.hanning(pcm.size))))
    middle, about = round(hz * pcm.size / SAMPLE_RATE_HZ), round(100 * pcm.size / SAMPLE_RATE_HZ)
    near = power[middle - about : middle + about + 1].copy()
    own = near[about - 3 : about + 4].sum()
    return float(10.0 * np.log10(own / (near.sum() - own)))


@pytest.mark.parametrize("hz", [435.0, 800.0, 1500.0, 3000.0])
@pytest.mark.parametrize("deg", [0.0, 90.0, 265.0])
def test_a_siren_on_a_leg_is_heard_whole(hz: float, deg: float) -> None:
    assert heard(tone(deg, hz)).std() == pytest.approx(np.sqrt(0.5), rel=0.06)


@pytest.mark.parametrize("hz", [435.0, 800.0, 1500.0])
def test_a_tone_that_is_fainter_than_a_street_stands_out_more_than_at_one_microphone(hz: float) -> None:
    pcm = street(1) + tone(180.0, hz, 0.3)
    assert share(heard(pcm), hz) - share(pcm[0], hz) > 3.0


@pytest.mark.parametrize("hz", [300.0, 435.0, 800.0, 2000.0])
def test_of_what_is_each_microphones_own_a_beam_lets_through_no_more_than_2_db_more(hz: float) -> None:
    taps = filters(QUAD, LEGS_DEG)
    turns = np.exp(-2j * np.pi * hz * np.arange(TAPS) / SAMPLE_RATE_HZ)
    assert (np.square(np.abs(taps @ turns)).sum(axis=1) < 10.0**0.2).all()


@pytest.mark.parametrize("hz", [60.0, 150.0, 5000.0, 7000.0])
def test_where_the_array_is_too_small_or_too_large_one_microphone_is_heard(hz: float) -> None:
    pcm = tone(200.0, hz)
    np.testing.assert_allclose(heard(pcm), pcm[0, TAPS - LATE : -LATE], atol=0.05)


def test_the_beam_follows_a_siren_that_passes() -> None:
    pcm = np.concatenate((tone(90.0, 700.0), tone(270.0, 700.0)), axis=1)
    after = heard(pcm)[SAMPLES + SAMPLE_RATE_HZ // 4 :]
    assert after.std() == pytest.approx(np.sqrt(0.5), rel=0.06)


def test_pieces_follow_on_each_other() -> None:
    pcm = np.pad(street(2) + tone(90.0, 700.0), ((0, 0), (TAPS - 1, 0)))
    whole, in_two = Beams(QUAD, LEGS_DEG), Beams(QUAD, LEGS_DEG)
    cut = 8_000
    parts = [in_two.hear(pcm[:, : cut + TAPS - 1]), in_two.hear(pcm[:, cut:])]
    assert np.array_equal(whole.hear(pcm), np.concatenate(parts))


def test_beams_look_along_the_legs_and_all_round() -> None:
    assert directions_deg([270.0, 0.0, 90.0, 180.0]) == LEGS_DEG
    assert directions_deg([10.0, 130.0, 250.0]) == [10.0, 130.0, 250.0]
    assert directions_deg([350.0, 170.0]) == [170.0, 260.0, 350.0, 80.0]
    assert directions_deg([30.0]) == directions_deg([390.0]) == [30.0, 150.0, 270.0]
