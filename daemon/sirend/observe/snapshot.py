"""What the daemon hears and does at this moment, for those who look: web page, metrics, clips.

The worker writes, any thread reads. Everything is bounded, and nobody who looks can hold the worker up: a write stores
references under a lock that a reader keeps for a copy of a short list. What a slow reader missed is counted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import sirend
from sirend.audio.routing import pickups
from sirend.call.rules import Rules
from sirend.call.state import CallState
from sirend.detect.motion import Motion
from sirend.detect.tone import Tone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sirend.audio.stream import Samples, Score, Window
    from sirend.call.event import Event
    from sirend.config.settings import Approach, Config
    from sirend.detect.arrival import Arrival
    from sirend.detect.bearing import Bearing
    from sirend.detect.bundle import Bundle
    from sirend.detect.features import FeatureSpec
    from sirend.detect.tracker import Track

KEPT_S = 60.0
"""What a page that is opened now can show of the past."""
EVENTS = 20
SPL_DB = 94.0
"""Sound pressure level of a microphone calibrator: 1 Pa."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What does not change while the daemon runs."""

    site: str
    device: str
    """Configured name of the input, or their names."""
    model: str
    version: str
    approaches: tuple[Approach, ...]
    rules: Rules
    spec: FeatureSpec
    hop_s: float
    advisory: bool
    dbfs_of_94_db: float | None = None
    """What 94 dB SPL reads; None where the microphones are not calibrated."""
    has_array: bool = False
    """Whether the approaches are sectors of one array, which hears for all of them."""

    def spl_db(self, level_dbfs: float) -> float | None:
        """Return the sound pressure level of ``level_dbfs``, dB, unweighted; None where nothing is calibrated."""
        return None if self.dbfs_of_94_db is None else level_dbfs - self.dbfs_of_94_db + SPL_DB

    @classmethod
    def of(cls, config: Config, bundle: Bundle) -> Self:
        """Return what ``config`` and ``bundle`` say; raise ``ConfigError`` when they contradict each other."""
        return cls(
            site=config.site,
            device=", ".join(pickup.audio.device for pickup in pickups(config)),
            model=bundle.name,
            version=sirend.__version__,
            approaches=config.approaches,
            rules=Rules.of(config.detect, config.call, bundle.point(config.detect.profile)),
            spec=bundle.feature_spec,
            hop_s=config.detect.hop_s,
            advisory=config.call.advisory,
            dbfs_of_94_db=config.audio.dbfs_of_94_db,
            has_array=config.array is not None,
        )


@dataclass(frozen=True, slots=True)
class HeardThere:
    """One approach in one window."""

    approach: str
    score: float
    """Probability of a siren, 0..1."""
    evidence: float
    """0..1, what the thresholds are held against."""
    level_dbfs: float
    """RMS of the window."""
    motion: Motion
    call: CallState
    """Whether a call stands after this window."""
    end: Samples | None
    """The window's end by its own device's count, as in events; None when its device had no window."""
    tone: Tone = Tone.UNKNOWN
    bearing: Bearing | None = None
    """Where the siren is, where an array hears it and knows."""
    arrival: Arrival | None = None
    """When it will be nearest, as the call that stands said last; None where that is not known now."""


@dataclass(frozen=True, slots=True)
class Moment:
    """All approaches in one window."""

    seq: int
    """Counts windows from 1."""
    end: Samples
    heard: tuple[HeardThere, ...]
    """In the order of ``Setup.approaches``."""


@dataclass(frozen=True, slots=True)
class NewMoments:
    """What a reader has not seen yet."""

    moments: list[Moment]
    """Oldest first."""
    window: Window | None
    """The latest, whose last samples are those of the latest moments. Not to be written to."""
    missed: int
    """Moments that were gone before the reader came for them."""


@dataclass(slots=True)
class View:
    """The latest moments, events and health of a running daemon."""

    setup: Setup
    health: dict[str, Any] = field(default_factory=dict)
    """The latest health message; replaced, never changed."""
    selftest: dict[str, Any] | None = None
    """The result of the latest self-test that a viewer asked for; the worker publishes it. Replaced, never changed."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _moments: deque[Moment] = field(default_factory=deque)
    _events: deque[Event] = field(default_factory=lambda: deque(maxlen=EVENTS))
    _counts: dict[str, int] = field(default_factory=dict)
    _pending: list[HeardThere] = field(default_factory=list)
    _next: Window | None = None
    _window: Window | None = None
    _seq: int = 0
    _missed: int = 0
    _at_s: float = 0.0

    def __post_init__(self) -> None:
        """Bound the past by time, whatever the hop."""
        self._at_s = time.monotonic()
        self._moments = deque(maxlen=max(1, round(KEPT_S / self.setup.hop_s)))
        self._counts = {approach.name: 0 for approach in self.setup.approaches}

    def add_window(self, window: Window) -> None:
        """Begin a moment. Worker only."""
        self._next = window
        self._pending = []

    def add_score(
        self, score: Score, track: Track, call: CallState, end: Samples | None, arrival: Arrival | None = None
    ) -> None:
        """Take what one approach has in the window; the last of them completes the moment. Worker only.

        ``end`` is the window's by the count of the approach's own device, None when that had none; ``arrival`` is what
        the call said last, which holds no longer once the siren comes no nearer.
        """
        level, motion = score.level_dbfs, track.motion
        if call is not CallState.APPROACHING or motion is not Motion.APPROACHING:
            arrival = None
        self._pending.append(
            HeardThere(
                score.approach,
                score.siren,
                track.evidence,
                level,
                motion,
                call,
                end,
                track.tone,
                track.bearing,
                arrival,
            ),
        )
        if len(self._pending) < len(self.setup.approaches):
            return
        heard, self._pending = tuple(self._pending), []
        with self._lock:
            self._seq += 1
            self._moments.append(Moment(self._seq, score.end, heard))
            self._window = self._next
            self._at_s = time.monotonic()

    def add_event(self, event: Event) -> None:
        """Take an event; repetitions of a standing state are no news. Worker only."""
        if event.refresh:
            return
        with self._lock:
            self._events.append(event)
            if event.type == "emergency_approaching":
                self._counts[event.approach] += 1

    def since(self, seq: int) -> NewMoments:
        """Return the moments after number ``seq``. One that asks for 0 has missed nothing."""
        with self._lock:
            fresh = self._seq - seq
            moments = list(self._moments)
            window = self._window
            missed = max(0, fresh - len(moments)) if seq else 0
            self._missed += missed
        return NewMoments(moments[-fresh:] if fresh > 0 else [], window, missed)

    def count_missed(self, moments: int) -> None:
        """Count moments that were kept for a viewer and that it did not come for."""
        with self._lock:
            self._missed += moments

    def age_s(self) -> float:
        """Return how long ago the latest window was scored, s; before the first, since the start."""
        return time.monotonic() - self._at_s

    @property
    def windows(self) -> int:
        """Windows scored since the start."""
        return self._seq

    @property
    def missed(self) -> int:
        """Moments that readers were too slow for, since the start."""
        return self._missed

    def calls(self) -> dict[str, int]:
        """Return the calls since the start by approach."""
        with self._lock:
            return dict(self._counts)

    def events(self) -> Sequence[Event]:
        """Return the latest changes of state, oldest first."""
        with self._lock:
            return list(self._events)
