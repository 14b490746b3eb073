"""``sirend check``: everything about a configuration and its model that can be known before the first sample."""

from __future__ import annotations

import importlib.util
import math
import threading
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from paho.mqtt.enums import MQTTProtocolVersion

from sirend.audio import rtsp
from sirend.audio.devices import Devices
from sirend.audio.routing import pickups
from sirend.audio.stream import to_seconds
from sirend.config import load as config
from sirend.config.secrets_in_use import Secret, secrets_of
from sirend.detect import bundle
from sirend.detect.classifier import Classifier
from sirend.detect.golden import golden_outputs
from sirend.errors import ConfigError
from sirend.observe.snapshot import Setup, View
from sirend.publish.mqtt.access import client_id_of, new_client
from sirend.service.extras import onlookers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sirend.config.settings import Config
    from sirend.detect.bundle import Bundle

FEATURES_TOLERANCE = 1e-3
"""Largest difference of a log-mel value between this machine and the one that trained."""
SCORE_TOLERANCE = 3e-2
"""Largest difference of a score: processors add in different orders, and an int8 network rounds what they add.

Features that are off by 1e-6 move a score of siren-2.0.0 by up to .018, another runtime's kernels by .016."""
ADVISORY = (
    "ADVISORY ONLY: every call is information, no controller acts on it; when what was called in weeks was right, set "
    "call.advisory: false"
)
GOLDEN_FILE = "golden.npz"


def check_file(path: Path, *, with_devices: bool = False) -> list[str]:
    """Return what the configuration in ``path`` amounts to, in lines, and what was not looked at.

    Raises ``ConfigError`` with all its problems; with ``with_devices``, ``DeviceError`` when an input cannot be opened.
    """
    loaded, problems = config.examine(path)
    missing = [problem.split(" ")[0] for problem in problems]
    problems += [*_extras(loaded), *_secrets(loaded, missing)]
    lines: list[str] = []
    try:
        lines = _decisions(loaded)
    except ConfigError as error:
        problems += [f"{error.where}: {problem}" for problem in error.problems]
    if not problems:
        try:
            onlookers(loaded, View(Setup.of(loaded, bundle.load_configured(loaded.detect))))
            new_client(loaded.mqtt, client_id_of(loaded.mqtt, loaded.site), MQTTProtocolVersion.MQTTv5)
        except ConfigError as error:  # such as a certificate that cannot be used
            problems += [f"{error.where}: {problem}" for problem in error.problems]
    if problems:
        raise ConfigError(str(path), list(dict.fromkeys(problems)))
    if with_devices:
        lines += _tried(loaded)
    return [*_summary(loaded), *lines, _overlooked(loaded, with_devices=with_devices)]


def _tried(loaded: Config) -> list[str]:
    """Return what became of opening each input; raise ``DeviceError`` when one cannot be opened."""
    inputs = pickups(loaded)
    own = [pickup for pickup in inputs if not pickup.audio.is_network]
    lines = []
    if own:
        with Devices(own, threading.Event()) as devices:
            lines.append(f"opened: {', '.join(repr(name) for name in dict.fromkeys(devices.names))}")
    lines += [f"{each.audio.device}: {rtsp.stream_report(each.audio)}" for each in inputs if each.audio.is_network]
    return lines


def _summary(loaded: Config) -> list[str]:
    """Return what is configured, in lines."""
    inputs = "; ".join(
        ", ".join(f"{approach.name} (channel {approach.channel})" for approach in pickup.approaches)
        + f" of the input {pickup.audio.device!r}"
        for pickup in pickups(loaded)
    )
    web, metrics, clips = loaded.web, loaded.metrics, loaded.clips
    lines = [ADVISORY] if loaded.call.advisory else []
    lines += [
        f"site {loaded.site}: {inputs}",
        (
            f"broker {loaded.mqtt.host}:{loaded.mqtt.port}, {'TLS' if loaded.mqtt.tls else 'not encrypted'}, "
            f"{'signed' if loaded.mqtt.sign_key_file else 'not signed'}, topics {loaded.mqtt.prefix}/{loaded.site}/..."
        ),
        *_outputs(loaded),
    ]
    if web.enabled:
        lines.append(
            f"page at {'https' if web.tls else 'http'}://{web.bind}:{web.port}/, "
            f"{'for those who know the token' if web.token_file else 'for everyone on this machine'}"
        )
    if metrics.enabled:
        lines.append(f"metrics at http://{metrics.bind}:{metrics.port}/metrics")
    if clips.enabled:
        lines.append(f"{clips.keep} of calls in {clips.path}, up to {clips.max_mb} MB and {clips.max_age_days} days")
    return lines


def _decisions(loaded: Config) -> list[str]:
    """Return how a siren is decided on; raise ``ConfigError`` when the model or its thresholds cannot be used."""
    model = bundle.load_configured(loaded.detect)
    rules = Setup.of(loaded, model).rules
    lines = [
        _verified(bundle.load(model.path)),
        (
            f"{loaded.detect.profile}: a siren is heard from {rules.enter:g} and gone below {rules.exit:g}; "
            f"confirmed after {to_seconds(rules.confirm):g} s, released after {to_seconds(rules.release):g} s"
        ),
    ]
    if rules.tones is not None:
        unsure = "" if "unknown" in rules.tones else "; one whose kind is never certain does not call"
        lines.append(f"only these kinds of siren call: {', '.join(loaded.detect.tones or ())}{unsure}")
    return lines


def _overlooked(loaded: Config, *, with_devices: bool) -> str:
    """Return a line that says what was not looked at."""
    things = [] if with_devices else ["whether the microphone is there (sirend check --devices)"]
    things += ["the broker", "the disk"]
    things += ["the controller"] if loaded.listen.ntcip is not None else []
    things += ["the GPIO lines"] if loaded.listen.relays else []
    return f"not looked at: {', '.join(things)}; sirend doctor tries what a site needs"


def _extras(loaded: Config) -> list[str]:
    """Return a problem for each part that is configured and lacks its extra."""
    listen = loaded.listen
    wanted = [
        (loaded.metrics.enabled, "metrics.enabled", "prometheus_client", "prometheus-client", "metrics"),
        (loaded.web.enabled, "web.enabled", "aiohttp", "aiohttp", "web"),
        (loaded.clips.enabled, "clips.enabled", "matplotlib", "matplotlib", "plot"),
        (bool(listen.relays), "listen.relays", "gpiozero", "gpiozero", "gpio"),
        (listen.ntcip is not None, "listen.ntcip", "pysnmp", "pysnmp", "ntcip"),
        (any(each.audio.is_network for each in pickups(loaded)), "audio.device", "av", "PyAV", "rtsp"),
    ]
    return [
        f"{key}: {name} is missing: sudo make install EXTRAS={extra}, or make venv EXTRAS={extra}"
        for is_wanted, key, module, name, extra in wanted
        if is_wanted and not _is_installed(module)
    ]


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # it is in ``sys.modules`` without a specification
        return False


def _secrets(loaded: Config, missing: Sequence[str]) -> list[str]:
    """Return a problem for each secret that cannot be used, without those that ``missing`` names already."""
    ntcip = loaded.listen.ntcip
    files = secrets_of(loaded)
    if ntcip is not None:
        names = ("community_file", "auth_file", "priv_file")
        files += [Secret(f"listen.ntcip.{name}", getattr(ntcip, name)) for name in names]
    return [problem for each in files if each.key not in missing and (problem := each.problem()) is not None]


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
    log_mel, scored = golden_outputs(model, pcm)
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
