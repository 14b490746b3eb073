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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from sirend.errors import DeviceError, UsageError
from sirend.simulate import sirens, synthesis
from sirend.simulate.background import background as street_of
from sirend.simulate.balance import Balance
from sirend.simulate.levels import RATE_HZ, TRUTH_HZ, db, rms, short_db
from sirend.simulate.street import KMH, Air, DriveBy, drive_by
from sirend.simulate.truth import MEANING, described, heard_of, to_stop_line_s
from sirend.simulate.wind import turbulence

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

SHADOW_DB = -20.0  # behind buildings (conf. README, "How loud is a siren?")
SHADOW_EDGE_M = 10.0  # way on which the siren comes out from behind them
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


def render_scene(scene: Scene, recorded: NDArray[np.float32] | None = None) -> Rendered:
    """Render a scene; the same scene gives the same samples.

    A `recorded` siren, float32[m], sounds in place of the scene's own, again and again.

    Raises:
        UsageError: No such profile or siren.
        InputError: The background cannot be read, is empty or silent.

    """
    tone = sirens.find_siren(scene.profile, scene.siren)
    samples = round(scene.duration_s * RATE_HZ)
    # Own streams, so that another siren with the same seed passes in the same street.
    siren_rng, street_rng = (np.random.default_rng(child) for child in np.random.SeedSequence(scene.seed).spawn(2))
    background = street_of(scene.background, samples, street_rng)
    geometry, air = DriveBy(scene.start_m, scene.speed_kmh, scene.pass_m), scene.air
    length = geometry.source_samples(samples, RATE_HZ, air)
    if recorded is None:
        start_s = siren_rng.uniform(0.0, tone.motion.cycle_s)
        source = synthesis.synthesise(tone, length, RATE_HZ, siren_rng, start_s=start_s)
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


def write_scene(scene: Scene, out_wav: Path, renderer: Callable[[Scene], Rendered] = render_scene) -> Rendered:
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
