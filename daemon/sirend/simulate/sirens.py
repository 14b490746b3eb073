"""Siren tones: what is known of them as data, and how they are made into sound.

A `Tone` is one or more `Motion`s (how the pitch moves) sounding through one `Voice` (the harmonics, distortion and horn
that give the timbre). Figures carry their source; "(2nd)" marks a secondary one, "(assumed)" a number nobody publishes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from scipy import signal

from sirend.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Curve = Literal["linear", "log", "sine", "rc"]
EDGE_S = 0.012  # rise and fall of a keyed tone: shorter than a horn rings, long enough not to click
MAX_HARMONICS = 40


@dataclass(frozen=True, slots=True)
class Segment:
    """One stretch of a siren's cycle, in which the pitch goes from one value to another."""

    seconds: float
    """Length, s, over 0."""
    from_hz: float
    """Pitch at the start, Hz."""
    to_hz: float
    """Pitch at the end, Hz."""
    curve: Curve = "linear"
    """How it gets there; `rc` is the capacitor that the first electronic sirens charged and discharged."""
    gain: float = 1.0
    """Amplitude, 0 (a gap) .. 1."""

    def hz(self, part: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pitch, Hz float64[n], at `part` float64[n] of the segment, 0..1."""
        if self.curve == "log":
            return np.asarray(self.from_hz * (self.to_hz / self.from_hz) ** part)
        if self.curve == "sine":
            part = 0.5 - 0.5 * np.cos(np.pi * part)
        elif self.curve == "rc":
            part = np.expm1(-2.0 * part) / np.expm1(-2.0)
        return np.asarray(self.from_hz + (self.to_hz - self.from_hz) * part)


@dataclass(frozen=True, slots=True)
class Sweep:
    """A cycle of pitch, repeated for as long as the siren is on."""

    segments: tuple[Segment, ...]
    """The cycle, in the order played; at least one."""
    band_cpm: tuple[float, float]
    """Slowest and fastest rate still called by the siren's name, cycles a minute."""

    @property
    def cycle_s(self) -> float:
        """Length of one cycle, s."""
        return sum(segment.seconds for segment in self.segments)

    def hz(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pitch, Hz float64[n], at `seconds` float64[n] since the cycle began."""
        ends = np.cumsum([segment.seconds for segment in self.segments])
        at = np.mod(seconds, self.cycle_s)
        playing = np.minimum(np.searchsorted(ends, at, side="right"), len(ends) - 1)
        out = np.empty_like(at)
        for index, segment in enumerate(self.segments):
            here = playing == index
            out[here] = segment.hz(1.0 - (ends[index] - at[here]) / segment.seconds)
        return out

    def level(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Amplitude, 0..1 float64[n], at `seconds` float64[n] since the cycle began, with soft edges."""
        gains = np.array([segment.gain for segment in self.segments])
        starts = np.cumsum([0.0, *(segment.seconds for segment in self.segments[:-1])])
        edges = np.concatenate((starts - EDGE_S / 2, starts + EDGE_S / 2))
        return np.asarray(np.interp(seconds, edges, np.concatenate((np.roll(gains, 1), gains)), period=self.cycle_s))


@dataclass(frozen=True, slots=True)
class Voice:
    """What makes one siren sound unlike another of the same pitch."""

    even: float = 0.1
    """Even harmonics against a sawtooth's, 0 (square wave) .. 1 (sawtooth)."""
    rolloff: float = 1.0
    """Amplitude of harmonic k is k^-rolloff; 1 is a square or sawtooth, 3 nearly a sine."""
    third: float = 1.3
    """Extra gain of the third harmonic; electronic sirens are near-square with a strong third (2nd, of the PA300)."""
    drive: float = 2.0
    """How hard amplifier and driver are pushed: tanh(drive x) on a wave of peak 1."""
    band_hz: tuple[float, float] = (400.0, 4000.0)
    """What the horn lets through, Hz, second-order edges."""
    peaks: tuple[tuple[float, float], ...] = ()
    """Resonances of horn and grille: (Hz, gain in dB)."""
    breath: float = 0.0
    """Air noise against the tone, RMS ratio."""
    drift: float = 0.001
    """Slow random wander of the pitch, relative, 1 sigma."""
    softening: float = 0.0
    """Amplitude goes with pitch to this power: air chopped slower by a rotor is also chopped softer."""


@dataclass(frozen=True, slots=True)
class SirenSound:
    """A siren: who sounds it, how its pitch moves, and how it is voiced."""

    profile: str
    """Country it belongs to, a key of `TONES`, or `any`."""
    siren: str
    """Name within the profile."""
    motion: Sweep
    """The main pitch."""
    voice: Voice
    """Its timbre."""
    layers: tuple[tuple[Sweep, float], ...] = ()
    """Other pitches sounding with it and their amplitude against the main one: undertones, beats, chords."""


def _sweep(
    ends_hz: tuple[float, float], band_cpm: tuple[float, float], cpm: float, curve: Curve = "rc", rise: float = 0.5
) -> Sweep:
    """Make a pitch that goes up for `rise` of the cycle and down for the rest, `cpm` times a minute."""
    low_hz, high_hz = ends_hz
    up = Segment(60.0 / cpm * rise, low_hz, high_hz, curve)
    return Sweep((up, Segment(60.0 / cpm * (1.0 - rise), high_hz, low_hz, curve)), band_cpm)


def _steps(pitches_hz: tuple[float, ...], band_cpm: tuple[float, float], step_s: float, gap_s: float = 0.0) -> Sweep:
    """Make fixed pitches played one after the other, `step_s` each, with `gap_s` of silence after each."""
    keyed = [(Segment(step_s, hz, hz), Segment(gap_s, hz, hz, gain=0.0)) for hz in pitches_hz]
    return Sweep(tuple(segment for pair in keyed for segment in pair if segment.seconds > 0.0), band_cpm)


ELECTRONIC = Voice()
LOW_ELECTRONIC = Voice(band_hz=(330.0, 4000.0))
RUMBLER = Voice(band_hz=(150.0, 4000.0))
PNEUMATIC = Voice(even=1.0, rolloff=0.9, third=1.0, drive=0.7, band_hz=(300.0, 6000.0), breath=0.03, drift=0.002)
ROTOR = Voice(0.8, 1.1, third=1.0, drive=0.7, band_hz=(250.0, 5000.0), breath=0.06, drift=0.003, softening=1.5)
SOFT = Voice(even=0.3, rolloff=1.8, third=1.0, drive=1.0, band_hz=(400.0, 5000.0))

# California Title 13 §1028: wail 10-30, yelp 150-250 cycles a minute. §1021 ends at 400; phasers go beyond it.
WAIL, YELP, PHASER = (10.0, 30.0), (150.0, 250.0), (900.0, 1600.0)
DE, FR, FR_FIRE, JP = (34.0, 46.0), (50.0, 60.0), (25.0, 30.0), (42.0, 50.0)  # de, jp: width assumed; fr (2nd)
_BASS = _sweep((182.0, 400.0), YELP, 220.0)
_HORN = _steps((466.0,), (20.0, 60.0), 1.2, 0.6)
_BEAT = _steps((970.0, 760.0), JP, 0.65)
_PRESS, _HELD, _COAST = Segment(2.6, 400.0, 800.0, "rc"), Segment(1.4, 800.0, 800.0), Segment(12.0, 800.0, 400.0, "log")
_TABLE = (
    # Federal Signal PA300 (2nd): 725-1800 Hz; wail 15, yelp 220, priority 1300, hi-lo 70 cycles a minute.
    SirenSound("us", "wail", _sweep((725.0, 1800.0), WAIL, 15.0), ELECTRONIC),
    SirenSound(
        "us", "wail-msc", _sweep((700.0, 1600.0), WAIL, 11.0, rise=0.35), ELECTRONIC
    ),  # 012MSC (2nd), skew assumed
    SirenSound("us", "yelp", _sweep((725.0, 1800.0), YELP, 220.0), ELECTRONIC),
    SirenSound("us", "phaser", _sweep((725.0, 1800.0), PHASER, 1300.0, "linear"), ELECTRONIC),
    SirenSound(
        "us", "hilo", _steps((950.0, 1150.0), (50.0, 90.0), 60 / 140), ELECTRONIC
    ),  # pitches (2nd), band assumed
    SirenSound(
        "us", "rumbler", _sweep((725.0, 1800.0), YELP, 220.0), RUMBLER, ((_BASS, 1.0),)
    ),  # undertone 182-400 Hz (2nd)
    # Q2B (2nd): 400-800 Hz, up in 2.6 s, some 30 s to stand still; drivers press again long before (12 s: assumed).
    SirenSound("us", "mechanical", Sweep((_PRESS, _HELD, _COAST), (2.0, 7.5)), ROTOR),
    SirenSound("us", "airhorn", _steps((370.0,), (20.0, 60.0), 1.2, 0.6), PNEUMATIC, ((_HORN, 0.9),)),  # all assumed
    # DIN 14610: a perfect fourth inside 360-630 Hz; the pairs and 750 ms a tone (2nd); the stop signal's 0.3 s (2nd).
    SirenSound("de", "hilo", _steps((410.0, 547.0), DE, 0.75), ELECTRONIC),
    SirenSound("de", "hilo-country", _steps((362.0, 483.0), DE, 0.75), LOW_ELECTRONIC),
    SirenSound("de", "martin-horn", _steps((435.0, 580.0), DE, 0.72, 0.03), PNEUMATIC),  # gap assumed
    SirenSound("de", "yelp", _sweep((800.0, 1700.0), YELP, 200.0, "log"), ELECTRONIC),
    # France (2nd): first tone 435 Hz +-2 %, 50-60 cycles a minute, fire brigade 25-30.
    SirenSound("fr", "police", _steps((435.0, 580.0), FR, 60 / 110), ELECTRONIC),
    SirenSound("fr", "fire", _steps((435.0, 488.0), FR_FIRE, 60 / 55), ELECTRONIC),
    SirenSound("fr", "gendarmerie", _steps((435.0, 732.0), FR, 60 / 110), ELECTRONIC),
    SirenSound("fr", "samu", _steps((435.0, 651.0), FR, 60 / 110), ELECTRONIC),
    SirenSound("it", "hilo", _steps((392.0, 660.0), (18.0, 22.0), 1.5), ELECTRONIC),  # DM 17-10-1980: +-5 %, cycle 3 s
    # Japan JP2001-249673: 960/770 Hz, 0.65 s each, beating with 970/760 Hz (share assumed); residential 850/680 Hz.
    SirenSound("jp", "ambulance", _steps((960.0, 770.0), JP, 0.65), SOFT, ((_BEAT, 0.7),)),
    SirenSound("jp", "ambulance-residential", _steps((850.0, 680.0), JP, 0.65), SOFT),
    SirenSound(
        "jp", "police", _sweep((400.0, 900.0), (12.0, 18.0), 15.0, rise=0.55), ELECTRONIC
    ),  # 4 s; pitches assumed
    SirenSound("jp", "fire", _sweep((350.0, 850.0), (6.5, 9.0), 7.5, rise=0.55), ELECTRONIC),  # 8 s; pitches assumed
    # UK: no statutory figures found; sweeps assumed, two-tone 750-800/950-1000 Hz (2nd).
    SirenSound("uk", "wail", _sweep((600.0, 1500.0), WAIL, 14.0, "sine"), ELECTRONIC),
    SirenSound("uk", "yelp", _sweep((600.0, 1500.0), YELP, 200.0, "sine"), ELECTRONIC),
    SirenSound("uk", "hilo", _steps((975.0, 775.0), (45.0, 75.0), 0.5), ELECTRONIC),
    # Switzerland 1935 (2nd): G sharp / C sharp, 0.8-1 s each, 0.2-0.3 s apart; octave assumed.
    SirenSound("ch", "hilo", _steps((554.4, 415.3), (23.0, 30.0), 0.9, 0.25), PNEUMATIC),
)
TONES: dict[tuple[str, str], SirenSound] = {(entry.profile, entry.siren): entry for entry in _TABLE}
HORN = "airhorn"
"""It sounds in a jam, and on every lorry: no reason to stop traffic."""
CALLING = tuple(key for key in TONES if key[1] != HORN)
"""Profiles and names of the sirens that a detector has to call."""
# What a plain name means where a country has several of the kind or another word for it.
ALIASES = {
    ("fr", "hilo"): "police",
    ("jp", "hilo"): "ambulance",
    ("jp", "wail"): "police",
    ("us", "priority"): "phaser",
}


def tone(profile: str, siren: str) -> SirenSound:
    """Look up a siren by profile (`us`, `de`, ...) and name (`wail`, `hilo`, ...).

    Raises UsageError, which lists what exists, when there is no such profile or no such siren in it.
    """
    named = {**TONES, **{key: TONES[key[0], name] for key, name in ALIASES.items()}}
    if (profile, siren) in named:
        return named[profile, siren]
    profiles = sorted({country for country, _ in named})
    if profile not in profiles:
        raise UsageError(f"no siren profile '{profile}': choose one of {', '.join(profiles)}")
    here = sorted(name for country, name in named if country == profile)
    raise UsageError(f"profile '{profile}' has no siren '{siren}': choose one of {', '.join(here)}")


def instantaneous_hz(tone: SirenSound, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the pitch of the main motion, Hz float64[n], at `seconds` float64[n] since its cycle began."""
    return tone.motion.hz(seconds)


def synthesise(
    tone: SirenSound, samples: int, rate_hz: int, rng: np.random.Generator, *, start_s: float = 0.0
) -> NDArray[np.float32]:
    """Sound a siren as float32[samples] (at least 1) with peak 1.0, dry, at the horn's mouth; phase-continuous.

    Harmonics are added one by one and fade out below half the sample rate, so nothing aliases. The amplifier's
    distortion has no memory: applied to one period it only changes the harmonics, and needs no oversampling.
    `start_s` is where in the cycle the sound begins; draw it up to `tone.motion.cycle_s` for a random cut.
    """
    seconds = start_s + np.arange(samples) / rate_hz
    knots = np.arange(start_s, start_s + samples / rate_hz + 1.0, 0.5)
    wander = 1.0 + tone.voice.drift * np.interp(seconds, knots, rng.standard_normal(knots.size))
    harmonics = _harmonics(tone.voice)
    pcm, sounding = np.zeros(samples, np.float32), np.zeros(samples, np.float32)
    for motion, gain in ((tone.motion, 1.0), *tone.layers):
        hz = motion.hz(seconds) * wander
        top_hz = max(max(segment.from_hz, segment.to_hz) for segment in motion.segments)
        envelope = (gain * motion.level(seconds) * (hz / top_hz) ** tone.voice.softening).astype(np.float32)
        pcm += envelope * _additive(hz, harmonics, rate_hz)
        np.maximum(sounding, envelope, out=sounding)
    if tone.voice.breath > 0.0:  # the tone's RMS is 1 by construction
        pcm += tone.voice.breath * sounding * rng.standard_normal(samples, np.float32)
    coloured = _horn(pcm, tone.voice, rate_hz)
    return np.asarray(coloured / max(float(np.max(np.abs(coloured))), 1e-9), np.float32)


def _harmonics(voice: Voice) -> NDArray[np.complex64]:
    """Complex amplitudes complex64[MAX_HARMONICS] of the voice's distorted wave of RMS 1, harmonic 1 first."""
    k = np.arange(1, MAX_HARMONICS + 1)
    gain = k**-voice.rolloff * np.where(k % 2, 1.0, voice.even) * np.where(k == 3, voice.third, 1.0)  # noqa: PLR2004
    wave = gain @ np.sin(np.outer(k, 2 * np.pi * np.arange(2048) / 2048))
    spectrum = np.fft.rfft(np.tanh(voice.drive * wave / np.max(np.abs(wave))))[1 : MAX_HARMONICS + 1]
    return np.asarray(np.sqrt(2.0) * spectrum / np.linalg.norm(spectrum), np.complex64)


def _additive(hz: NDArray[np.float64], harmonics: NDArray[np.complex64], rate_hz: int) -> NDArray[np.float32]:
    """Sum the harmonics of the pitch `hz` float64[n] into float32[n]; each is gone before half the rate."""
    out = np.zeros(hz.size, np.float32)
    first = np.exp(2j * np.pi * np.mod(np.cumsum(hz) / rate_hz, 1.0)).astype(np.complex64)
    of_nyquist = (hz * (2.0 / rate_hz)).astype(np.float32)
    turning = first.copy()
    for k, amplitude in enumerate(harmonics, start=1):
        if k * of_nyquist.min() >= 1.0:
            break
        out += np.clip((1.0 - k * of_nyquist) * 10.0, 0.0, 1.0) * (amplitude * turning).real
        turning *= first
    return out


def _horn(pcm: NDArray[np.float32], voice: Voice, rate_hz: int) -> NDArray[np.float64]:
    """Send float32[n] through the horn: its pass band, then its resonances."""
    low, high = voice.band_hz
    sections = signal.butter(2, (low, min(high, 0.45 * rate_hz)), "bandpass", fs=rate_hz, output="sos")
    out = signal.sosfilt(sections, pcm.astype(np.float64))
    for centre_hz, gain_db in voice.peaks:
        resonance = signal.iirpeak(min(centre_hz, 0.45 * rate_hz), 3.0, fs=rate_hz)
        out += (10.0 ** (gain_db / 20.0) - 1.0) * signal.lfilter(*resonance, out)
    return np.asarray(out)


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw between two positive bounds, evenly in the logarithm."""
    return float(low * (high / low) ** rng.random())


def vary(tone: SirenSound, rng: np.random.Generator) -> SirenSound:
    """Draw a plausible other make of the same siren.

    All pitches move together by up to 5 % (the widest legal tolerance, Italy's) and the outer two apart by 2 %; the
    rate falls anywhere in its band; sweep shape, glides, gaps, harmonics, distortion, horn and breath change freely.
    """
    pitch, width, place = rng.uniform(0.95, 1.05), rng.uniform(0.98, 1.02), rng.random()
    stretch = np.exp(rng.uniform(-0.4, 0.4, 8))
    curve: Curve = get_args(Curve)[rng.integers(len(get_args(Curve)))]
    glide_s = 0.15 * rng.random() if rng.random() < 0.4 else 0.0  # noqa: PLR2004
    gap_s = 0.15 * rng.random() if rng.random() < 0.2 else 0.0  # noqa: PLR2004

    def moved(motion: Sweep) -> Sweep:
        """Apply the one draw to a motion, so that all layers stay together."""
        ends = [hz for segment in motion.segments for hz in (segment.from_hz, segment.to_hz)]
        middle = np.sqrt(min(ends) * max(ends))
        out: list[Segment] = []
        for index, segment in enumerate(motion.segments):
            start, end = (float(hz * pitch * width ** np.sign(hz - middle)) for hz in (segment.from_hz, segment.to_hz))
            gliding = segment.from_hz != segment.to_hz
            seconds = segment.seconds * stretch[index % 8] ** (1.0 if gliding else 0.1)
            before = motion.segments[index - 1]
            if gliding or before.gain == 0.0 or segment.gain == 0.0 or len(motion.segments) == 1:
                out.append(Segment(seconds, start, end, curve if gliding else "linear", segment.gain))
                continue
            # A step of a two-tone: it may slide in from the pitch before it, and may end with a short gap.
            slide, gap = min(glide_s, 0.3 * seconds), min(gap_s, 0.2 * seconds)
            before_hz = float(before.to_hz * pitch * width ** np.sign(before.to_hz - middle))
            parts = (Segment(slide, before_hz, start), Segment(seconds - slide - gap, start, end))
            out += [part for part in (*parts, Segment(gap, end, end, gain=0.0)) if part.seconds > 0.0]
        slowest, fastest = motion.band_cpm
        scale = 60.0 / (slowest * (fastest / slowest) ** place) / sum(segment.seconds for segment in out)
        return Sweep(tuple(replace(segment, seconds=segment.seconds * scale) for segment in out), motion.band_cpm)

    voice = replace(
        tone.voice,
        even=float(np.clip(tone.voice.even + rng.uniform(-0.4, 0.6), 0.0, 1.0)),
        rolloff=tone.voice.rolloff * _between(rng, 0.7, 2.2),
        third=_between(rng, 0.5, 2.5),
        drive=_between(rng, 0.3, 6.0),
        band_hz=(tone.voice.band_hz[0] * _between(rng, 0.5, 1.3), _between(rng, 2000.0, 7000.0)),
        peaks=tuple((_between(rng, 400.0, 5000.0), rng.uniform(-9.0, 9.0)) for _ in range(rng.integers(0, 4))),
        breath=tone.voice.breath * _between(rng, 0.3, 3.0) + 0.02 * rng.random(),
        drift=tone.voice.drift * _between(rng, 0.3, 4.0),
    )
    layers = tuple((moved(motion), gain * _between(rng, 0.5, 1.5)) for motion, gain in tone.layers)
    return replace(tone, motion=moved(tone.motion), voice=voice, layers=layers)


def random_tone(rng: np.random.Generator, *, free: float = 0.2) -> SirenSound:
    """Draw a varied siren: each of the table alike, or with probability `free` (0..1) one that no table here knows.

    A detector is judged on sirens nobody listed; the free ones (profile `any`) keep it from learning it by heart.
    """
    if rng.random() >= free:
        return vary(_TABLE[rng.integers(len(_TABLE))], rng)
    voice = (ELECTRONIC, PNEUMATIC, SOFT)[rng.integers(3)]
    if rng.integers(2):
        low_hz, cpm = _between(rng, 280.0, 1100.0), _between(rng, 7.0, 400.0)  # §1021: beyond 400 it is no siren
        high_hz = min(low_hz * _between(rng, 1.25, 3.5), 3000.0)
        return vary(SirenSound("any", "sweep", _sweep((low_hz, high_hz), (cpm, cpm), cpm), voice), rng)
    pitches_hz = [_between(rng, 340.0, 1100.0)]
    pitches_hz += [pitches_hz[0] * _between(rng, 1.1, 1.9) for _ in range(rng.choice((1, 1, 1, 2)))]
    step_s = _between(rng, 0.2, 1.6)
    cpm = 60.0 / step_s / len(pitches_hz)
    return vary(SirenSound("any", "steps", _steps(tuple(pitches_hz), (cpm, cpm), step_s), voice), rng)
