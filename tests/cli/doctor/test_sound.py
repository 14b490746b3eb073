from __future__ import annotations

import sys

import numpy as np
import pytest

from sirend.cli.doctor.sound import input_finding, microphones
from sirend.config.settings import Config

NOISE = np.random.default_rng(1).standard_normal(48_000).astype(np.float32)
TONE = np.sin(2 * np.pi * 700 / 16_000 * np.arange(48_000)).astype(np.float32)


@pytest.mark.parametrize(
    ("pcm", "grade", "part"),
    [
        (0.01 * NOISE, "ok", "main: level -40 dBFS, noise floor -40, peak -"),
        (np.zeros(48_000, dtype=np.float32), "FAULT", "digital silence"),
        (0.001 * NOISE, "ok", "main: level -60 dBFS"),
        (0.0005 * NOISE, "warning", "very quiet, unless it is night; raise the recording level"),
        (np.clip(3.0 * TONE, -1.0, 1.0), "warning", "clipping"),
        (0.01 * NOISE[:8_000], "FAULT", "no sound arrives"),
    ],
)
def test_what_is_heard_is_judged(pcm: np.ndarray[tuple[int], np.dtype[np.float32]], grade: str, part: str) -> None:
    found = input_finding("main", pcm, -64.0)
    assert found.grade == grade
    assert part in found.text


def test_a_missing_library_is_not_laid_to_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    (found,) = microphones(Config())
    assert found.grade == "FAULT"
    assert found.text.endswith(": sudo apt-get install libportaudio2")
