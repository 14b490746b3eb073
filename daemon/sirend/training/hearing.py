"""What a model hears in a sound: the daemon's own pipeline, with the scores kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from sirend.audio import SAMPLE_RATE_HZ, Block, Samples, to_seconds
from sirend.debounce import CallState
from sirend.events import ReplayClock, Scribe
from sirend.pipeline import Stages, detect
from sirend.settings import Config

if TYPE_CHECKING:
    from sirend.audio import Pcm, Score
    from sirend.bundle import Bundle
    from sirend.classifier import Classifier
    from sirend.tracker import Track


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


def hear(bundle: Bundle, classifier: Classifier, pcm: Pcm) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Send float32[n] through a fresh pipeline; return ends and scores of the windows, and the starts of calls, s."""
    window = bundle.feature_spec.window_samples
    if len(pcm) < window:
        pcm = np.concatenate((np.zeros(window - len(pcm), dtype=np.float32), pcm))
    scored: list[tuple[float, float]] = []

    def on_score(score: Score, _track: Track) -> None:
        scored.append((to_seconds(score.end), score.siren))

    scribe = Scribe(
        site="evaluate", boot_id="replay", mode="replay", model=bundle.name,
        clock=ReplayClock(datetime(1970, 1, 1, tzinfo=UTC)), valid_for_s=5.0,
    )  # fmt: skip
    stages = Stages.of(Config(), bundle, classifier, scribe, channels=[0])
    blocks = (
        Block(Samples(start), pcm[start : start + SAMPLE_RATE_HZ, np.newaxis])
        for start in range(0, len(pcm), SAMPLE_RATE_HZ)
    )
    calls = [
        to_seconds(event.sample)
        for event in detect(blocks, stages, on_score)
        if event.state is CallState.APPROACHING and not event.refresh
    ]
    ends, scores = np.array(scored, dtype=np.float64).reshape(-1, 2).T
    return ends, scores, np.array(calls, dtype=np.float64)
