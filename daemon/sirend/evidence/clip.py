"""What is kept of a call: the sound before and during it, what was made of it, and how that is written down."""

from __future__ import annotations

import io
import json
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sirend.audio.stream import SAMPLE_RATE_HZ, Block, Samples, Score, to_samples
from sirend.call.state import CallState
from sirend.detect.tracker import Track
from sirend.evidence.chart import TOP_HZ, png
from sirend.evidence.chart_data import FRAME, ChartData

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from sirend.audio.stream import Pcm
    from sirend.call.event import Event
    from sirend.call.rules import Rules
    from sirend.detect.bearing import Bearing
    from sirend.observe.snapshot import HeardThere

PRIVATE_SAMPLES = 8 * FRAME
"""Width of a column without sound: 0.256 s. It holds modulations up to 2 Hz only; speech smeared to that is lost
(Drullman, Festen and Plomp, Effect of temporal envelope smearing on speech reception, JASA 95, 1994)."""
LONGEST_HOLE_S = 5.0
"""A hole in the sound up to this is kept as silence, so that times stay true."""


def name_of(start: Event) -> str:
    """Return what the files of the call that ``start`` began are called, without their endings: time, approach, id."""
    return f"{start.at:%Y%m%dT%H%M%SZ}-{start.approach}-{start.event_id[:8]}"


@dataclass(frozen=True, slots=True)
class Hop:
    """What one window brought to one approach."""

    end: Samples
    pcm: Pcm
    """float32[n] in [-1, 1]: its newest samples."""
    heard: HeardThere


@dataclass(slots=True)
class CallClip:
    """One call of one approach, from some seconds before it to its end."""

    start: Event
    rules: Rules
    model: str
    hops: list[Hop]
    end: Event | None = None
    """None when the clip became too long before the call ended."""

    @property
    def name(self) -> str:
        """File name without its ending."""
        return name_of(self.start)

    @property
    def first(self) -> int:
        """The sample that the clip begins with."""
        return self.hops[0].end - len(self.hops[0].pcm)

    @property
    def lead_s(self) -> float | None:
        """By how much the call came before the loudest window, about when the vehicle passes; negative after it, s.

        What was louder before the siren was heard is something else. None of a call that outlasted the clip: the
        vehicle may pass later.
        """
        onset = self.start.sample - to_samples((self.start.at - self.start.onset_at).total_seconds())
        heard = [hop for hop in self.hops if hop.end >= onset]
        if self.end is None or not heard:
            return None
        loudest = max(heard, key=lambda hop: hop.heard.level_dbfs)
        return round((loudest.end - self.start.sample) / SAMPLE_RATE_HZ, 2)

    def pcm(self) -> Pcm:
        """Return the sound, float32[n]; what is missing in it is silent."""
        sound = np.zeros(self.hops[-1].end - self.first, dtype=np.float32)
        for hop in self.hops:
            until = hop.end - self.first
            sound[until - len(hop.pcm) : until] = hop.pcm
        return sound

    def chart_data(self, *, is_private: bool) -> ChartData:
        """Return what a picture of it shows."""
        pcm = self.pcm()
        column = PRIVATE_SAMPLES if is_private else None
        data = ChartData(self.name, len(pcm) / SAMPLE_RATE_HZ, self.rules, column_samples=column)
        for _ in data.listen([Block(Samples(0), pcm[:, np.newaxis])]):
            pass
        for hop in self.hops:
            end, heard = Samples(hop.end - self.first), hop.heard
            track = Track(end, heard.approach, heard.evidence, end, heard.level_dbfs, heard.motion)
            track = replace(track, bearing=heard.bearing)
            data.observe(Score(end, heard.approach, heard.score, heard.level_dbfs), track)
        for event in (self.start, self.end):
            if event is not None:
                data.events.append(replace(event, sample=Samples(event.sample - self.first)))
        return data

    def picture(self, *, is_private: bool) -> bytes:
        """Return spectrogram, pitch, scores, level and decisions as a PNG file."""
        return png([self.chart_data(is_private=is_private)], self.model)

    def flac(self) -> bytes:
        """Return the sound as a FLAC file, 16 bits."""
        import soundfile  # noqa: PLC0415  takes time, and a site without clips never needs it

        file = io.BytesIO()
        soundfile.write(file, np.clip(self.pcm(), -1.0, 1.0), SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
        return file.getvalue()

    def features(self) -> bytes:
        """Return power spectra too coarse for speech as a NumPy file: float32[columns, bins], see the notes."""
        spectra = np.array(self.chart_data(is_private=True).columns, dtype=np.float32)
        kept: npt.NDArray[np.float32] = spectra[:, : FRAME * TOP_HZ // SAMPLE_RATE_HZ]
        file = io.BytesIO()
        np.savez_compressed(file, power=kept, bin_hz=SAMPLE_RATE_HZ / FRAME, column_s=PRIVATE_SAMPLES / SAMPLE_RATE_HZ)
        return file.getvalue()

    def notes(self, told: Callable[[Event], dict[str, Any]]) -> bytes:
        """Return what was believed and said, window by window, as a JSON file; times in s from the clip's start."""
        windows = [
            {
                "end_s": (hop.end - self.first) / SAMPLE_RATE_HZ,
                "score": round(hop.heard.score, 4),
                "evidence": round(hop.heard.evidence, 4),
                "level_dbfs": round(hop.heard.level_dbfs, 1),
                "motion": hop.heard.motion,
                **_placed(hop.heard.bearing),
            }
            for hop in self.hops
        ]
        events = [told(event) for event in (self.start, self.end) if event is not None]
        content = {"model": self.model, "enter": self.rules.enter, "exit": self.rules.exit, "lead_s": self.lead_s}
        return json.dumps({**content, "events": events, "windows": windows}, indent=1).encode() + b"\n"


def _placed(bearing: Bearing | None) -> dict[str, float]:
    """Return a bearing as JSON values; none where it is not known."""
    if bearing is None:
        return {}
    return {"bearing_deg": round(bearing.deg, 1) % 360.0, "bearing_sd_deg": round(bearing.sd_deg, 1)}


@dataclass(slots=True)
class ClipRecorder:
    """Follows one approach: keeps the last seconds, and during a call all that comes, up to a bound."""

    before: Samples
    longest: Samples
    make: Callable[[Event, list[Hop]], CallClip]
    _past: deque[Hop] = field(default_factory=deque)
    _take: CallClip | None = None

    def add_hop(self, hop: Hop) -> CallClip | None:
        """Take the next hop; return a clip that became as long as it may."""
        if self._past and hop.end - self._past[-1].end > LONGEST_HOLE_S * SAMPLE_RATE_HZ:
            self._past.clear()
        self._past.append(hop)
        while self._past[0].end <= hop.end - max(self.before, 1):
            self._past.popleft()
        if self._take is None:
            return None
        self._take.hops.append(hop)
        if hop.end - self._take.start.sample < self.longest:
            return None
        done, self._take = self._take, None
        return done

    def add_event(self, event: Event) -> CallClip | None:
        """Take a change of state; return the clip of a call that ended."""
        if event.state is CallState.APPROACHING:
            self._take = self.make(event, list(self._past)) if self._past else None
            return None
        done, self._take = self._take, None
        if done is not None:
            done.end = event
        return done
