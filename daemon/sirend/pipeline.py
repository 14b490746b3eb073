"""The one loop from samples to events, live and in replay. Its only clock is the count of samples."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

from sirend.audio import Gap, GapReason, Samples, Score, level_dbfs, to_samples
from sirend.debounce import Rules, State, Stop, step
from sirend.features import Extractor
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
    from sirend.features import Features
    from sirend.settings import Config, Inhibit


class Scorer(Protocol):
    """What the pipeline needs of a classifier."""

    def score(self, features: Features) -> npt.NDArray[float32]:
        """Return float32[approaches], 0..1, for float32[approaches, frames, bands]."""
        ...


@dataclass(slots=True)
class Watch:
    """Follows one approach: what is heard there, and whether a call stands."""

    tracker: Tracker
    rules: Rules
    is_inhibited: Callable[[Samples], bool]
    """Whether the schedule forbids calls at a sample."""
    state: State = field(default_factory=State)

    def hear(self, score: Score) -> tuple[Track, Transition | None]:
        """Take the approach's next score; return what is believed now, and the transition that it causes."""
        track = self.tracker.update(score)
        self.state, transition = step(self.rules, self.state, track, inhibited=self.is_inhibited(score.end))
        return track, transition

    def learn(self, item: Gap | Stop) -> Transition | None:
        """Take what happened to the stream; return the transition that it causes."""
        if isinstance(item, Gap) and item.is_fault:
            self.tracker.reset()
        self.state, transition = step(self.rules, self.state, item)
        return transition


@dataclass(frozen=True, slots=True)
class Stages:
    """What a stream of samples passes through, fresh for each stream."""

    windows: Windows
    extractor: Extractor
    scorer: Scorer
    watches: dict[str, Watch]
    """By the approach's name, in the order of the windows' rows."""
    scribe: Scribe

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
                approach.name: Watch(Tracker(approach.name, hop, enter=rules.enter), rules, is_inhibited)
                for approach in config.approaches
            },
            scribe=scribe,
        )

    def scores(self, window: Window) -> Iterator[Score]:
        """Yield the score of each approach in ``window``."""
        probabilities = self.scorer.score(self.extractor.features(window))
        for name, siren, pcm in zip(self.watches, probabilities, window.pcm, strict=True):
            yield Score(window.end, name, float(siren), level_dbfs(pcm))

    def tell(self, item: Gap | Stop) -> Iterator[Event]:
        """Tell every approach what happened to the stream; yield the events it causes."""
        for watch in self.watches.values():
            if (transition := watch.learn(item)) is not None:
                yield self.scribe.write(transition)


def schedule(inhibit: Sequence[Inhibit], clock: Clock) -> Callable[[Samples], bool]:
    """Return a function that tells whether ``inhibit``, in the host's local time, forbids calls at a sample."""
    return lambda sample: any(entry.covers(clock.utc(sample).astimezone()) for entry in inhibit)


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
                for score in stages.scores(window):
                    track, transition = stages.watches[score.approach].hear(score)
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
