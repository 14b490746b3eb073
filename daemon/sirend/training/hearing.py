"""What a model hears in a sound: the daemon's own pipeline, with the scores kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from sirend.audio.stream import SAMPLE_RATE_HZ, Block, Samples, to_seconds
from sirend.call.clock import ReplayClock
from sirend.call.scribe import Scribe
from sirend.call.state import CallState
from sirend.config.settings import Config
from sirend.pipeline import Stages, detect, ignore_score

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sirend.audio.stream import Pcm, Score
    from sirend.call.event import Event
    from sirend.detect.bundle import Bundle
    from sirend.detect.classifier import Classifier
    from sirend.detect.tracker import Track


@dataclass(frozen=True, slots=True)
class Heard:
    """What came out of one sound."""

    end_s: np.ndarray
    """float64[windows], end of each of the model's windows."""
    score: np.ndarray
    """float64[windows], 0..1."""
    call_s: np.ndarray
    """float64[calls], when a call began."""
    peer_end_s: np.ndarray
    """float64[frames] of the peer; empty without one."""
    peer_score: np.ndarray
    """float64[frames], 0..1."""


def score_stream(
    bundle: Bundle, classifier: Classifier, pieces: Iterable[Pcm]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Send the pieces of a stream, float32[n] each, through a fresh pipeline; never is more than one piece held.

    Returns the ends and scores of the windows, and the starts of calls, s. A stream shorter than a window gets
    silence before it.
    """
    scored: list[tuple[float, float]] = []

    def on_score(score: Score, _track: Track) -> None:
        scored.append((to_seconds(score.end), score.siren))

    calls = [
        to_seconds(event.sample)
        for event in events_of_stream(bundle, classifier, pieces, on_score)
        if event.state is CallState.APPROACHING and not event.refresh
    ]
    ends, scores = np.array(scored, dtype=np.float64).reshape(-1, 2).T
    return ends, scores, np.array(calls, dtype=np.float64)


def events_of_stream(
    bundle: Bundle,
    classifier: Classifier,
    pieces: Iterable[Pcm],
    on_score: Callable[[Score, Track], None] = ignore_score,
) -> Iterator[Event]:
    """Yield what the daemon says of the pieces of a stream, float32[n] each, beginning with a fresh pipeline."""
    scribe = Scribe(
        site="evaluate", boot_id="replay", mode="replay", model=bundle.name,
        clock=ReplayClock(datetime(1970, 1, 1, tzinfo=UTC)), valid_for_s=5.0,
    )  # fmt: skip
    stages = Stages.of(Config(), bundle, classifier, scribe, channels=[0])
    yield from detect(_blocks(pieces, bundle.feature_spec.window_samples), stages, on_score)


def _blocks(pieces: Iterable[Pcm], window: int) -> Iterator[Block]:
    """Yield blocks of at most a second."""
    arrived = 0
    for piece in _at_least(pieces, window):
        for start in range(0, len(piece), SAMPLE_RATE_HZ):
            block = Block(Samples(arrived), piece[start : start + SAMPLE_RATE_HZ, np.newaxis])
            yield block
            arrived = block.end


def _at_least(pieces: Iterable[Pcm], window: int) -> Iterator[Pcm]:
    """Yield ``pieces``, after silence if all of them together are shorter than ``window``."""
    waiting: list[Pcm] = []
    for piece in pieces:
        if sum(map(len, waiting)) >= window:
            yield piece
            continue
        waiting.append(piece)
        if sum(map(len, waiting)) >= window:
            yield from waiting
    short = window - sum(map(len, waiting))
    if short > 0:
        yield np.concatenate((np.zeros(short, dtype=np.float32), *waiting))
