"""What is written beside a simulated recording: what is in it, when it can be heard, and what the entries mean."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from sirend.simulate.levels import FLOOR_DB, RATE_HZ, SHORT_S, SNR_BAND_HZ, TRUTH_HZ, db

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sirend.simulate.balance import Balance
    from sirend.simulate.scene import Scene
    from sirend.simulate.siren_sound import SirenSound

AUDIBLE_DB = -10.0  # short-term SNR from which a tone can be heard in noise
FIRST_DB = -5.0  # short-term SNR that, held for SHORT_S, is the moment from which a detector could have called


def described(scene: Scene, tone: SirenSound, balance: Balance) -> dict[str, Any]:
    """Return what a truth says of the scene itself, JSON values."""
    is_level = balance.street_db is not None
    return {
        "siren": scene.siren,
        "profile": scene.profile,
        "tone": asdict(tone),
        "start_m": scene.start_m,
        "speed_kmh": scene.speed_kmh,
        "pass_m": scene.pass_m,
        "siren_db": scene.siren_db if is_level else None,
        "street_db": scene.street_db if is_level else None,
        "peak_snr_db": round(balance.peak_snr_db, 2),
        "in_sight_m": scene.in_sight_m,
        "stop_line_m": scene.stop_line_m,
        "stop_line_s": round(scene.stop_line_s, 3),
        "temperature_c": scene.temperature_c,
        "humidity_percent": scene.humidity_percent,
        "wind_m_s": scene.wind_m_s,
        "windscreen_m": scene.windscreen_m,
        "seed": scene.seed,
        "background": "synthetic street" if scene.background is None else scene.background.name,
    }


def heard_of(siren_db: NDArray[np.float64], street_db: NDArray[np.float64], balance: Balance) -> dict[str, Any]:
    """Return what a truth says of siren and street at one microphone, JSON values.

    Both are short-term levels, float64[k], `TRUTH_HZ` points a second, as loud to each other as they were mixed.
    """
    snr_db = np.maximum(siren_db - street_db, FLOOR_DB)
    audible = np.flatnonzero(snr_db > AUDIBLE_DB)
    held = np.convolve(snr_db >= FIRST_DB, np.ones(round(SHORT_S * TRUTH_HZ)))[round(SHORT_S * TRUTH_HZ) - 1 :]
    first = np.flatnonzero(held >= SHORT_S * TRUTH_HZ)
    level_db = None if balance.street_db is None else siren_db - db(balance.street_rms) + balance.street_db
    return {
        "audible_from_s": audible[0] / TRUTH_HZ if audible.size else None,
        "audible_to_s": audible[-1] / TRUTH_HZ if audible.size else None,
        "first_audible_s": first[0] / TRUTH_HZ if first.size else None,
        "snr_db": snr_db.round(2).tolist(),
        "level_db": None if level_db is None else level_db.round(2).tolist(),
    }


MEANING = {
    "peak_snr_db": f"siren RMS in the {SHORT_S:g} s around closest_s over the RMS of the whole background "
    f"without wind, both in {SNR_BAND_HZ[0]:g}-{SNR_BAND_HZ[1]:g} Hz",
    "snr_db": f"siren RMS over that of street and wind in the {SHORT_S:g} s around time_s, "
    f"{SNR_BAND_HZ[0]:g}-{SNR_BAND_HZ[1]:g} Hz",
    "wind_m_s": "mean speed of the wind at the microphone, whose windscreen has the diameter windscreen_m",
    "level_db": f"the siren's own level at the microphone in the {SHORT_S:g} s around time_s, dB SPL in the same band; "
    "null where only an SNR was asked for",
    "audible_from_s": f"first time_s with snr_db over {AUDIBLE_DB:g} dB; audible_to_s is the last",
    "first_audible_s": f"begin of the first {SHORT_S:g} s in which snr_db is {FIRST_DB:g} dB or more all the time",
    "distance_m": "siren to microphone where the vehicle is at time_s, not where it sounds to be",
    "to_stop_line_s": "time left until the vehicle is at its stop line, stop_line_m behind the point nearest the "
    "microphone",
    "dbfs_of_94_db": "level in the recording of 94 dB SPL (audio.dbfs_of_94_db); null where only an SNR was asked for",
}
"""What the entries of a truth mean."""


def to_stop_line_s(scene: Scene, at: NDArray[np.int64]) -> list[float]:
    """Return the time left until the stop line at the samples `at` int64[k], s."""
    left: list[float] = (scene.stop_line_s - at / RATE_HZ).round(3).tolist()
    return left
