"""What a new configuration changes, and which of it a running daemon can take up. Pure."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from sirend.config.settings import Config
from sirend.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RELOADABLE = frozenset(
    {
        "detect.confirm_s",
        "detect.release_s",
        "call.min_duration_s",
        "call.max_presence_s",
        "call.rearm_gap_s",
        "call.max_calls_per_hour",
        "call.inhibit",
    }
)
"""Keys of the call's state machine: it takes them in between two windows, while a call may stand."""
KEPT = (
    "mqtt.sign_key_file",
    "mqtt.tls",
    "mqtt.tls.ca_file",
    "mqtt.tls.cert_file",
    "mqtt.password_file",
    "journal.path",
    "web.token_file",
    "web.tls",
    "call.departed_s",
    "call.stationary_s",
    "call.inhibit",
)
"""Keys that protect as long as they say something; of a list, every entry does."""
NARROWING = ("detect.profile", "detect.tones")
"""Keys by which less calls, but by their defaults."""
SWITCHES = {"call.advisory": True, "mqtt.insecure": False, "listen.rehearsal": False}
"""Switches, by the position that protects."""
LIMITS: dict[str, Callable[..., float]] = {
    "call.max_presence_s": max,
    "call.max_calls_per_hour": max,
    "call.valid_for_s": max,
    "call.rearm_gap_s": min,
    "detect.confirm_s": min,
    "detect.enter": min,
}
"""Limits, by which of two values is the weaker. They may be changed, but not fall back to a default that is weaker."""


def changes(old: Any, new: Any, path: str = "") -> Iterator[str]:  # noqa: ANN401  any dataclass of settings
    """Yield the keys, such as ``mqtt.port``, in which two configurations differ."""
    for field in fields(old):
        before, after = getattr(old, field.name), getattr(new, field.name)
        within = f"{path}{field.name}"
        if is_dataclass(before) and is_dataclass(after):
            yield from changes(before, after, f"{within}.")
        elif before != after:
            yield within


def merge(old: Config, new: Config) -> tuple[Config, list[str], list[str]]:
    """Return ``old`` with what of ``new`` can be taken up, the keys taken up, and those that need a restart.

    Raises ``ConfigError`` when ``new`` lacks a protection that ``old`` has.
    """
    if lost := weaker(old, new):
        problem = (
            f"it takes away {', '.join(lost)}; a file that was cut off looks just like that, so a reload does not do "
            "it: restart sirend if it is meant, with what is to go written out, such as null"
        )
        raise ConfigError("the new configuration", [problem])
    differing = list(changes(old, new))
    taken = [key for key in differing if key in RELOADABLE]

    def parts(section: str) -> dict[str, Any]:
        names = [key.partition(".")[2] for key in taken if key.startswith(f"{section}.")]
        return {name: getattr(getattr(new, section), name) for name in names}

    merged = replace(old, detect=replace(old.detect, **parts("detect")), call=replace(old.call, **parts("call")))
    return merged, taken, [key for key in differing if key not in RELOADABLE]


def weaker(old: Config, new: Config) -> list[str]:
    """Return the keys that protect in ``old`` and do no longer, or less, in ``new``."""
    kept = [key for key in KEPT if _size(_value(new, key)) < _size(_value(old, key))]
    kept = [key for key in kept if not any(key.startswith(f"{other}.") for other in kept)]
    switches = [key for key, safe in SWITCHES.items() if _value(old, key) is safe and _value(new, key) is not safe]
    wider = [key for key in NARROWING if _value(new, key) == _value(Config(), key) != _value(old, key)]
    limits = [key for key, weak in LIMITS.items() if _fell_back(_value(old, key), _value(new, key), key, weak)]
    return [*kept, *switches, *wider, *limits]


def _value(config: Config, key: str) -> Any:  # noqa: ANN401  of any key
    """Return the value of a dotted ``key``, None where its section is not there."""
    value: Any = config
    for name in key.split("."):
        value = getattr(value, name, None)
    return value


def _size(value: object) -> int:
    """Return how much ``value`` says: nothing, something, or so many entries."""
    return len(value) if isinstance(value, tuple) else int(value is not None)


def _fell_back(before: float | None, after: float | None, key: str, weak: Callable[..., float]) -> bool:
    """Return whether a limit went back to its default, which is the weaker value; None leaves it to the model."""
    if before is None or before == after or after != _value(Config(), key):
        return False
    return after is None or weak(before, after) == after
