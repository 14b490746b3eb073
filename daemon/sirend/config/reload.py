"""What a new configuration changes, and which of it a running daemon can take up. Pure."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sirend.config.settings import Config

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
    """Return ``old`` with what of ``new`` can be taken up, the keys taken up, and those that need a restart."""
    differing = list(changes(old, new))
    taken = [key for key in differing if key in RELOADABLE]

    def parts(section: str) -> dict[str, Any]:
        names = [key.partition(".")[2] for key in taken if key.startswith(f"{section}.")]
        return {name: getattr(getattr(new, section), name) for name in names}

    merged = replace(old, detect=replace(old.detect, **parts("detect")), call=replace(old.call, **parts("call")))
    return merged, taken, [key for key in differing if key not in RELOADABLE]
