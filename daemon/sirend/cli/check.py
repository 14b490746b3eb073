"""``sirend check``: everything about a configuration and its model that can be known before the first sample."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sirend.audio.routing import pickups
from sirend.audio.stream import to_seconds
from sirend.config import load as config
from sirend.detect import bundle
from sirend.detect.classifier import Classifier
from sirend.detect.features import Spectrogram
from sirend.detect.golden import listen
from sirend.errors import ConfigError
from sirend.observe.snapshot import Post, View
from sirend.service.extras import onlookers

if TYPE_CHECKING:
    from pathlib import Path

    from sirend.config.settings import Config
    from sirend.detect.bundle import Bundle

FEATURES_TOLERANCE = 1e-3
"""Largest difference of a log-mel value between this machine and the one that trained."""
SCORE_TOLERANCE = 1e-2
"""Largest difference of a score: processors add in different orders, and an int8 network rounds what they add."""
GOLDEN_FILE = "golden.npz"


def check(path: Path) -> list[str]:
    """Return what the configuration in ``path`` amounts to, in lines; raise ``ConfigError`` with all its problems."""
    loaded = config.load(path)
    problems: list[str] = []
    ntcip = loaded.listen.ntcip
    secrets = [loaded.mqtt.password_file, loaded.web.token_file]
    secrets += [] if ntcip is None else [ntcip.community_file, ntcip.auth_file, ntcip.priv_file]
    signing = loaded.mqtt.sign_key_file
    for read, file in (*((config.secret, file) for file in secrets), (config.sign_key, signing)):
        try:
            if file is not None:
                read(file)
        except ConfigError as error:
            problems.append(str(error))
    inputs = "; ".join(
        ", ".join(f"{approach.name} (channel {approach.channel})" for approach in pickup.approaches)
        + f" of the input {pickup.audio.device!r}"
        for pickup in pickups(loaded)
    )
    lines = [
        f"site {loaded.site}: {inputs}",
        (
            f"broker {loaded.mqtt.host}:{loaded.mqtt.port}, {'TLS' if loaded.mqtt.tls else 'not encrypted'}, "
            f"{'signed' if loaded.mqtt.sign_key_file else 'not signed'}, topics {loaded.mqtt.prefix}/{loaded.site}/..."
        ),
        *_outputs(loaded),
    ]
    web, metrics, clips = loaded.web, loaded.metrics, loaded.clips
    if web.enabled:
        lines.append(
            f"page at {'https' if web.tls else 'http'}://{web.bind}:{web.port}/, "
            f"{'for those who know the token' if web.token_file else 'for everyone on this machine'}"
        )
    if metrics.enabled:
        lines.append(f"metrics at http://{metrics.bind}:{metrics.port}/metrics")
    if clips.enabled:
        lines.append(f"{clips.keep} of calls in {clips.path}, up to {clips.max_mb} MB and {clips.max_age_days} days")
    try:
        model = bundle.load(bundle.find(loaded.detect.model))
        post = Post.of(loaded, model)
        rules = post.rules
        onlookers(loaded, View(post))  # tells of an extra that is missing, of a certificate that cannot be used
        lines += [
            _verified(model),
            (
                f"{loaded.detect.profile}: a siren is heard from {rules.enter:g} and gone below {rules.exit:g}; "
                "confirmed after "
                f"{to_seconds(rules.confirm):g} s, released after {to_seconds(rules.release):g} s"
            ),
        ]
    except ConfigError as error:
        problems += [f"{error.where}: {problem}" for problem in error.problems]
    if problems:
        raise ConfigError(str(path), list(dict.fromkeys(problems)))
    return lines


def _outputs(loaded: Config) -> list[str]:
    """Return what ``sirend listen`` would do with a call, in a line, where it does anything."""
    listen = loaded.listen
    parts = ["runs a command"] if listen.command else []
    parts += [f"GPIO {relay.pin} for {relay.approach}" for relay in listen.relays]
    if listen.ntcip is not None:
        served = ", ".join(f"preempt {each.number} for {each.approach}" for each in listen.ntcip.preempts)
        parts.append(f"controller {listen.ntcip.host}:{listen.ntcip.port} by SNMP {listen.ntcip.version}: {served}")
    if listen.rehearsal and parts:
        parts.append("also in advisory and replayed calls (rehearsal)")
    return [f"sirend listen: {'; '.join(parts)}"] if parts else []


def _verified(model: Bundle) -> str:
    """Return what was found right about ``model``; raise ``ConfigError`` when it computes something else here."""
    golden = model.path / GOLDEN_FILE
    if not golden.is_file():
        Classifier(model)
        return f"model {model.name}: digests verified"
    try:
        with np.load(golden, allow_pickle=False) as saved:
            pcm, features, scores = saved["pcm"], saved["features"], saved["score"]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(str(golden), [f"the golden windows cannot be read: {error}"]) from error
    if model.streaming is not None:
        log_mel, scored = listen(model, pcm)
    else:
        here = Spectrogram.of(model.feature_spec, pcm.astype(np.float32) / np.float32(32_768))
        log_mel, scored = here.log, Classifier(model, len(pcm)).score(here)
    off = _off(log_mel, features)
    if off > FEATURES_TOLERANCE:
        raise ConfigError(
            str(golden), [f"features differ by {off:.2g} from those of the training; report this machine"]
        )
    off = _off(scored, scores)
    if off > SCORE_TOLERANCE:
        raise ConfigError(str(golden), [f"scores differ by {off:.2g} from those of the training; report this machine"])
    return f"model {model.name}: digests verified, {len(scores)} golden windows give the same scores here"


def _off(here: npt.NDArray[np.float32], there: npt.NDArray[np.float32]) -> float:
    """Return the largest difference; infinite where the shapes differ, or anything is no number."""
    if here.shape != there.shape or not here.size or np.isnan(there).any():
        return math.inf
    return float(np.abs(here - there).max())
