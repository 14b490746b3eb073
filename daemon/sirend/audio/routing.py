"""Which input listens to which approaches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sirend.config.settings import Approach, AudioConfig, Config


@dataclass(frozen=True, slots=True)
class Pickup:
    """An input and the approaches that it listens to."""

    audio: AudioConfig
    approaches: tuple[Approach, ...]


def pickups(config: Config) -> list[Pickup]:
    """Return the inputs with their approaches, both in the order in which ``config.approaches`` names them.

    Of another than ``audio.device`` as many channels are opened as its approaches need.
    """
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
    """Return the column of a recording of the site that belongs to each approach.

    Several inputs have columns of the same number: a recording of them has one for each approach, in their order.
    """
    if len(pickups(config)) > 1:
        return list(range(len(config.approaches)))
    return [approach.channel for approach in config.approaches]
