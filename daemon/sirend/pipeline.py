"""The one loop from samples to events, live and in replay. Its only clock is the count of samples."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from sirend.arbitration import ArbitrationRules, ArbitrationState, Bid, arbitrate
from sirend.audio import SILENCE_DBFS, Gap, GapReason, Samples, Score, levels_dbfs, to_samples
from sirend.debounce import CallState, Rules, State, Stop, step, would_call
from sirend.features import Extractor
from sirend.motion import MEMORY_S, judge
from sirend.pitch import Pitch, PitchTracker
from sirend.tracker import Track, Tracker
from sirend.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy.typing as npt
    from numpy import float32

    from sirend.audio import Block, Window
    from sirend.bundle import Bundle
    from sirend.debounce import Transition
    from sirend.events import Clock, Event, Scribe
    from sirend.features import Spectrogram
    from sirend.settings import Config, Inhibit


class Scorer(Protocol):
    """What the pipeline needs of a classifier."""

    def score(self, spectrogram: Spectrogram) -> npt.NDArray[float32]:
        """Return float32[approaches], 0..1. Windows come in the order of their ends."""
        ...


@dataclass(slots=True)
class Watch:
    """Follows one approach: what is heard there, and whether a call stands."""

    tracker: Tracker
    rules: Rules
    is_inhibited: Callable[[Samples], bool]
    """Whether the schedule forbids calls at a sample."""
    state: State = field(default_factory=State)

    priority: int = 1
    """1 is served first."""

    def bid(self, track: Track, level_db: float) -> Bid:
        """Return what the approach has to say when others hear the siren too, ``level_db`` loud here."""
        return Bid(
            approach=track.approach,
            onset=track.onset,
            hears=track.onset < track.end,
            ready=would_call(self.rules, self.state, track, inhibited=self.is_inhibited(track.end)),
            calls=self.state.call is CallState.APPROACHING,
            level_db=level_db,
            priority=self.priority,
            motion=track.motion,
        )

    def decide(self, track: Track, *, held: bool) -> Transition | None:
        """Take what is believed now; return the transition that it causes. ``held``: another approach is served."""
        inhibited = self.is_inhibited(track.end)
        self.state, transition = step(self.rules, self.state, track, inhibited=inhibited, held=held)
        return transition

    def learn(self, item: Gap | Stop) -> Transition | None:
        """Take what happened to the stream; return the transition that it causes."""
        if isinstance(item, Gap) and item.is_fault:
            self.tracker.reset()
        self.state, transition = step(self.rules, self.state, item)
        return transition


@dataclass(slots=True)
class Arbitration:
    """Decides between the approaches, window after window."""

    rules: ArbitrationRules
    state: ArbitrationState = field(default_factory=ArbitrationState)

    def grant(self, now: Samples, bids: Sequence[Bid]) -> frozenset[str]:
        """Return the approaches that may start a call in the window that ends at ``now``."""
        self.state, granted = arbitrate(self.rules, self.state, now, bids)
        return granted

    def reset(self) -> None:
        """Forget everything."""
        self.state = ArbitrationState()


@dataclass(frozen=True, slots=True)
class Stages:
    """What a stream of samples passes through, fresh for each stream."""

    windows: Windows
    extractor: Extractor
    scorer: Scorer
    watches: dict[str, Watch]
    """By the approach's name, in the order of the windows' rows."""
    scribe: Scribe
    pitch: PitchTracker
    arbitration: Arbitration

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
        """Return the stages that ``config`` describes; ``channels`` are the columns of its approaches.

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
        rules = Rules.of(config.detect, config.call, bundle.operating)
        return cls(
            windows=Windows(window=bundle.feature_spec.window_samples, hop=hop, channels=channels),
            extractor=Extractor(bundle.feature_spec),
            scorer=scorer,
            watches={
                approach.name: Watch(
                    Tracker(approach.name, hop, enter=rules.enter), rules, is_inhibited, priority=approach.priority
                )
                for approach in config.approaches
            },
            scribe=scribe,
            pitch=PitchTracker(MEMORY_S),
            arbitration=Arbitration(ArbitrationRules.of(config.arbitration)),
        )

    def scores(self, window: Window) -> Iterator[Score]:
        """Yield the score of each approach in ``window``."""
        probabilities = self.scorer.score(self.extractor.spectrogram(window))
        for name, siren, level in zip(self.watches, probabilities, levels_dbfs(window.pcm), strict=True):
            yield Score(window.end, name, float(siren), float(level))

    def hear(self, window: Window) -> Iterator[tuple[Score, Track, Transition | None]]:
        """Yield the score, what is believed and the transition of each approach at the end of ``window``."""
        pitch = self.pitch.update(window)
        heard = [(score, self._track(row, score, pitch, window)) for row, score in enumerate(self.scores(window))]
        bids = [self.watches[track.approach].bid(track, tone_db(pitch, row)) for row, (_, track) in enumerate(heard)]
        granted = self.arbitration.grant(window.end, bids)
        for score, track in heard:
            yield score, track, self.watches[track.approach].decide(track, held=track.approach not in granted)

    def _track(self, row: int, score: Score, pitch: Pitch, window: Window) -> Track:
        """Return what is believed of approach ``row``; its motion only while a siren is heard."""
        track = self.watches[score.approach].tracker.update(score)
        if track.onset == track.end:
            return track
        return replace(track, motion=judge(pitch, row, track.onset - window.pcm.shape[1]))

    def tell(self, item: Gap | Stop) -> Iterator[Event]:
        """Tell every approach what happened to the stream; yield the events it causes."""
        self.pitch.reset()
        if isinstance(item, Stop) or item.is_fault:
            self.arbitration.reset()
        for watch in self.watches.values():
            if (transition := watch.learn(item)) is not None:
                yield self.scribe.write(transition)


def schedule(inhibit: Sequence[Inhibit], clock: Clock) -> Callable[[Samples], bool]:
    """Return a function that tells whether ``inhibit``, in the host's local time, forbids calls at a sample."""
    return lambda sample: any(entry.covers(clock.utc(sample).astimezone()) for entry in inhibit)


def tone_db(pitch: Pitch, row: int) -> float:
    """Return how loud the tone of approach ``row`` is over the last 2 s, dBFS: its frames by how tonal they are."""
    begin = int(np.searchsorted(pitch.at, pitch.at[-1] - to_samples(2.0))) if pitch.at.size else 0
    weight = np.square(pitch.strength[row, begin:])
    total = float(weight.sum())
    return float(weight @ pitch.level_dbfs[row, begin:]) / total if total > 0.0 else SILENCE_DBFS


def ignore(_score: Score, _track: Track) -> None:
    """Observe nothing."""


def overlook(_window: Window) -> None:
    """Look at nothing."""


def detect(
    source: Iterable[Block | Gap],
    stages: Stages,
    on_score: Callable[[Score, Track], None] = ignore,
    on_window: Callable[[Window], None] = overlook,
) -> Iterator[Event]:
    """Yield the events of ``source``.

    ``on_window`` sees each window before it is scored, ``on_score`` the score and the track of each approach in it.

    When the source ends, standing calls are cleared with ``shutdown``. When it or a stage fails they are cleared with
    ``input_lost``, and the error goes on.
    """
    arrived = Samples(0)
    try:
        for item in source:
            for window in stages.windows.push(item):
                on_window(window)
                for score, track, transition in stages.hear(window):
                    on_score(score, track)
                    if transition is not None:
                        yield stages.scribe.write(transition)
            if isinstance(item, Gap):
                yield from stages.tell(item)
            else:
                arrived = item.end
    except Exception:
        yield from stages.tell(Gap(arrived, GapReason.DEVICE_LOST))
        raise
    yield from stages.tell(Stop(arrived))
