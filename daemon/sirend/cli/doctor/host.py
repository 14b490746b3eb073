"""The computer: clock, disk, temperature, throttling, memory, and whether it is fast enough for the model."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import struct
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sirend.audio.stream import Block, Samples, to_samples
from sirend.audio.windows import Windows
from sirend.cli.doctor.finding import Finding, Grade
from sirend.detect.classifier import Classifier
from sirend.detect.features import Extractor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sirend.config.settings import Config
    from sirend.detect.bundle import Bundle

MODEL = Path("/proc/device-tree/model")
THERMAL = Path("/sys/class/thermal/thermal_zone0/temp")
HOT_C, TOO_HOT_C = 70.0, 80.0
"""A Raspberry Pi slows down at 80 degrees."""
LEAST_FREE_MB, LITTLE_FREE_MB = 50, 500
WRONG_CLOCK_S = 1.0
"""Largest error of a clock by which events are laid beside those of others."""
TIME_ERROR = 5
"""What ``adjtimex`` returns while the clock is not synchronised (adjtimex(2))."""
MOST_ERROR_AT = 24
"""Offset of ``maxerror``, microseconds, in ``struct timex`` of 64-bit Linux."""
THROTTLING = {
    0: "the voltage is too low now: another power supply or cable",
    2: "the processor is slowed down now: cool it, or power it better",
    3: "it is near its limit of temperature now: cool it",
    16: "the voltage was too low since the start: another power supply or cable",
    18: "the processor was slowed down since the start: cool it, or power it better",
}
"""Bits of ``vcgencmd get_throttled`` (Raspberry Pi documentation)."""
COMMAND_S = 5.0
TRIALS = 5
PATCHES = to_samples(0.5)
"""A bundle may hear a patch only every half second: the dearest window in so long tells, the cheapest trial of it."""
BUSY = 0.5
"""Share of the hop that a window may cost: the rest is for sound, broker and page."""


def machine() -> Finding:
    """Return what computer and system this is."""
    model = MODEL.read_text(errors="replace").strip("\0\n") if MODEL.exists() else platform.machine()
    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        system = platform.system()
    text = f"{model}, {os.cpu_count()} cores, {system}, Linux {platform.release()}, Python {platform.python_version()}"
    return Finding("computer", Grade.OK, text)


def clock() -> Finding:
    """Return whether the kernel's clock is kept right by somebody (NTP, PTP, GPS)."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        timex = ctypes.create_string_buffer(208)
        state = int(libc.adjtimex(timex))
        error_s = struct.unpack_from("=q", timex.raw, MOST_ERROR_AT)[0] / 1e6
    except (OSError, AttributeError):
        return Finding("clock", Grade.SKIPPED, "this system does not tell whether its clock is synchronised")
    if state < 0:
        return Finding("clock", Grade.SKIPPED, "the kernel does not tell whether its clock is synchronised")
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if state == TIME_ERROR:
        text = f"{now}, not synchronised: times of events cannot be relied on; sudo timedatectl set-ntp true"
        return Finding("clock", Grade.WARNING, text)
    grade = Grade.OK if error_s < WRONG_CLOCK_S else Grade.WARNING
    return Finding("clock", grade, f"{now}, synchronised, wrong by {error_s:.3f} s at most")


def disks(config: Config) -> Iterator[Finding]:
    """Yield how much room there is where something is to be kept, and whether it can be written."""
    places = {"journal": config.journal.path, "clips": config.clips.path if config.clips.enabled else None}
    for name, path in places.items():
        if path is None:
            continue
        folder = path if name == "clips" else path.parent
        if not folder.is_dir():
            text = f"{name}: {folder} is missing; the service makes it where it may, or: sudo mkdir -p {folder}"
            yield Finding("disk", Grade.WARNING, text)
            continue
        free_mb = shutil.disk_usage(folder).free // 1_000_000
        text = f"{name}: {free_mb} MB free at {folder}"
        if not os.access(folder, os.W_OK):
            yield Finding("disk", Grade.WARNING, f"{text}, which you may not write to; the service's own user may")
        elif free_mb < LEAST_FREE_MB:
            yield Finding("disk", Grade.FAULT, f"{text}: make room, the journal cannot go on")
        else:
            yield Finding("disk", Grade.OK if free_mb >= LITTLE_FREE_MB else Grade.WARNING, text)


def temperature() -> Finding:
    """Return how hot the processor is."""
    try:
        celsius = int(THERMAL.read_text(encoding="ascii")) / 1000.0
    except (OSError, ValueError):
        return Finding("temperature", Grade.SKIPPED, "this computer does not tell it")
    text = f"{celsius:.1f} degrees C"
    if celsius >= TOO_HOT_C:
        return Finding("temperature", Grade.FAULT, f"{text}: it slows down; shade it, cool it")
    if celsius >= HOT_C:
        return Finding("temperature", Grade.WARNING, f"{text}: near {TOO_HOT_C:.0f}, at which it slows down")
    return Finding("temperature", Grade.OK, text)


def throttling() -> Finding:
    """Return whether a Raspberry Pi is, or was, slowed down for want of power or for heat."""
    program = shutil.which("vcgencmd")
    if program is None:
        return Finding("throttling", Grade.SKIPPED, "no vcgencmd here: this is no Raspberry Pi")
    try:
        words = [program, "get_throttled"]
        said = subprocess.run(words, capture_output=True, text=True, timeout=COMMAND_S, check=True).stdout  # noqa: S603
        bits = int(said.strip().partition("=")[2], 16)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return Finding("throttling", Grade.SKIPPED, f"vcgencmd get_throttled does not answer: {error}")
    found = [text for bit, text in THROTTLING.items() if bits >> bit & 1]
    if not found:
        return Finding("throttling", Grade.OK, "never since the start")
    return Finding("throttling", Grade.FAULT if bits & 0b1111 else Grade.WARNING, "; ".join(found))


def speed(config: Config, bundle: Bundle) -> Finding:
    """Return what a window of all approaches costs, beside the hop in which the next one comes."""
    approaches, spec = len(config.approaches), bundle.feature_spec
    hop = to_samples(config.detect.hop_s)
    each = max(1, PATCHES // hop)
    noise = 0.01 * np.random.default_rng(0).standard_normal(
        (spec.window_samples + (TRIALS * each + 1) * hop, approaches)
    )
    windows = Windows(window=spec.window_samples, hop=hop, channels=range(approaches))
    awake = replace(bundle, streaming=replace(bundle.streaming, wake=None))  # as while a siren is heard
    extractor, classifier = Extractor(spec), Classifier(awake, approaches)
    costs = []
    for window in windows.push(Block(Samples(0), noise.astype(np.float32))):
        began = time.perf_counter()
        classifier.score(extractor.spectrogram(window))
        costs.append(time.perf_counter() - began)
    spent = [max(costs[first : first + each]) for first in range(1, 1 + TRIALS * each, each)]
    took_s, hop_s = min(spent), config.detect.hop_s
    of = f"{approaches} approach{'es' * (approaches != 1)}"
    text = f"{bundle.name}: a window of {of} takes {1000 * took_s:.0f} ms of the {1000 * hop_s:.0f} until the next"
    if took_s > hop_s:
        return Finding("speed", Grade.FAULT, f"{text}: too slow; fewer approaches, or a faster computer")
    return Finding("speed", Grade.OK if took_s < BUSY * hop_s else Grade.WARNING, text)
