"""``sirend selftest``: a built-in siren through the whole pipeline, as the daemon would hear it.

``python -m sirend.selftest.run`` is the process that does it for a running daemon: it reads the pickled configuration
from its parent on the standard input, and writes the result to the standard output.

Its result goes to ``{prefix}/{site}/selftest`` alone. A siren marked as a test on the topics of real calls would be
safe with those consumers only that know the mark; a topic of its own is safe with all.
"""

from __future__ import annotations

import json
import pickle
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sirend.audio.stream import SAMPLE_RATE_HZ, Block, Samples, to_samples, to_seconds
from sirend.call.clock import ReplayClock
from sirend.call.scribe import Scribe
from sirend.call.state import CallState
from sirend.config.settings import ArbitrationConfig
from sirend.detect import bundle
from sirend.detect.classifier import Classifier
from sirend.errors import ConfigError
from sirend.host.priority import recede
from sirend.pipeline import Stages, detect
from sirend.selftest.result import SelfTestResult
from sirend.simulate.scene import Scene, render_scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sirend.audio.stream import Pcm
    from sirend.config.settings import Config
    from sirend.detect.bundle import Bundle
    from sirend.pipeline import Scorer
    from sirend.simulate.scene import Rendered

SCENE = Scene(start_m=300.0, speed_kmh=120.0, snr_db=10.0, seed=11)
"""A drive-by that leaves no doubt; what is hard is the model card's matter."""
QUIET_S = 8.0
"""Street noise before the siren, in which nothing may be called, and after it, in which the call must end."""
QUIET_DBFS = -46.0


def selftest_payload(config: Config) -> dict[str, Any]:
    """Return the message about a self-test of what ``config`` describes; raise ``ConfigError`` when nothing can be."""
    rendered = render_scene(SCENE)  # before the model is there: each takes its 50 MB, the first gives them back
    model = bundle.load_configured(config.detect)
    result = selftest(config, model, Classifier(model, len(config.approaches)), rendered)
    return result.payload(config.site, model.name)


def selftest(config: Config, model: Bundle, scorer: Scorer, rendered: Rendered) -> SelfTestResult:
    """Return what the pipeline of ``config`` makes of the rendered ``SCENE``, on every approach at once."""
    siren_from = to_samples(QUIET_S + float(rendered.truth["audible_from_s"]))
    siren_to = to_samples(QUIET_S + float(rendered.truth["audible_to_s"]))
    scribe = Scribe(
        site=config.site,
        boot_id="selftest",
        mode="replay",
        model=model.name,
        clock=ReplayClock(),
        valid_for_s=config.call.valid_for_s,
    )
    channels = range(len(config.approaches))
    each_for_itself = replace(config, arbitration=ArbitrationConfig(mode="parallel"), array=None)
    stages = Stages.of(each_for_itself, model, scorer, scribe, channels=channels)
    told = [event for event in detect(_blocks(rendered.pcm, len(channels)), stages) if not event.refresh]
    for approach in stages.watches:
        states = [(event.state, event.sample) for event in told if event.approach == approach]
        problem = _problem(states, siren_from, siren_to)
        if problem is not None:
            return SelfTestResult(f"{approach}: {problem}")
    call = told[0]
    return SelfTestResult(None, call.confidence, round(to_seconds(call.sample - siren_from), 2))


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


def main() -> None:
    """Test for the parent."""
    recede()
    config = pickle.load(sys.stdin.buffer)  # noqa: S301  from our own parent
    try:
        result = selftest_payload(config)
    except ConfigError as error:
        result = SelfTestResult(str(error)).payload(config.site, "none")
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main()
