"""The simulated scene: a siren drives down a street with a background, and the truth is written beside the sound.

SNR here is the siren's RMS over the background's, both within 300-4000 Hz, where sirens are: traffic rumble below would
only spoil the figure.
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
from scipy import fft, signal

from sirend.errors import DeviceError, InputError, UsageError
from sirend.simulate import sirens
from sirend.simulate.street import KMH, Air, Geometry, drive_by

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

RATE_HZ = 16_000
SNR_BAND_HZ = (300.0, 4000.0)
SHORT_S = 1.0  # window of every short-term level here
TRUTH_HZ = 10  # rate of the arrays in the truth
AUDIBLE_DB = -10.0  # short-term SNR from which a tone can be heard in noise
BACKGROUND_DBFS = -36.0  # a busy street through a microphone set so that a passing lorry does not clip
PEAK_DBFS = -1.0
FLOOR_DB = -120.0
SILENT = 1e-6  # amplitude under which a recording holds nothing: -120 dBFS
CROSSFADE_S = 0.5
SHORTEST_S, LONGEST_S = 2.0, 900.0  # one window of the detector; what still fits in memory


@dataclass(frozen=True, slots=True)
class Scene:
    """What to simulate; it lasts from `start_m` before the microphone to as far behind it."""

    siren: str = "wail"
    """Name of the siren within its profile."""
    profile: str = "us"
    """Country of the siren, see `sirens.TONES`."""
    start_m: float = 300.0
    """Distance along the street to the point nearest the microphone at the start, m, 1..10000."""
    speed_kmh: float = 60.0
    """Speed, km/h, 1..300."""
    pass_m: float = 8.0
    """Distance from the microphone's pole to the vehicle's lane, m, 0..1000."""
    snr_db: float = 5.0
    """SNR of the second around the closest point over the whole background, dB, -60..60, see above."""
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
            ("speed_kmh", self.speed_kmh, 1.0, 300.0),
            ("pass_m", self.pass_m, 0.0, 1000.0),
            ("snr_db", self.snr_db, -60.0, 60.0),
            ("seed", self.seed, 0, math.inf),
        ):
            if not least <= value <= most:
                raise UsageError(f"cannot simulate {name} = {value:g}: it must be within {least:g}..{most:g}")
        if not SHORTEST_S <= self.duration_s <= LONGEST_S:
            raise UsageError(
                f"{self.start_m:g} m at {self.speed_kmh:g} km/h and as far again takes {self.duration_s:.1f} s, "
                f"not within {SHORTEST_S:g}-{LONGEST_S:g} s: change --start-m or --speed-kmh"
            )

    @property
    def duration_s(self) -> float:
        """Length of the approach and the same way after the pass, s."""
        return 2.0 * self.start_m / (self.speed_kmh * KMH)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A simulated scene."""

    pcm: NDArray[np.float32]
    """float32[n], or float32[n, legs] of a junction, in [-1, 1] at `RATE_HZ`, peak at most `PEAK_DBFS`."""
    truth: dict[str, Any]
    """What is in it, as JSON values."""


def described(scene: Scene, tone: sirens.Tone) -> dict[str, Any]:
    """Return what a truth says of the scene itself, JSON values."""
    return {
        "siren": scene.siren,
        "profile": scene.profile,
        "tone": asdict(tone),
        "start_m": scene.start_m,
        "speed_kmh": scene.speed_kmh,
        "pass_m": scene.pass_m,
        "peak_snr_db": scene.snr_db,
        "seed": scene.seed,
        "background": "synthetic street" if scene.background is None else scene.background.name,
    }


def render(scene: Scene) -> Rendered:
    """Render a scene; the same scene gives the same samples.

    Raises:
        UsageError: No such profile or siren.
        InputError: The background cannot be read, is empty or silent.

    """
    tone = sirens.tone(scene.profile, scene.siren)
    samples = round(scene.duration_s * RATE_HZ)
    # Own streams, so that another siren with the same seed passes in the same street.
    siren_rng, street_rng = (np.random.default_rng(child) for child in np.random.SeedSequence(scene.seed).spawn(2))
    background = street(scene, samples, street_rng)
    geometry, air = Geometry(scene.start_m, scene.speed_kmh, scene.pass_m), Air()
    source = sirens.synthesise(
        tone,
        geometry.source_samples(samples, RATE_HZ, air),
        RATE_HZ,
        siren_rng,
        start_s=siren_rng.uniform(0.0, tone.motion.cycle_s),
    )
    siren, distance_m = drive_by(source, geometry, RATE_HZ, air=air, samples=samples)
    closest, half = round(geometry.closest_s * RATE_HZ), round(SHORT_S / 2 * RATE_HZ)
    around = slice(max(closest - half, 0), closest + half)
    mixture, gain = mix(siren, background, scene.snr_db, over=around)
    loudness_db = _db(rms(background))
    scale_db = min(BACKGROUND_DBFS - loudness_db, PEAK_DBFS - _db(float(np.max(np.abs(mixture)))))
    snr_db = np.maximum(short_db(gain * siren) - short_db(background), FLOOR_DB)
    audible = np.flatnonzero(snr_db > AUDIBLE_DB)
    at = np.arange(snr_db.size) * (RATE_HZ // TRUTH_HZ)
    low_hz, high_hz = SNR_BAND_HZ
    truth = {
        "schema": "sirend/truth/1",
        **described(scene, tone),
        "background_dbfs": round(scale_db + loudness_db, 2),
        "rate_hz": RATE_HZ,
        "duration_s": samples / RATE_HZ,
        "closest_s": round(geometry.closest_s, 3),
        "audible_from_s": audible[0] / TRUTH_HZ if audible.size else None,
        "audible_to_s": audible[-1] / TRUTH_HZ if audible.size else None,
        "time_s": (at / RATE_HZ).round(3).tolist(),
        "distance_m": distance_m[at].round(2).tolist(),
        "snr_db": snr_db.round(2).tolist(),
        "meaning": {
            "peak_snr_db": f"siren RMS in the {SHORT_S:g} s around closest_s over the RMS of the whole background, "
            f"both in {low_hz:g}-{high_hz:g} Hz",
            "snr_db": f"siren RMS over background RMS in the {SHORT_S:g} s around time_s, {low_hz:g}-{high_hz:g} Hz",
            "audible_from_s": f"first time_s with snr_db over {AUDIBLE_DB:g} dB; audible_to_s is the last",
            "distance_m": "siren to microphone where the vehicle is at time_s, not where it sounds to be",
        },
    }
    return Rendered((mixture * 10.0 ** (scale_db / 20.0)).astype(np.float32), truth)


def street(scene: Scene, samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the background of a scene, float32[samples]: its recording, or a synthetic street.

    Raises:
        InputError: The recording cannot be read, is empty or silent.

    """
    if scene.background is None:
        return synthetic_street(samples, rng)
    return _looped(_read(scene.background, samples), samples)


def write(scene: Scene, out_wav: Path, renderer: Callable[[Scene], Rendered] = render) -> Rendered:
    """Render a scene into OUT.wav (16-bit PCM, `RATE_HZ`) and OUT.json; both appear whole or not at all.

    Raises:
        UsageError: No such profile or siren, or the output is not named *.wav.
        InputError: The background cannot be read, is empty or silent.
        DeviceError: The output cannot be written.

    """
    if out_wav.suffix.lower() != ".wav":
        raise UsageError(f"the output '{out_wav}' is not named *.wav")
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


def mix(
    siren: NDArray[np.float32], background: NDArray[np.float32], snr_db: float, *, over: slice = slice(None)
) -> tuple[NDArray[np.float32], float]:
    """Add a siren float32[n] to a background float32[n], both at `RATE_HZ`: (mixture float32[n], gain of the siren).

    `snr_db` is the siren's RMS within `over` over that of the whole background, both in `SNR_BAND_HZ`. The background
    stays as loud as it is; the mixture may exceed 1. Raises ValueError when the siren or the background is silent.
    """
    siren_rms, background_rms = rms(_in_band(siren)[over]), rms(_in_band(background))
    if min(siren_rms, background_rms) < SILENT:
        raise ValueError("an SNR needs a siren and a background that are not silent")
    gain = 10.0 ** (snr_db / 20.0) * background_rms / siren_rms
    return np.asarray(background + np.float32(gain) * siren, np.float32), gain


def synthetic_street(samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Make up a street: float32[samples] of traffic rumble, passing cars with tyre hiss, and a thud now and then.

    RMS is 1. Spectra and rates are chosen by ear and eye, not measured; a real `background` is the better test.
    """
    seconds = np.arange(samples) / RATE_HZ
    length_s = samples / RATE_HZ
    knots_s = np.arange(0.0, length_s + 8.0, 4.0)
    swell = 10.0 ** (np.interp(seconds, knots_s, 3.0 * rng.standard_normal(knots_s.size)) / 20.0)
    # Cars pass every seven seconds or so; incoherent sources add in power.
    cars = np.zeros(samples)
    for _ in range(rng.poisson(length_s / 7.0)):
        lane_m, speed_m_s = rng.uniform(5.0, 15.0), rng.uniform(7.0, 16.0)
        along_m = (seconds - rng.uniform(0.0, length_s)) * speed_m_s
        cars += (8.0 * 10.0 ** (3.0 * rng.standard_normal() / 20.0)) ** 2 / (lane_m**2 + along_m**2)
    rumble = swell * _noise(samples, rng, lambda hz: hz / (30.0 + hz) / (1.0 + (hz / 90.0) ** 1.1))
    tyres = _noise(samples, rng, lambda hz: (hz / 800.0) / (1.0 + (hz / 900.0) ** 2.4))
    haze = _noise(samples, rng, lambda hz: 1.0 / (1.0 + hz / 1000.0))
    street = rumble * (1.0 + np.sqrt(cars)) + 0.5 * np.sqrt(cars) * tyres + 0.04 * haze
    for _ in range(rng.poisson(length_s / 20.0)):
        # A wheel over a manhole cover: the body booms, the lid clacks.
        since = seconds - rng.uniform(0.0, length_s)
        struck = np.flatnonzero((since >= 0.0) & (since < 0.5))  # noqa: PLR2004 - long after it has died away
        boom = np.sin(2 * np.pi * rng.uniform(50.0, 110.0) * since[struck]) * np.exp(-since[struck] / 0.08)
        clack = rng.standard_normal(struck.size) * np.exp(-since[struck] / 0.012)
        street[struck] += rng.uniform(2.0, 5.0) * boom + clack
    return np.asarray(street / rms(street), np.float32)


def _noise(
    samples: int, rng: np.random.Generator, gain: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Make noise float64[samples] of RMS 1 with the amplitude spectrum `gain` of Hz."""
    length = fft.next_fast_len(samples + 1, real=True)
    hz = fft.rfftfreq(length, 1.0 / RATE_HZ)
    white = rng.standard_normal(hz.size) + 1j * rng.standard_normal(hz.size)
    noise = fft.irfft(gain(hz) * white, length)[:samples]
    return np.asarray(noise / rms(noise))


def _read(path: Path, samples: int) -> NDArray[np.float32]:
    """Read the beginning of a sound file, mixed down, at `RATE_HZ`: float32[n], at most `samples`."""
    try:
        with path.open("rb") as stream, soundfile.SoundFile(stream) as file:
            rate_hz = file.samplerate
            pcm = file.read(math.ceil(samples * rate_hz / RATE_HZ), dtype="float32", always_2d=True).mean(axis=1)
    except OSError as error:
        raise InputError(f"cannot read the background '{path}': {error.strerror}") from error
    except soundfile.SoundFileError as error:
        raise InputError(f"the background '{path}' is not a sound file that libsndfile reads: {error}") from error
    if not pcm.size:
        raise InputError(f"the background '{path}' is empty")
    if not np.isfinite(pcm).all():
        raise InputError(f"the background '{path}' has samples that are not numbers")
    common = math.gcd(rate_hz, RATE_HZ)
    pcm = signal.resample_poly(pcm, RATE_HZ // common, rate_hz // common)[:samples]
    if rms(_in_band(pcm)) < SILENT:
        raise InputError(f"the background '{path}' is silent: an SNR over it means nothing")
    return np.asarray(pcm, np.float32)


def _looped(pcm: NDArray[np.float32], samples: int) -> NDArray[np.float32]:
    """Repeat float32[m] until it is float32[samples], its end faded into its beginning at equal power."""
    if pcm.size >= samples:
        return pcm[:samples]
    fade = min(round(CROSSFADE_S * RATE_HZ), pcm.size // 2)
    angle = np.linspace(0.0, np.pi / 2, fade, dtype=np.float32)
    turn = pcm[:fade] * np.sin(angle) + pcm[pcm.size - fade :] * np.cos(angle)
    loop = np.concatenate((pcm[fade : pcm.size - fade], turn))
    return np.concatenate((pcm[:fade], np.resize(loop, samples - fade)))


def _in_band(pcm: NDArray[np.float32]) -> NDArray[np.float64]:
    """Filter float32[n] to `SNR_BAND_HZ`: float64[n]."""
    sections = signal.butter(4, SNR_BAND_HZ, "bandpass", fs=RATE_HZ, output="sos")
    return np.asarray(signal.sosfilt(sections, np.asarray(pcm, np.float64)))


def short_db(pcm: NDArray[np.float32]) -> NDArray[np.float64]:
    """Level within `SNR_BAND_HZ` of the `SHORT_S` around each point, dB float64[k], `TRUTH_HZ` points a second."""
    energy = np.concatenate(([0.0], np.cumsum(np.square(_in_band(pcm)))))
    middle = np.arange(0, pcm.size, RATE_HZ // TRUTH_HZ)
    half = round(SHORT_S / 2 * RATE_HZ)
    begin, end = np.maximum(middle - half, 0), np.minimum(middle + half, pcm.size)
    return np.asarray(10.0 * np.log10((energy[end] - energy[begin]) / (end - begin) + SILENT**2))


def rms(pcm: NDArray[np.float32] | NDArray[np.float64]) -> float:
    """RMS of any array."""
    return float(np.sqrt(np.mean(np.square(pcm, dtype=np.float64))))


def _db(amplitude: float) -> float:
    """Amplitude in dB."""
    return 20.0 * math.log10(amplitude)
