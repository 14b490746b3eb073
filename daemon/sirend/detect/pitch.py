"""Pitch of the strongest tone over the last seconds: what a sweep or an alternation is measured on.

Short frames on a fixed grid of the stream; each hop computes only those that it completes. A frame's pitch is its
strongest partial above ``LOW_HZ``, or that partial's half or third where a clear partial stands there too: an
electronic siren's third harmonic may be louder than its first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import fft

from sirend.audio.stream import SAMPLE_RATE_HZ, SILENCE_DBFS, to_samples
from sirend.detect.frames import framed

if TYPE_CHECKING:
    from sirend.audio.stream import Pcm, Window

LOW_HZ, HIGH_HZ = 250.0, 2500.0
"""Every siren of ``sirens.TONES`` sounds between these, but for its undertones."""
MEMORY_S = 8.0
"""One cycle of the slowest siren in use, the Japanese fire brigade's."""
STEP = 500
"""Samples between frames, 31.25 ms: eight or nine in a cycle of yelp."""
FRAME = 768
"""Samples in a frame, 48 ms: a yelp sweeps 250 Hz meanwhile. Longer frames lose it, shorter ones lose faint tones."""
TONAL = 0.3
"""Strength from which a frame's pitch and level are a tone's; a street alone has .1 to .3."""
LINGER_S = 2.0
"""A tone is followed for so long after it is of interest: to begin anew costs as much as a window of frames."""
LEVEL_S = 2.0
"""How loud a tone is, is said over so long."""
_FFT = 2048
_STRONGEST_HZ = 5000.0
"""Tones are weighed against all sound up to here."""
_LOBE = 5
"""Bins to either side in which a partial lies: the main lobe of the Hann window is 2 / 48 ms = 42 Hz = 5.3 bins."""
_SUBHARMONIC = 0.4
"""A half or third is the pitch when its amplitude is such a share of the strongest partial's, and it is a peak."""
_PEAK = 2.5
"""A peak is so much stronger than what lies just outside its main lobe."""
_PARTIALS = np.array((1, 2, 3))
_PARTS = np.array((2, 3), np.float32)
_ABOUT = np.array((-1, 0, 1, -8, -7, 7, 8))
"""Bins of a peak, and after these the bins just outside its main lobe."""
_ABOUT_PARTIAL = np.arange(-_LOBE, _LOBE + 1)
_SILENT = 1e-12

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pitch:
    """The frames of every approach over the last seconds, oldest first."""

    at: npt.NDArray[np.int64]
    """Samples int64[frames]: the middle of each frame, counted since the stream began."""
    hz: Floats
    """Pitch, float32[approaches, frames], ``LOW_HZ``..``HIGH_HZ``; means nothing where ``strength`` is low."""
    strength: Floats
    """Share of the sound's power that lies in the first three partials of ``hz``, float32[approaches, frames], 0..1.

    Weighed by frequency, as street noise is not. Noise alone has .1 to .3, a tone at 0 dB half.
    """
    level_dbfs: Floats
    """RMS level of those partials, float32[approaches, frames]; ``-120`` for silence."""


class PitchTracker:
    """Follows the pitch of consecutive windows of all approaches."""

    def __init__(self, memory_s: float = MEMORY_S) -> None:
        """Remember the last ``memory_s`` seconds."""
        self._memory = to_samples(memory_s)
        self.reset()

    def reset(self) -> None:
        """Forget everything: the frames before a gap lie at an unknown distance."""
        self._end: int | None = None
        self._wanted: int | None = None
        self._at = np.zeros(0, np.int64)
        self._frames: Floats | None = None

    @property
    def remembered(self) -> int:
        """Frames that are remembered."""
        return self._at.size

    def follow(self, window: Window, *, is_wanted: bool) -> Pitch:
        """Return the pitch up to the end of ``window`` while it is of interest and shortly after, else no frames.

        The first window that is of interest brings its two seconds, so that nothing of a siren heard in it is lost.
        """
        if is_wanted:
            self._wanted = window.end
        elif self._wanted is None or window.end - self._wanted > to_samples(LINGER_S):
            self.reset()
            none = np.zeros((len(window.pcm), 0), np.float32)
            return Pitch(self._at, none, none, none)
        return self.update(window)

    def update(self, window: Window) -> Pitch:
        """Return the pitch up to the end of ``window``; one that does not follow on the one before begins anew.

        Hops within a frame of the window's length lose a frame each.
        """
        if self._end is not None and window.end - self._end > window.fresh:
            self.reset()
        start = window.end - window.pcm.shape[1]
        # The grid is the stream's, not the window's: frames end at multiples of STEP whatever the hop.
        first = max(-(-(start + FRAME) // STEP), 1 if self._end is None else self._end // STEP + 1)
        ends = np.arange(first, window.end // STEP + 1, dtype=np.int64) * STEP
        self._end = window.end
        found = np.zeros((3, len(window.pcm), 0), np.float32)
        if ends.size:
            fresh = window.pcm[:, int(ends[0]) - FRAME - start : int(ends[-1]) - start]
            found = measure_pitch(fresh)
        self._at = np.concatenate((self._at, ends - FRAME // 2))
        self._frames = found if self._frames is None else np.concatenate((self._frames, found), axis=2)
        keep = int(np.searchsorted(self._at, window.end - self._memory))
        self._at, self._frames = self._at[keep:], self._frames[..., keep:]
        hz, strength, level_dbfs = self._frames
        return Pitch(self._at, hz, strength, level_dbfs)


def measure_pitch(pcm: Pcm) -> Floats:
    """Return pitch (Hz), strength (0..1) and level (dBFS) of float32[approaches, n]: float32[3, approaches, frames].

    Frames of ``FRAME`` samples begin every ``STEP`` from the first.
    """
    grid = _grid()
    frames = framed(pcm, FRAME, STEP)
    spectrum = fft.rfft(frames * grid.hann, _FFT, axis=-1, overwrite_x=True)[..., : grid.top]
    tilted = np.square(spectrum.real)
    tilted += np.square(spectrum.imag)
    tilted *= grid.tilt  # power x Hz: near white for a street
    tilted = tilted.reshape(-1, grid.top)
    row = np.arange(len(tilted))
    strongest = grid.low + tilted[:, grid.low : grid.high].argmax(axis=1)
    peak = tilted[row, strongest]
    # A half and a third, int64[frames, 2]: the tilt takes 2 or 3 from the power of a tone there.
    bins = np.rint(strongest[:, np.newaxis] / _PARTS).astype(np.int64)
    about = tilted[row[:, np.newaxis, np.newaxis], bins[..., np.newaxis] + _ABOUT]
    near, beside = about[..., :3].max(axis=2), about[..., 3:].max(axis=2)
    is_loud = near * _PARTS > _SUBHARMONIC**2 * peak[:, np.newaxis]
    is_there = (bins >= grid.low) & is_loud & (near > _PEAK**2 * beside)
    harmonic = np.where(is_there[:, 1], 3, np.where(is_there[:, 0], 2, 1))
    hz = (strongest + _offset(tilted, row, strongest)) * (SAMPLE_RATE_HZ / _FFT) / harmonic
    # Every partial's main lobe: bins int64[frames, partials, lobe]. Partials beyond the top count as nothing.
    middle = np.rint(np.outer(hz, _PARTIALS) * (_FFT / SAMPLE_RATE_HZ)).astype(np.int64)
    is_below = middle < grid.top - _LOBE
    middle = np.where(is_below, middle, _LOBE)
    lobe = tilted[row[:, np.newaxis, np.newaxis], middle[..., np.newaxis] + _ABOUT_PARTIAL]
    partials = lobe.sum(axis=2, dtype=np.float64) * is_below
    everything = tilted[:, grid.low // 2 :].sum(axis=1, dtype=np.float64)
    share = np.minimum(partials.sum(axis=1) / np.maximum(everything, _SILENT), 1.0)
    of_partials = (partials / grid.tilt[middle]).sum(axis=1)
    found = np.empty((3, len(tilted)), np.float32)
    found[0] = hz
    found[1] = np.where(everything > _SILENT, share, 0.0)
    found[2] = 10.0 * np.log10(np.maximum(of_partials * grid.to_power, _SILENT))
    return found.reshape(3, *frames.shape[:2])


@dataclass(frozen=True)
class _Grid:
    """What every frame is multiplied by and looked up with."""

    hann: Floats
    tilt: Floats
    """Bin frequency over 1 kHz."""
    low: int
    """First bin of the pitch."""
    high: int
    """Bin after its last."""
    top: int
    """Bin after the last that is weighed."""
    to_power: float
    """Mean square of a sine from the sum of its bins' squared magnitudes."""


@cache
def _grid() -> _Grid:
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(FRAME) / FRAME)
    bin_hz = SAMPLE_RATE_HZ / _FFT
    top = int(_STRONGEST_HZ / bin_hz)
    return _Grid(
        hann=hann.astype(np.float32),
        tilt=(np.arange(top) * (bin_hz / 1000.0)).astype(np.float32),
        low=int(np.ceil(LOW_HZ / bin_hz)),
        high=int(HIGH_HZ / bin_hz) + 1,
        top=top,
        to_power=float(2.0 / (_FFT * np.sum(np.square(hann)))),  # Parseval; both halves of the spectrum
    )


def _offset(power: Floats, row: npt.NDArray[np.int64], centre: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return where the parabola through the log of three bins peaks, -0.5..0.5 bins off the middle one."""
    left, here, right = np.log(power[row, centre + _ABOUT[:3, np.newaxis]] + _SILENT, dtype=np.float64)
    bend = left - 2.0 * here + right
    return np.clip(np.where(bend < -_SILENT, 0.5 * (left - right) / np.minimum(bend, -_SILENT), 0.0), -0.5, 0.5)


def tone_level_dbfs(pitch: Pitch, row: int) -> float:
    """Return how loud the tone of approach ``row`` is over ``LEVEL_S``, dBFS: its frames by how tonal they are."""
    if not pitch.at.size:
        return SILENCE_DBFS
    begin = int(np.searchsorted(pitch.at, pitch.at[-1] - to_samples(LEVEL_S)))
    weight = np.square(pitch.strength[row, begin:])
    total = float(weight.sum())
    return float(weight @ pitch.level_dbfs[row, begin:]) / total if total > 0.0 else SILENCE_DBFS
