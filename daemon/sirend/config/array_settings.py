"""What can be wrong with the section ``array`` and the approaches that are its sectors."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

from sirend.config import geometry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sirend.config.settings import Approach, ArrayConfig, AudioConfig

MAIN = "main"
"""The approach that hears all round."""


def array_contradictions(array: ArrayConfig, approaches: Sequence[Approach], channels: int) -> list[str]:
    """Return a problem for each thing that keeps ``array``, on a device of ``channels``, from telling the legs."""
    found = [f"array.geometry: {problem}" for problem in geometry.problems(geometry.of(array.geometry), channels)]
    legs = [each for each in approaches if each.bearing_deg is not None]
    if not legs:
        found.append("array: no approach has a bearing_deg; give each leg one, and a width_deg")
    for one, other in combinations(legs, 2):
        between_deg = apart_deg(_deg(one), _deg(other))
        if between_deg < (one.width_deg + other.width_deg) / 2.0:
            found.append(
                f"approaches {one.name} and {other.name} overlap: {between_deg:g} degrees lie between their bearings, "
                f"their widths take {(one.width_deg + other.width_deg) / 2.0:g}; make width_deg smaller"
            )
    if array.unknown_leg == MAIN and MAIN not in [each.name for each in approaches]:
        found.append("array.unknown_leg is main: add an approach called main, without a bearing, or choose hold or all")
    found += [
        f"approaches {each.name}: bearing_deg is missing; only main may hear all round"
        for each in approaches
        if each.bearing_deg is None and each.name != MAIN
    ]
    found += [
        f"approaches {each.name}: device is {each.device!r}, but an array is one device: leave it out"
        for each in approaches
        if each.device is not None
    ]
    return found


def opened(array: ArrayConfig, audio: AudioConfig) -> AudioConfig:
    """Return ``audio`` with the device of ``array``, and as many channels as its microphones take."""
    channels = max(1 + max(geometry.of(array.geometry).channels), audio.channels)
    return replace(audio, device=array.device or audio.device, channels=channels)


def apart_deg(one_deg: float, other_deg: float) -> float:
    """Return the angle between two bearings, 0..180 degrees."""
    return abs((one_deg - other_deg + 180.0) % 360.0 - 180.0)


def _deg(approach: Approach) -> float:
    return 0.0 if approach.bearing_deg is None else approach.bearing_deg
