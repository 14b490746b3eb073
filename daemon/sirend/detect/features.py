"""The only feature extractor there is: pcm -> log-mel spectrogram. The daemon and the training share it.

A window's features are made of frames on a fixed grid, so that a hop needs only the frames of its new samples
(``Extractor``). Levels are left as they are: see ``site_gain``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import fft

from sirend.audio.tape import Tape
from sirend.detect.frames import framed
from sirend.detect.memory import Memory

if TYPE_CHECKING:
    from sirend.audio.stream import Pcm, Samples, Window

Features = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FeatureSpec:
    """What a model was trained on. Every field takes part in ``digest``; the manifest of a bundle holds them all."""

    sample_rate_hz: int = 16_000
    window_samples: int = 32_000
    frame_samples: int = 400
    """Length of the periodic Hann window: 25 ms, as in AudioSet networks."""
    step_samples: int = 160
    """Distance between frames: 10 ms."""
    fft_samples: int = 512
    bands: int = 64
    low_hz: float = 125.0
    high_hz: float = 7500.0
    log_offset: float = 0.001
    """Added to a mel magnitude before the logarithm."""

    @property
    def frames(self) -> int:
        """Frames in a window."""
        return 1 + (self.window_samples - self.frame_samples) // self.step_samples

    @property
    def digest(self) -> str:
        """SHA-256 of the fields in canonical JSON."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @cached_property
    def hann(self) -> Features:
        """Periodic Hann window, float32[frame_samples]."""
        phase = 2.0 * np.pi * np.arange(self.frame_samples) / self.frame_samples
        return (0.5 - 0.5 * np.cos(phase)).astype(np.float32)

    @cached_property
    def mel_weights(self) -> Features:
        """Triangular filters on the HTK mel scale, float32[fft_samples // 2 + 1, bands]; the DC bin weighs nothing."""
        bins = fft.rfftfreq(self.fft_samples, 1.0 / self.sample_rate_hz)
        edges = np.linspace(_mel(self.low_hz), _mel(self.high_hz), self.bands + 2)
        mel = _mel(bins)[:, np.newaxis]
        rising = (mel - edges[:-2]) / (edges[1:-1] - edges[:-2])
        falling = (edges[2:] - mel) / (edges[2:] - edges[1:-1])
        weights = np.maximum(0.0, np.minimum(rising, falling))
        weights[0] = 0.0
        return weights.astype(np.float32)


def _mel(hz: float | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return HTK mel: 1127 ln(1 + f / 700)."""
    return np.asarray(1127.0 * np.log1p(np.asarray(hz) / 700.0))


def mel_frames(spec: FeatureSpec, pcm: Pcm) -> Features:
    """Return the linear mel magnitudes of float32[..., n] samples: float32[..., frames, bands]."""
    frames = framed(pcm, spec.frame_samples, spec.step_samples)
    padded = np.zeros((*frames.shape[:-1], spec.fft_samples), np.float32)
    np.multiply(frames, spec.hann, out=padded[..., : spec.frame_samples])
    # abs() of complex numbers guards against overflow that samples in [-1, 1] cannot cause, at five times the cost.
    parts = fft.rfft(padded, axis=-1).view(np.float32)
    np.square(parts, out=parts)
    magnitude = parts[..., ::2] + parts[..., 1::2]
    return np.asarray(np.sqrt(magnitude, out=magnitude) @ spec.mel_weights, dtype=np.float32)


def log_mel(spec: FeatureSpec, mel: Features, gain: npt.NDArray[np.floating[Any]] | float = 1.0) -> Features:
    """Return what a network hears of linear mel magnitudes float32[..., frames, bands] at the level ``gain`` gives."""
    heard = mel * np.asarray(gain, np.float32)
    return np.asarray(np.log(heard + np.float32(spec.log_offset)), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Spectrogram:
    """A window in the mel domain, for a network to take what it needs of it."""

    spec: FeatureSpec
    mel: Features
    """Linear magnitudes float32[approaches, frames, bands]; the last frames are the window's, with those before it
    that patches of the new samples reach back to."""
    end: Samples
    """The window's end."""
    memory: Memory
    """What was made of the stream so far; whoever listens leaves there what the next window needs."""

    def until(self, end: int, frames: int) -> Features | None:
        """Return the last ``frames`` frames before sample ``end``, linear float32[approaches, frames, bands].

        Frames lie on a grid of ``step_samples`` that the stream's begin lies on. None where the first of them is not
        known, as the stream began or broke since.
        """
        spec = self.spec
        back = -(-(self.end - end) // spec.step_samples)  # frames that end after ``end``
        last = self.mel.shape[1] - back
        return self.mel[:, last - frames : last] if last >= frames else None


class Extractor:
    """Spectrograms of consecutive windows, computing only the frames that a hop brings."""

    def __init__(self, spec: FeatureSpec) -> None:
        """Start with nothing remembered."""
        self.spec = spec
        self._memory = Memory()
        self._mel = Tape(spec.frames)
        self.forget()

    def forget(self, *, is_fault: bool = True) -> None:
        """Forget the stream so far, at a gap. One that is no fault leaves what is known of the site's level."""
        self._mel.clear()
        self._tail: Pcm | None = None
        self._end = 0
        self._memory = Memory() if is_fault else Memory(gain=self._memory.gain)

    def spectrogram(self, window: Window) -> Spectrogram:
        """Return the spectrogram of ``window``; one that does not follow on the last begins anew."""
        spec, pcm = self.spec, window.pcm
        is_next = self._tail is not None and window.end - self._end == window.fresh
        if self._tail is not None and not is_next:
            self.forget(is_fault=False)
        if self._tail is None or window.fresh % spec.step_samples:
            self._mel.clear()
            new = mel_frames(spec, pcm)
        else:
            new = mel_frames(spec, np.concatenate((self._tail, pcm[:, pcm.shape[1] - window.fresh :]), axis=1))
        # A hop may be as long as a window: then a patch of its first samples begins in the window before.
        mel = self._mel.append(new)
        # The next frame begins a step after the last one.
        self._tail = pcm[:, (spec.frames * spec.step_samples) :]
        self._end = window.end
        return Spectrogram(spec, mel, window.end, self._memory)
