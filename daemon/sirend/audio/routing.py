"""Which input listens to which approaches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import cycle
from typing import TYPE_CHECKING

from sirend.config import geometry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sirend.config.settings import Approach, AudioConfig, Config


@dataclass(frozen=True, slots=True)
class Pickup:
    """An input and the approaches that it listens to."""

    audio: AudioConfig
    approaches: tuple[Approach, ...]


def pickups(config: Config) -> list[Pickup]:
    """Return the inputs with their approaches, both in the order in which ``config.approaches`` names them.

    Of another than ``audio.device`` as many channels are opened as its approaches need. An array is one input, which
    all hear; each watches over another of its microphones.
    """
    if config.array is not None:
        channels = geometry.of(config.array.geometry).channels
        own = tuple(
            replace(approach, channel=channel)
            for approach, channel in zip(config.approaches, cycle(channels), strict=False)
        )
        return [Pickup(config.audio, own)]
    heard: dict[str, list[Approach]] = {}
    for approach in config.approaches:
        heard.setdefault(approach.device or config.audio.device, []).append(approach)
    needed = {device: 1 + max(approach.channel for approach in own) for device, own in heard.items()}
    needed[config.audio.device] = config.audio.channels
    return [
        Pickup(replace(config.audio, device=device, channels=needed[device]), tuple(own))
        for device, own in heard.items()
    ]


def columns(config: Config) -> list[int]:
    """Return the column of a recording of the site that belongs to each approach, or to each microphone of an array.

    Several inputs have columns of the same number: a recording of them has one for each approach, in their order.
    """
    if config.array is not None:
        return list(geometry.of(config.array.geometry).channels)
    if len(pickups(config)) > 1:
        return list(range(len(config.approaches)))
    return [approach.channel for approach in config.approaches]


def rows_of(config: Config, approaches: Sequence[Approach]) -> int:
    """Return how many rows of a window the network hears for ``approaches``: one for each, or one for an array."""
    return len(approaches) if config.array is None else 1
