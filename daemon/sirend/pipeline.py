"""The one loop from samples to events, live and in replay. Its only clock is the count of samples."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from itertools import repeat
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from sirend.audio.level import levels_dbfs
from sirend.audio.stream import Block, Gap, GapReason, Samples, Score, to_samples
from sirend.audio.windows import Windows
from sirend.call.arbitration import ArbitrationRules
from sirend.call.machine import Stop
from sirend.call.rules import Rules
from sirend.call.sector import Legs, Sectors
from sirend.call.watch import LATE, ApproachWatch, Arbitration
from sirend.detect.array import ArrayEar
from sirend.detect.arrival import arrival_of
from sirend.detect.features import Extractor
from sirend.detect.motion import MEMORY_S, Motion, motion_of
from sirend.detect.pitch import Pitch, PitchTracker, tone_level_dbfs
from sirend.detect.tone import tone_of
from sirend.detect.tracker import Track, Tracker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy.typing as npt
    from numpy import float32

    from sirend.audio.stream import Window
    from sirend.call.event import Event
    from sirend.call.machine import Transition
    from sirend.call.scribe import Scribe
    from sirend.config.settings import Approach, Config
    from sirend.detect.arrival import Arrival
    from sirend.detect.bundle import Bundle
    from sirend.detect.features import Spectrogram
    from sirend.detect.tone import Tone

_NOTHING = Block(Samples(0), np.zeros((0, 1), np.float32))


class Scorer(Protocol):
    """What the pipeline needs of a classifier."""

    def score(self, spectrogram: Spectrogram) -> npt.NDArray[float32]:
        """Return float32[approaches], 0..1."""
        ...


def same(sample: Samples) -> Samples:
    """Return the count itself: a device that is alone is the site's clock."""
    return sample


@dataclass(frozen=True, slots=True)
class Stages:
    """What the stream of one device passes through, fresh for each stream."""

    windows: Windows
    extractor: Extractor
    scorer: Scorer
    watches: dict[str, ApproachWatch]
    """By the approach's name, in the order of the windows' rows."""
    scribe: Scribe
    pitch: PitchTracker
    arbitration: Arbitration
    """Shared by the devices of a site."""
    to_site: Callable[[Samples], Samples] = same
    """From the device's count of samples to the site's, by which devices are laid beside each other."""
    ear: ArrayEar | None = None
    """Of an array; None where each approach has a microphone of its own."""
    legs: Legs | None = None
    """The legs that it tells apart."""

    @classmethod
    def of(  # noqa: PLR0913  this is where everything meets
        cls,
        config: Config,
        bundle: Bundle,
        scorer: Scorer,
        scribe: Scribe,
        *,
        channels: Sequence[int],
        is_inhibited: Callable[[Samples], bool] = lambda _: False,
    ) -> Self:
        """Return the stages that ``config`` describes; ``channels`` are the columns of its approaches, of one stream.

        Raises ``ConfigError`` when configuration and model contradict each other.
        """
        hop = to_samples(config.detect.hop_s)
        if hop != to_samples(bundle.hop_s):
            logging.getLogger(__name__).warning(
                "detect.hop_s is %g, but the thresholds of %s were chosen at %g s",
                config.detect.hop_s,
                bundle.name,
                bundle.hop_s,
            )
        array = config.array
        rules = Rules.of(config.detect, config.call, bundle.point(config.detect.profile))
        watches = {
            approach.name: ApproachWatch(
                Tracker(approach.name, hop, enter=rules.enter, leave=rules.exit),
                rules,
                is_inhibited,
                priority=approach.priority,
            )
            for approach in config.approaches
        }
        return cls(
            windows=Windows(window=bundle.feature_spec.window_samples, hop=hop, channels=channels),
            extractor=Extractor(bundle.feature_spec),
            scorer=scorer,
            watches=watches,
            scribe=scribe,
            pitch=PitchTracker(MEMORY_S),
            arbitration=Arbitration(
                ArbitrationRules.of(config.arbitration, is_apart=array is None), watches, Samples(hop + LATE)
            ),
            ear=ArrayEar.of(config),
            legs=None if array is None else Legs(Sectors.of(config)),
        )

    def of_device(
        self,
        scorer: Scorer,
        scribe: Scribe,
        approaches: Sequence[Approach],
        *,
        to_site: Callable[[Samples], Samples],
        is_inhibited: Callable[[Samples], bool],
    ) -> Self:
        """Return the stages of one device among several of the site of these; it hears ``approaches``."""
        for approach in approaches:
            self.watches[approach.name].is_inhibited = is_inhibited
        return replace(
            self,
            windows=self.windows.of([approach.channel for approach in approaches]),
            extractor=Extractor(self.extractor.spec),
            scorer=scorer,
            watches={approach.name: self.watches[approach.name] for approach in approaches},
            scribe=scribe,
            pitch=PitchTracker(MEMORY_S),
            to_site=to_site,
        )

    def shown(self, window: Window) -> Window:
        """Return ``window`` with a row for each approach, as those see it who look on."""
        if self.ear is None:
            return window
        heard = self.ear.pick(window).pcm
        return replace(window, pcm=np.broadcast_to(heard, (len(self.watches), heard.shape[1])))

    def scores(self, window: Window) -> Iterator[Score]:
        """Yield the score of each approach in ``window``, which has a row for each, or one for all."""
        probabilities = self.scorer.score(self.extractor.spectrogram(window))
        rows = zip(probabilities, levels_dbfs(window.pcm), strict=True)
        of_rows = rows if self.ear is None else repeat(next(rows), len(self.watches))
        for name, (siren, level) in zip(self.watches, of_rows, strict=True):
            yield Score(window.end, name, float(siren), float(level))

    def observe(self, window: Window) -> Iterator[tuple[Score, Track, Transition | None]]:
        """Yield the score, what is believed and the transition of each approach at the end of ``window``."""
        heard_by = window if self.ear is None else self.ear.pick(window)
        tracks = [(score, self.watches[score.approach].tracker.update(score)) for score in self.scores(heard_by)]
        if self.legs is not None:
            tracks = [(score, self.legs.of_present(track)) for score, track in tracks]
        # Half of what a street costs would go into the pitch of no siren.
        is_wanted = any(track.is_suspected for _, track in tracks)
        is_first = is_wanted and not self.pitch.remembered
        known = self.ear.earlier if self.ear is not None and is_first else heard_by
        pitch = self.pitch.follow(known, is_wanted=is_wanted)
        rows = [min(row, len(heard_by.pcm) - 1) for row in range(len(tracks))]
        moving = _Judged(pitch, heard_by)
        heard = [
            (score, moving.of(track, row, self.watches[track.approach]))
            for row, (score, track) in zip(rows, tracks, strict=True)
        ]
        heard, legs = self._placed(heard, window, pitch)
        levels_db = [tone_level_dbfs(pitch, row) for row in range(len(heard_by.pcm))]
        loud = [(track, levels_db[row]) for row, (_, track) in zip(rows, heard, strict=True)]
        granted = self.arbitration.grant(self.to_site(window.end), loud, legs)
        for score, track in heard:
            yield score, track, self.watches[track.approach].decide(track, held=track.approach not in granted)

    def _placed(
        self, heard: list[tuple[Score, Track]], window: Window, pitch: Pitch
    ) -> tuple[list[tuple[Score, Track]], frozenset[str] | None]:
        """Return ``heard`` with the bearing of what an array hears, and the legs that may call for it."""
        if self.ear is None or self.legs is None:
            return heard, None
        if not pitch.at.size:
            self.ear.reset()  # nothing is asked in silence, and nothing of an earlier siren counts
            return heard, self.legs.reset()
        # Asked as soon as there may be a siren: one that is believed only as it passes came from where it was before.
        is_believed = any(track.onset < track.end for _, track in heard)
        is_settled = is_believed and self.legs.is_settled
        bearing = self.ear.bearing(window, pitch, is_believed=is_believed, is_settled=is_settled)
        self.legs.recall(self.ear.past)
        tracks, legs = self.legs.observe([track for _, track in heard], bearing)
        return [(score, track) for (score, _), track in zip(heard, tracks, strict=True)], legs

    def interrupt(self, item: Gap | Stop) -> Iterator[Event]:
        """Tell every approach what happened to the stream; yield the events it causes."""
        self.pitch.reset()
        self.extractor.forget(is_fault=isinstance(item, Stop) or item.is_fault)
        if self.ear is not None and self.legs is not None:
            self.ear.reset()
            self.legs.reset()
        if isinstance(item, Stop) or item.is_fault:
            self.arbitration.forget(self.watches)
        else:
            self.arbitration.bridge(self.watches, item.at)
        for watch in self.watches.values():
            if (transition := watch.interrupt(item)) is not None:
                yield self.scribe.write(transition)


class _Judged:
    """Motion, tone and arrival of what is heard in one window: a row is judged once, be it that of a whole array."""

    def __init__(self, pitch: Pitch, window: Window) -> None:
        """Judge by ``pitch``, whose rows are those of ``window``."""
        self._pitch, self._window = pitch, window
        self._motions: dict[tuple[int, Samples], Motion] = {}
        self._tones: dict[tuple[int, Samples], Tone] = {}
        self._arrivals: dict[tuple[int, Samples], Arrival | None] = {}

    def of(self, track: Track, row: int, watch: ApproachWatch) -> Track:
        """Return ``track`` of ``row`` with its motion, tone and arrival, where a siren is heard.

        The tone is judged where ``watch`` may tell of it; between, it is what it was for the same siren. The arrival is
        known there only.
        """
        if track.onset == track.end:
            return track
        at, since = (row, track.onset), track.onset - self._window.pcm.shape[1]
        if at not in self._motions:
            self._motions[at] = motion_of(self._pitch, row, since)
        track = replace(track, motion=self._motions[at])
        if watch.may_tell(track):
            if at not in self._tones:
                self._tones[at] = tone_of(self._pitch, row, since, self._window.pcm[row])
            watch.named = track.onset, self._tones[at]
            if track.motion is Motion.APPROACHING:
                if at not in self._arrivals:
                    self._arrivals[at] = arrival_of(self._pitch, row, since)
                track = replace(track, arrival=self._arrivals[at])
        onset, tone = watch.named
        return replace(track, tone=tone) if onset == track.onset else track


def ignore_score(_score: Score, _track: Track) -> None:
    """Observe nothing."""


def ignore_window(_window: Window) -> None:
    """Look at nothing."""


def detect(
    source: Iterable[Block | Gap],
    stages: Stages,
    on_score: Callable[[Score, Track], None] = ignore_score,
    on_window: Callable[[Window], None] = ignore_window,
) -> Iterator[Event]:
    """Yield the events of the one device ``source``; the rest is as with ``detect_all``."""
    return detect_all(zip(repeat(0), source), [stages], on_score, lambda _, window: on_window(window))


def detect_all(
    source: Iterable[tuple[int, Block | Gap]],
    devices: Sequence[Stages],
    on_score: Callable[[Score, Track], None] = ignore_score,
    on_window: Callable[[int, Window], None] = lambda *_: None,
) -> Iterator[Event]:
    """Yield the events of ``source``, whose items come with the number of their device in ``devices``.

    ``on_window`` sees each window before it is scored, ``on_score`` the score and the track of each approach in it.

    When the source ends, standing calls are cleared with ``shutdown``. When it or a stage fails they are cleared with
    ``input_lost``, and the error goes on.
    """
    latest = [_NOTHING] * len(devices)
    try:
        for number, item in source:
            stages = devices[number]
            for window in stages.windows.push(item):
                on_window(number, stages.shown(window))
                for score, track, transition in stages.observe(window):
                    on_score(score, track)
                    if transition is not None:
                        yield stages.scribe.write(transition)
            if isinstance(item, Gap):
                yield from stages.interrupt(item)
            else:
                latest[number] = item
    except Exception:
        for stages, block in zip(devices, latest, strict=True):
            yield from stages.interrupt(Gap(block.end, GapReason.DEVICE_LOST))
        raise
    for stages, block in zip(devices, latest, strict=True):
        yield from stages.interrupt(Stop(block.end))
