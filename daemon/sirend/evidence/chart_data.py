"""What a picture shows of one recording, collected in bounded memory while it is judged."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from copy import copy
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sirend.audio.stream import SAMPLE_RATE_HZ, Block
from sirend.call.state import CallState
from sirend.detect.motion import Motion
from sirend.detect.pitch import FRAME as PITCH_FRAME
from sirend.detect.pitch import STEP as PITCH_STEP
from sirend.detect.pitch import TONAL, measure_pitch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sirend.audio.stream import Gap, Pcm, Score
    from sirend.call.event import Event
    from sirend.call.rules import Rules
    from sirend.call.sector import Sector
    from sirend.detect.tracker import Track
    from sirend.evidence.drive import Drive

COLUMNS = 1_600
"""Most columns of a spectrogram: as many as the picture has pixels across. A longer recording has wider ones."""
HOUR_S = 3600.0
"""What a picture of its own shows of a longer recording."""
MOST_HOURS = 24
"""Hours whose columns are as fine as those of one; what is longer has coarser ones, so that memory stays bounded."""
FRAME = 512
"""Length of a Fourier transform in samples: 32 ms, 31 Hz a bin."""


@dataclass(slots=True)
class Trace:
    """One approach's windows, one value a window in each list."""

    end_s: array[float] = field(default_factory=lambda: array("d"))
    score: array[float] = field(default_factory=lambda: array("f"))
    evidence: array[float] = field(default_factory=lambda: array("f"))
    level_dbfs: array[float] = field(default_factory=lambda: array("f"))
    motion: list[Motion] = field(default_factory=list)

    def part(self, start_s: float, end_s: float) -> Trace:
        """Return the windows that end from ``start_s`` until ``end_s``."""
        kept = slice(bisect_left(self.end_s, start_s), bisect_left(self.end_s, end_s))
        return Trace(
            self.end_s[kept], self.score[kept], self.evidence[kept], self.level_dbfs[kept], motion=self.motion[kept]
        )


@dataclass(slots=True)
class BearingTrack:
    """Where an array heard the siren, one value in each list for each window in which it knew."""

    end_s: array[float] = field(default_factory=lambda: array("d"))
    deg: array[float] = field(default_factory=lambda: array("f"))
    """Compass bearing, 0..360."""
    sd_deg: array[float] = field(default_factory=lambda: array("f"))

    def part(self, start_s: float, end_s: float) -> BearingTrack:
        """Return the windows that end from ``start_s`` until ``end_s``."""
        kept = slice(bisect_left(self.end_s, start_s), bisect_left(self.end_s, end_s))
        return BearingTrack(self.end_s[kept], self.deg[kept], self.sd_deg[kept])


@dataclass(frozen=True, slots=True)
class CallSpan:
    """One call of one approach; times in s from the beginning."""

    start_s: float
    end_s: float
    start: Event
    end: Event | None
    """None when the recording ended first."""


@dataclass(slots=True)
class PitchTrack:
    """The strongest tone of a stream of sound, one point for so many frames."""

    frames: int
    """Frames of ``pitch.STEP`` samples that a point stands for, 1 or more."""
    at_s: array[float] = field(default_factory=lambda: array("d"))
    hz: array[float] = field(default_factory=lambda: array("f"))
    strength: array[float] = field(default_factory=lambda: array("f"))
    """``pitch.TONAL``..1."""
    _held: Pcm = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    _begin: int = 0
    """Sample that ``_held`` begins with."""

    def part(self, start_s: float, end_s: float) -> PitchTrack:
        """Return the points from ``start_s`` until ``end_s``."""
        kept = slice(bisect_left(self.at_s, start_s), bisect_left(self.at_s, end_s))
        return PitchTrack(self.frames, self.at_s[kept], self.hz[kept], self.strength[kept])

    def add_sound(self, pcm: Pcm) -> None:
        """Take the next float32[n]. A point is the median of its frames that are a tone, if that is half of them."""
        self._held = np.concatenate((self._held, pcm))
        step = self.frames * PITCH_STEP
        points = max(0, (len(self._held) - PITCH_FRAME + PITCH_STEP) // step)
        if not points:
            return
        used = points * step
        hz, strength, _ = measure_pitch(self._held[np.newaxis, : used - PITCH_STEP + PITCH_FRAME])[:, 0]
        for point, (tones, strengths) in enumerate(
            zip(hz.reshape(points, -1), strength.reshape(points, -1), strict=True)
        ):
            is_tone = strengths >= TONAL
            if 2 * int(is_tone.sum()) >= self.frames:
                middle = self._begin + point * step + (step - PITCH_STEP + PITCH_FRAME) / 2
                self.at_s.append(middle / SAMPLE_RATE_HZ)
                self.hz.append(float(np.median(tones[is_tone])))
                self.strength.append(float(np.median(strengths[is_tone])))
        self._held = self._held[used:]
        self._begin += used


class ChartData:
    """Everything that the picture shows of one recording."""

    def __init__(self, name: str, duration_s: float, rules: Rules, *, column_samples: int | None = None) -> None:
        """Collect for a recording ``name`` of about ``duration_s``, judged by ``rules``.

        ``column_samples``, a multiple of ``FRAME``, is the finest that may be seen of the sound; by default as fine as
        the picture can show.
        """
        self.name = name
        self.rules = rules
        self.events: list[Event] = []
        self.columns: list[npt.NDArray[np.float32]] = []
        """Power spectra, float32[FRAME // 2 + 1] each, of the average of all channels."""
        shown_s = max(min(duration_s, HOUR_S), duration_s / MOST_HOURS)
        finest = FRAME * max(1, -(-round(shown_s * SAMPLE_RATE_HZ) // (FRAME * COLUMNS)))
        self.column_samples = finest if column_samples is None else column_samples
        self.pitch = PitchTrack(max(1, round(self.column_samples / PITCH_STEP)))
        """Of the average of all channels."""
        self.traces: dict[str, Trace] = {}
        """Scores by approach."""
        self.sectors: tuple[Sector, ...] = ()
        """Of an array; none where each approach has a microphone of its own."""
        self.bearing = BearingTrack()
        self.drive: Drive | None = None
        """What is known of it, where it was simulated."""
        self.start_s, self.end_s = 0.0, 0.0
        """What of the recording is shown, s from its beginning."""
        self._hann = np.hanning(FRAME).astype(np.float32)
        self._held: Pcm = np.zeros(0, dtype=np.float32)

    def listen(self, source: Iterable[Block | Gap]) -> Iterator[Block | Gap]:
        """Yield what ``source`` yields, and note its spectrum and pitch."""
        for item in source:
            if isinstance(item, Block):
                pcm = item.pcm.mean(axis=1)
                self._note(pcm)
                self.pitch.add_sound(pcm)
                self.end_s = item.end / SAMPLE_RATE_HZ
            yield item

    def _note(self, pcm: Pcm) -> None:
        self._held = np.concatenate((self._held, pcm))
        while len(self._held) >= self.column_samples:
            frames = self._held[: self.column_samples].reshape(-1, FRAME) * self._hann
            self.columns.append(np.square(np.abs(np.fft.rfft(frames, axis=1))).mean(axis=0).astype(np.float32))
            self._held = self._held[self.column_samples :]

    def observe(self, score: Score, track: Track) -> None:
        """Note a window's score and what is believed after it."""
        trace = self.traces.setdefault(score.approach, Trace())
        trace.end_s.append(score.end / SAMPLE_RATE_HZ)
        trace.score.append(score.siren)
        trace.evidence.append(track.evidence)
        trace.level_dbfs.append(score.level_dbfs)
        trace.motion.append(track.motion)
        at_s = score.end / SAMPLE_RATE_HZ
        if track.bearing is not None and self.bearing.end_s[-1:] != array("d", [at_s]):  # one for all approaches
            self.bearing.end_s.append(at_s)
            self.bearing.deg.append(track.bearing.deg)
            self.bearing.sd_deg.append(track.bearing.sd_deg)

    def part(self, start_s: float, end_s: float) -> ChartData:
        """Return what there is from ``start_s`` until ``end_s`` of the recording."""
        made = copy(self)
        made.start_s, made.end_s = start_s, end_s
        column_s = self.column_samples / SAMPLE_RATE_HZ
        made.columns = self.columns[round(start_s / column_s) : round(end_s / column_s)]
        made.pitch = self.pitch.part(start_s, end_s)
        made.bearing = self.bearing.part(start_s, end_s)
        made.traces = {name: trace.part(start_s, end_s) for name, trace in self.traces.items()}
        return made

    def hours(self) -> list[ChartData]:
        """Return its hours, of a recording that is longer than one."""
        if self.end_s <= HOUR_S:
            return []
        return [
            self.part(hour * HOUR_S, min((hour + 1) * HOUR_S, self.end_s)) for hour in range(ceil(self.end_s / HOUR_S))
        ]

    def calls(self) -> Iterator[CallSpan]:
        """Yield the calls, those that ended first."""
        standing: dict[str, Event] = {}
        for event in self.events:
            if event.refresh:
                continue
            if event.state is CallState.APPROACHING:
                standing[event.approach] = event
            elif (start := standing.pop(event.approach, None)) is not None:
                yield CallSpan(start.sample / SAMPLE_RATE_HZ, event.sample / SAMPLE_RATE_HZ, start, event)
        for start in standing.values():
            yield CallSpan(start.sample / SAMPLE_RATE_HZ, self.end_s, start, None)

    def sirens(self, approach: str) -> Iterator[tuple[float, float]]:
        """Yield from when until when, in s, the evidence on ``approach`` says siren: from enter until below exit."""
        trace, since_s = self.traces[approach], None
        for end_s, evidence in zip(trace.end_s, trace.evidence, strict=True):
            if since_s is None and evidence >= self.rules.enter:
                since_s = end_s
            elif since_s is not None and evidence < self.rules.exit:
                yield since_s, end_s
                since_s = None
        if since_s is not None:
            yield since_s, self.end_s

    def motions(self, approach: str) -> Iterator[tuple[float, float, Motion]]:
        """Yield from when until when, in s, what was believed of the siren's way, where that was not ``unknown``."""
        trace = self.traces[approach]
        since_s, standing = 0.0, Motion.UNKNOWN
        for end_s, motion in zip(trace.end_s, trace.motion, strict=True):
            if motion is not standing:
                if standing is not Motion.UNKNOWN:
                    yield since_s, end_s, standing
                since_s, standing = end_s, motion
        if standing is not Motion.UNKNOWN:
            yield since_s, self.end_s, standing
