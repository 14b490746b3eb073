"""``sirend selftest``: a built-in siren through the whole pipeline, as the daemon would hear it.

Its result goes to ``{prefix}/{site}/selftest`` alone. A siren marked as a test on the topics of real calls would be
safe with those consumers only that know the mark; a topic of its own is safe with all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from sirend.audio import SAMPLE_RATE_HZ, Block, Samples, to_samples, to_seconds
from sirend.debounce import CallState
from sirend.events import ReplayClock, Scribe, utc_text
from sirend.pipeline import Stages, detect
from sirend.settings import ArbitrationConfig
from sirend.simulate import Scene, render

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sirend.audio import Pcm
    from sirend.bundle import Bundle
    from sirend.pipeline import Scorer
    from sirend.settings import Config

SCHEMA = "sirend/selftest/1"
SCENE = Scene(speed_kmh=120.0, snr_db=10.0, seed=11)
"""A drive-by that leaves no doubt; what is hard is the model card's matter."""
QUIET_S = 8.0
"""Street noise before the siren, in which nothing may be called, and after it, in which the call must end."""
QUIET_DBFS = -46.0


@dataclass(frozen=True, slots=True)
class Result:
    """What became of the built-in siren."""

    problem: str | None
    """What went wrong; None when nothing did."""
    confidence: float | None = None
    """Of the call, 0..1."""
    delay_s: float | None = None
    """From the siren's being audible to the call."""

    def payload(self, site: str, model: str) -> dict[str, Any]:
        """Return the message, JSON values."""
        return {
            "schema": SCHEMA,
            "site": site,
            "model": model,
            "at": utc_text(datetime.now(UTC)),
            "passed": self.problem is None,
            "problem": self.problem,
            "confidence": self.confidence,
            "delay_s": self.delay_s,
        }


def selftest(config: Config, bundle: Bundle, scorer: Scorer) -> Result:
    """Return what the pipeline of ``config`` makes of the built-in siren, on every approach at once."""
    rendered = render(SCENE)
    siren_from = to_samples(QUIET_S + float(rendered.truth["audible_from_s"]))
    siren_to = to_samples(QUIET_S + float(rendered.truth["audible_to_s"]))
    scribe = Scribe(
        site=config.site,
        boot_id="selftest",
        mode="replay",
        model=bundle.name,
        clock=ReplayClock(),
        valid_for_s=config.call.valid_for_s,
    )
    channels = range(len(config.approaches))
    each_for_itself = replace(config, arbitration=ArbitrationConfig(mode="parallel"))
    stages = Stages.of(each_for_itself, bundle, scorer, scribe, channels=channels)
    told = [event for event in detect(_blocks(rendered.pcm, len(channels)), stages) if not event.refresh]
    for approach in stages.watches:
        states = [(event.state, event.sample) for event in told if event.approach == approach]
        problem = _problem(states, siren_from, siren_to)
        if problem is not None:
            return Result(f"{approach}: {problem}")
    call = told[0]
    return Result(None, call.confidence, round(to_seconds(call.sample - siren_from), 2))


def _problem(states: list[tuple[CallState, Samples]], siren_from: Samples, siren_to: Samples) -> str | None:
    """Return what is wrong with an approach's changes of state, given where the siren was audible."""
    match states:
        case []:
            return "the built-in siren was not heard"
        case [(CallState.APPROACHING, called), *_] if called < siren_from:
            return "a call was made before there was a siren"
        case [(CallState.APPROACHING, called), *_] if called > siren_to:
            return "the built-in siren was heard only after it had gone"
        case [(CallState.APPROACHING, _), (CallState.CLEAR, cleared)] if cleared > siren_from:
            return None
        case _:
            return f"one call and its end were due, not {len(states)} changes of state"


def _blocks(siren: Pcm, channels: int) -> Iterator[Block]:
    """Yield noise, the siren and noise again, on every channel."""
    rng = np.random.default_rng(1)
    noise = 10.0 ** (QUIET_DBFS / 20.0) * rng.standard_normal((2, to_samples(QUIET_S)))
    pcm = np.concatenate((noise[0], siren, noise[1])).astype(np.float32)
    for start in range(0, len(pcm), SAMPLE_RATE_HZ):
        piece = pcm[start : start + SAMPLE_RATE_HZ, np.newaxis]
        yield Block(Samples(start), np.repeat(piece, channels, axis=1))
