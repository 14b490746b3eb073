"""The microphones, heard for some seconds."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from sirend.audio import rtsp
from sirend.audio.devices import Devices
from sirend.audio.diagnosis import CLIPPED, Floor, InputFault, faults_of
from sirend.audio.level import level_dbfs
from sirend.audio.portaudio import load_sounddevice
from sirend.audio.routing import pickups
from sirend.audio.stream import SAMPLE_RATE_HZ, Block
from sirend.cli.doctor.finding import Finding, Grade
from sirend.errors import ConfigError, DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sirend.audio.stream import Pcm
    from sirend.config.settings import Config

HEARD_S = 3.0
LONGEST_S = 15.0
"""A device may take some seconds to begin."""
FLOOR_PERCENTILE = 10.0
STEP = SAMPLE_RATE_HZ // 20
"""50 ms."""
QUIET_DBFS = -75.0
"""A street is never so quiet: the gain is too low, or the microphone is covered (assumed)."""


def microphones(config: Config, quiet_dbfs: float = QUIET_DBFS) -> Iterator[Finding]:
    """Yield how each approach is heard: level, noise floor, peak, and what is wrong with the samples.

    Under ``quiet_dbfs`` it is told of.
    """
    for each in pickups(config):
        if each.audio.is_network:
            try:
                yield Finding("microphone", Grade.OK, f"{each.audio.device}: {rtsp.stream_report(each.audio)}")
            except (DeviceError, ConfigError) as error:
                yield Finding("microphone", Grade.FAULT, str(error))
                return
    if not all(each.audio.is_network for each in pickups(config)):
        try:
            load_sounddevice()
        except DeviceError as error:  # whoever uses the microphone is not why
            yield Finding("microphone", Grade.FAULT, str(error))
            return
    try:
        heard = record_inputs(config)
    except (DeviceError, ConfigError) as error:
        yield Finding("microphone", Grade.FAULT, f"{error}; is the service using it? systemctl stop sirend")
        return
    for name, pcm in heard.items():
        yield input_finding(name, pcm, quiet_dbfs)


def record_inputs(config: Config) -> dict[str, Pcm]:
    """Return ``HEARD_S`` of each approach, float32[n], or less where a device gives less within ``LONGEST_S``."""
    parts = pickups(config)
    wanted = int(HEARD_S * SAMPLE_RATE_HZ)
    blocks: list[list[Pcm]] = [[] for _ in parts]
    stop = threading.Event()
    until = time.monotonic() + LONGEST_S
    with Devices(parts, stop) as devices:
        for number, item in devices:
            if isinstance(item, Block):
                blocks[number].append(item.pcm)
            counts = [sum(map(len, each)) for each in blocks]
            if min(counts) >= wanted or time.monotonic() > until:
                stop.set()
    heard: dict[str, Pcm] = {}
    for part, own in zip(parts, blocks, strict=True):
        pcm = np.concatenate(own)[:wanted] if own else np.zeros((0, 64), dtype=np.float32)
        heard |= {approach.name: pcm[:, approach.channel] for approach in part.approaches}
    return heard


def input_finding(name: str, pcm: Pcm, quiet_dbfs: float) -> Finding:
    """Return how the approach ``name`` is heard in float32[n]."""
    if len(pcm) < SAMPLE_RATE_HZ:
        return Finding("microphone", Grade.FAULT, f"{name}: no sound arrives within {LONGEST_S:.0f} s; check its cable")
    steps = pcm[: len(pcm) // STEP * STEP].reshape(-1, STEP)
    floor = float(np.percentile([level_dbfs(step) for step in steps], FLOOR_PERCENTILE))
    level, peak = level_dbfs(pcm), 20.0 * float(np.log10(max(1e-6, float(np.abs(pcm).max()))))
    heard_s = len(pcm) / SAMPLE_RATE_HZ
    text = f"{name}: level {level:.0f} dBFS, noise floor {floor:.0f}, peak {peak:.0f}, over {heard_s:.1f} s"
    faults = faults_of(pcm[-SAMPLE_RATE_HZ:], pcm[:-SAMPLE_RATE_HZ][-SAMPLE_RATE_HZ:], Floor())
    if float(np.mean(np.abs(pcm) >= CLIPPED)) > 0.0:
        faults |= {InputFault.CLIPPING}
    if faults:
        deaf = any(fault.is_deaf for fault in faults)
        return Finding("microphone", Grade.FAULT if deaf else Grade.WARNING, f"{text}: {'; '.join(sorted(faults))}")
    if level < quiet_dbfs:
        text += ": very quiet, unless it is night; raise the recording level"
        return Finding("microphone", Grade.WARNING, text)
    return Finding("microphone", Grade.OK, text)
