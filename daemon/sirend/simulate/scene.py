"""The simulated scene: a siren drives down a street with a background, and the truth is written beside the sound.

Levels are those of a street: the siren's at 3 m and the street's, both RMS in dB (SPL) within 300-4000 Hz, where sirens
are. Distance, air and the road do the rest. Instead, an SNR may be asked for at the closest point.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from sirend.errors import DeviceError, UsageError
from sirend.simulate import sirens
from sirend.simulate.background import background as street_of
from sirend.simulate.levels import (
    FLOOR_DB,
    RATE_HZ,
    SHORT_S,
    SILENT,
    SNR_BAND_HZ,
    TRUTH_HZ,
    db,
    in_band,
    mix,
    rms,
    short_db,
)
from sirend.simulate.street import KMH, Air, Geometry, drive_by
from sirend.simulate.wind import turbulence

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

AUDIBLE_DB = -10.0  # short-term SNR from which a tone can be heard in noise
FIRST_DB = -5.0  # short-term SNR that, held for SHORT_S, is the moment from which a detector could have called
BACKGROUND_DBFS = -36.0  # a busy street through a microphone set so that a passing lorry does not clip
MICROPHONE_DBFS = -26.0  # of 94 dB SPL, where levels are given: a microphone that overloads at 120 dB
REFERENCE_DB = 94.0  # SPL of 1 Pa, at which microphones are calibrated
SIREN_AT_M = 3.0  # where the level of a siren is stated (SAE J1849: 10 feet)
SHADOW_DB = -20.0  # behind buildings (conf. README, "How loud is a siren?")
SHADOW_EDGE_M = 10.0  # way on which the siren comes out from behind them
PEAK_DBFS = -1.0
SHORTEST_S, LONGEST_S = 2.0, 900.0  # one window of the detector; what still fits in memory


@dataclass(frozen=True, slots=True)
class Scene:
    """What to simulate; it lasts from `start_m` before the microphone to `after_m` behind it."""

    siren: str = "wail"
    """Name of the siren within its profile."""
    profile: str = "us"
    """Country of the siren, see `sirens.TONES`."""
    start_m: float = 600.0
    """Distance along the street to the point nearest the microphone at the start, m, 1..10000."""
    after_m: float | None = None
    """How far it drives on behind the microphone, m, 1..10000; None: as far as it came."""
    speed_kmh: float = 60.0
    """Speed, km/h, 1..300."""
    pass_m: float = 8.0
    """Distance from the microphone's pole to the vehicle's lane, m, 0..1000."""
    siren_db: float = 115.0
    """Level of the siren at 3 m in the open, dB, 60..150; its gaps are counted with it."""
    street_db: float = 68.0
    """Level of the whole background, dB, 20..120."""
    snr_db: float | None = None
    """SNR of the second around the closest point over the whole background, dB, -60..60, in place of both levels."""
    in_sight_m: float | None = None
    """Buildings weaken the siren by 20 dB until it is so near along the street, m, 0..10000; None: an open road."""
    stop_line_m: float = 0.0
    """How far behind the point nearest the microphone the vehicle meets its stop line, m; negative: before it."""
    temperature_c: float = 15.0
    """Temperature of the air, degrees Celsius, -20..50."""
    humidity_percent: float = 70.0
    """Its relative humidity, %, 10..100."""
    wind_m_s: float = 0.0
    """Mean speed of the wind at the microphone, m/s, 0..30; its noise comes on top of the street's."""
    windscreen_m: float = 0.1
    """Diameter of the microphone's windscreen, m, .005..1; a bare capsule has about .01."""
    seed: int = 0
    """Seed of everything random, 0 or more."""
    background: Path | None = None
    """Sound file to use as background; None makes a synthetic street."""

    def __post_init__(self) -> None:
        """Refuse what cannot be driven.

        Raises:
            UsageError: A figure is out of range; the message names it.

        """
        for name, value, least, most in (
            ("start_m", self.start_m, 1.0, 10_000.0),
            ("after_m", self.after_m, 1.0, 10_000.0),
            ("speed_kmh", self.speed_kmh, 1.0, 300.0),
            ("pass_m", self.pass_m, 0.0, 1000.0),
            ("siren_db", self.siren_db, 60.0, 150.0),
            ("street_db", self.street_db, 20.0, 120.0),
            ("snr_db", self.snr_db, -60.0, 60.0),
            ("in_sight_m", self.in_sight_m, 0.0, 10_000.0),
            ("stop_line_m", self.stop_line_m, -self.start_m, self.start_m),
            ("temperature_c", self.temperature_c, -20.0, 50.0),
            ("humidity_percent", self.humidity_percent, 10.0, 100.0),
            ("wind_m_s", self.wind_m_s, 0.0, 30.0),
            ("windscreen_m", self.windscreen_m, 0.005, 1.0),
            ("seed", self.seed, 0, math.inf),
        ):
            if value is not None and not least <= value <= most:
                raise UsageError(f"cannot simulate {name} = {value:g}: it must be within {least:g}..{most:g}")
        if self.wind_m_s and self.snr_db is not None:
            raise UsageError("wind has a level of its own, so it needs those of siren and street: leave snr_db out")
        if not SHORTEST_S <= self.duration_s <= LONGEST_S:
            raise UsageError(
                f"{self.start_m:g} m at {self.speed_kmh:g} km/h and the way after it takes {self.duration_s:.1f} s, "
                f"not within {SHORTEST_S:g}-{LONGEST_S:g} s: change --start-m or --speed-kmh"
            )

    @property
    def duration_s(self) -> float:
        """Length of the approach and of the way after the pass, s."""
        after_m = self.start_m if self.after_m is None else self.after_m
        return (self.start_m + after_m) / (self.speed_kmh * KMH)

    @property
    def stop_line_s(self) -> float:
        """When the vehicle reaches its stop line, s."""
        return (self.start_m + self.stop_line_m) / (self.speed_kmh * KMH)

    @property
    def air(self) -> Air:
        """The weather."""
        return Air(self.temperature_c, self.humidity_percent)

    def shadow(self, emitted_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what buildings leave of what was emitted at `emitted_s` float64[n]: gain 0..1 float64[n]."""
        if self.in_sight_m is None:
            return np.ones_like(emitted_s)
        hidden_m = self.start_m - self.speed_kmh * KMH * emitted_s - self.in_sight_m
        return np.asarray(10.0 ** (SHADOW_DB * np.clip(hidden_m / SHADOW_EDGE_M, 0.0, 1.0) / 20.0))


@dataclass(frozen=True, slots=True)
class Rendered:
    """A simulated scene."""

    pcm: NDArray[np.float32]
    """float32[n], or float32[n, legs] of a junction, in [-1, 1] at `RATE_HZ`, peak at most `PEAK_DBFS`."""
    truth: dict[str, Any]
    """What is in it, as JSON values."""


@dataclass(frozen=True, slots=True)
class Balance:
    """How loud siren and street are against each other."""

    gain: float
    """Of the siren, where the street stays as it is."""
    peak_snr_db: float
    """SNR of the second around the closest point over the whole background, dB."""
    street_db: float | None
    """Level of the background, dB; None where only the ratio is known."""
    street_rms: float
    """Of the background, within `SNR_BAND_HZ`."""

    @classmethod
    def of(
        cls, scene: Scene, source: NDArray[np.float32], heard: NDArray[np.float32], street: NDArray[np.float32]
    ) -> Balance:
        """Balance what a microphone hears of the `source` float32[m] 1 m away: `heard` float32[n], in `street`.

        Raises ValueError when siren or street is silent.
        """
        closest, half = round(scene.start_m / (scene.speed_kmh * KMH) * RATE_HZ), round(SHORT_S / 2 * RATE_HZ)
        around = slice(max(closest - half, 0), closest + half)
        street_rms = rms(in_band(street))
        if scene.snr_db is not None:
            _, gain = mix(heard, street, scene.snr_db, over=around)
            return cls(gain, scene.snr_db, None, street_rms)
        source_rms = rms(in_band(source))
        if min(source_rms, street_rms) < SILENT:
            raise ValueError("levels need a siren and a background that are not silent")
        gain = 10.0 ** ((scene.siren_db - scene.street_db) / 20.0) * street_rms * SIREN_AT_M / source_rms
        return cls(gain, db(gain * rms(in_band(heard)[around]) / street_rms), scene.street_db, street_rms)

    def scale_db(self, loudness_db: float, peak: float) -> float:
        """Return by how much to amplify a mixture whose street has `loudness_db` in all bands, and that `peak`, dB.

        A street without a level gets `BACKGROUND_DBFS`; nothing clips.
        """
        wanted_db = BACKGROUND_DBFS - loudness_db
        if self.street_db is not None:
            wanted_db = MICROPHONE_DBFS + self.street_db - REFERENCE_DB - db(self.street_rms)
        return min(wanted_db, PEAK_DBFS - db(peak))

    @property
    def pascal(self) -> float:
        """What 1 Pa is where the street stays as it is; 0 where only the ratio is known."""
        return 0.0 if self.street_db is None else self.street_rms * 10.0 ** ((REFERENCE_DB - self.street_db) / 20.0)

    def of_94_db(self, scale_db: float) -> float | None:
        """Return the dBFS of 94 dB SPL in a mixture amplified by `scale_db`; None where only the ratio is known."""
        return None if self.street_db is None else scale_db + db(self.street_rms) - self.street_db + REFERENCE_DB


def described(scene: Scene, tone: sirens.Tone, balance: Balance) -> dict[str, Any]:
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


def render(scene: Scene, recorded: NDArray[np.float32] | None = None) -> Rendered:
    """Render a scene; the same scene gives the same samples.

    A `recorded` siren, float32[m], sounds in place of the scene's own, again and again.

    Raises:
        UsageError: No such profile or siren.
        InputError: The background cannot be read, is empty or silent.

    """
    tone = sirens.tone(scene.profile, scene.siren)
    samples = round(scene.duration_s * RATE_HZ)
    # Own streams, so that another siren with the same seed passes in the same street.
    siren_rng, street_rng = (np.random.default_rng(child) for child in np.random.SeedSequence(scene.seed).spawn(2))
    background = street_of(scene.background, samples, street_rng)
    geometry, air = Geometry(scene.start_m, scene.speed_kmh, scene.pass_m), scene.air
    length = geometry.source_samples(samples, RATE_HZ, air)
    if recorded is None:
        start_s = siren_rng.uniform(0.0, tone.motion.cycle_s)
        source = sirens.synthesise(tone, length, RATE_HZ, siren_rng, start_s=start_s)
    else:
        source = np.resize(recorded, length)
    siren, distance_m = drive_by(source, geometry, RATE_HZ, air=air, samples=samples)
    siren *= scene.shadow(geometry.emission_s(np.arange(samples) / RATE_HZ, air)).astype(np.float32)
    balance = Balance.of(scene, source, siren, background)
    siren *= np.float32(balance.gain)
    background = background + np.float32(balance.pascal) * turbulence(scene, samples)
    mixture = background + siren
    loudness_db = db(rms(background))
    scale_db = balance.scale_db(loudness_db, float(np.max(np.abs(mixture))))
    at = np.arange(0, samples, RATE_HZ // TRUTH_HZ)
    calibration = balance.of_94_db(scale_db)
    truth = {
        "schema": "sirend/truth/1",
        **described(scene, tone, balance),
        "background_dbfs": round(scale_db + loudness_db, 2),
        "dbfs_of_94_db": None if calibration is None else round(calibration, 2),
        "rate_hz": RATE_HZ,
        "duration_s": samples / RATE_HZ,
        "closest_s": round(geometry.closest_s, 3),
        **heard_of(short_db(siren), short_db(background), balance),
        "time_s": (at / RATE_HZ).round(3).tolist(),
        "to_stop_line_s": to_stop_line_s(scene, at),
        "distance_m": distance_m[at].round(2).tolist(),
        "meaning": MEANING,
    }
    return Rendered((mixture * 10.0 ** (scale_db / 20.0)).astype(np.float32), truth)


def write(scene: Scene, out_wav: Path, renderer: Callable[[Scene], Rendered] = render) -> Rendered:
    """Render a scene into OUT.wav (16-bit PCM, `RATE_HZ`) and OUT.json; both appear whole or not at all.

    Raises:
        UsageError: No such profile or siren, or the output is not named *.wav.
        InputError: The background cannot be read, is empty or silent.
        DeviceError: The output cannot be written.

    """
    if out_wav.suffix.lower() != ".wav":
        raise UsageError(f"the output '{out_wav}' is not named *.wav")
    if not out_wav.parent.is_dir():
        raise DeviceError(f"{out_wav}: the folder {out_wav.parent} is missing; make it, or name another")
    rendered = renderer(scene)
    wav = io.BytesIO()
    soundfile.write(wav, rendered.pcm, RATE_HZ, subtype="PCM_16", format="WAV")
    text = json.dumps(rendered.truth, indent=1, sort_keys=True, allow_nan=False) + "\n"
    outputs = {out_wav: wav.getvalue(), out_wav.with_suffix(".json"): text.encode()}
    parts = {path: path.with_name(f".{path.name}.{os.getpid()}.part") for path in outputs}
    try:
        for path, content in outputs.items():
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            parts[path].write_bytes(content)
        for path, part in parts.items():
            part.replace(path)
    except OSError as error:
        for part in parts.values():
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        raise DeviceError(f"cannot write '{out_wav}' and its truth: {error.strerror}") from error
    return rendered
