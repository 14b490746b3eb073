"""``sirend bearing``: the installer walks round an array and claps; whether it is as it is configured."""
# ruff: noqa: T201

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from sirend.audio.devices import Devices
from sirend.audio.recording import WavFile
from sirend.audio.routing import pickups
from sirend.audio.stream import Block, to_samples
from sirend.config import geometry
from sirend.config import load as config
from sirend.detect.bearing_course import apart
from sirend.detect.clap import GONE_S, Clap, Claps, locate_clap
from sirend.detect.layout import layout_report
from sirend.errors import ConfigError, DeviceError, InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from sirend.audio.stream import Pcm
    from sirend.config.geometry import Geometry
    from sirend.config.settings import ArrayConfig, Config

BLOCK_S = 0.25


def main(args: argparse.Namespace) -> int:
    """Hear the claps, print each, and say what is wrong."""
    loaded = config.load(args.config)
    array = loaded.array
    if array is None:
        raise ConfigError(str(args.config), ["array: none is configured, and a single microphone has no bearing"])
    layout = geometry.of(array.geometry)
    expected: tuple[float, ...] = args.expect or ()
    sound = _live(loaded, args.seconds) if args.wav is None else _recorded(args.wav, layout)
    if args.wav is None:
        way = "counter-clockwise" if args.counter_clockwise else "clockwise"
        where = f"at {_listed(expected)} degrees, in that order" if expected else f"from place to place, {way}"
        print(f"Walk round the array and clap once {where}, 4 to 10 m from it. Ctrl-C ends.", flush=True)
    heard = _heard(sound, layout, array, expected, is_live=args.wav is None)
    if not heard or (expected and len(heard) != len(expected)):
        wanted = f"{len(expected)} were expected: clap once at each bearing" if expected else "clap louder and nearer"
        text = f"{len(heard)} claps were heard; {wanted}"
        raise DeviceError(text) if args.wav is None else InputError(f"{args.wav}: {text}")
    report = layout_report(heard, layout, array.heading_deg, expected, is_clockwise=not args.counter_clockwise)
    if report.is_dead:
        raise DeviceError("; ".join(report.problems))
    if report.problems:
        raise ConfigError(str(args.config), list(report.problems))
    left = "" if expected else "; state where you clap with --expect to have the heading checked too"
    print(f"ok: {len(heard)} claps agree with the array as it is configured{left}")
    return 0


def _heard(
    sound: Iterable[Pcm], layout: Geometry, array: ArrayConfig, expected: Sequence[float], *, is_live: bool
) -> list[Clap]:
    """Return the claps of ``sound``, each of which is printed; a live one ends when as many were heard as expected."""
    found: list[Clap] = []
    claps = Claps(layout)
    try:
        for pcm in sound:
            for clap in claps.push(pcm):
                found.append(clap)
                at = expected[len(found) - 1] if len(found) <= len(expected) else None
                print(f"clap {len(found)}: {clap_line(clap, layout, array.heading_deg, at)}", flush=True)
            if is_live and expected and len(found) >= len(expected):
                break
    except KeyboardInterrupt:
        print()
    return found


def clap_line(clap: Clap, layout: Geometry, heading_deg: float, expected_deg: float | None) -> str:
    """Return what is heard of a clap, in words."""
    found = locate_clap(np.array(layout.places_m), np.array(clap.arrival_s))
    level = f"{clap.level_dbfs:.0f} dBFS"
    if found is None:
        return f"no direction, {level}"
    deg = (found.deg + heading_deg) % 360.0
    off = "" if expected_deg is None else f", {float(apart(deg, expected_deg)):+.0f} from the {expected_deg:g} expected"
    return f"{round(deg) % 360} +- {found.sd_deg:.0f} degrees{off}, {level}"


def _recorded(path: Path, layout: Geometry) -> Iterator[Pcm]:
    """Yield a recording of the array: float32[n, microphones]."""
    with WavFile(path, block_s=BLOCK_S) as recording:
        if recording.channels <= max(layout.channels):
            raise InputError(
                f"{path}: it has {recording.channels} columns, and the array's microphones are "
                f"{_listed(layout.channels)} (counted from 0): record all channels of its device"
            )
        for block in recording:
            yield block.pcm[:, list(layout.channels)]
        yield np.zeros((to_samples(2 * GONE_S), len(layout.channels)), np.float32)  # a clap at the very end is over too


def _live(loaded: Config, seconds: float) -> Iterator[Pcm]:
    """Yield what the array hears for so long: float32[n, microphones]."""
    (pickup,) = pickups(loaded)
    channels = [] if loaded.array is None else list(geometry.of(loaded.array.geometry).channels)
    stop = threading.Event()
    until = time.monotonic() + seconds
    with Devices([pickup], stop) as devices:
        for _, item in devices:
            if isinstance(item, Block):
                yield item.pcm[:, channels]
            if time.monotonic() > until:
                stop.set()


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{each:g}" for each in numbers)
