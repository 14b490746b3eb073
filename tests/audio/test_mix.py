from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import soundfile
from tests.audio.test_recording import noise, read

from sirend.audio.mix import mix_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from sirend.audio.stream import Pcm

ONE = noise(40_000)
OTHER = noise(40_000, seed=2)
SILENT = np.zeros_like(ONE)
TURNED = "of opposite polarity and turned round, or the mix would cancel out"
DEAD = "silent beside the others and left out of the mix"


def played(path: Path, *channels: Pcm) -> Pcm:
    soundfile.write(path, np.concatenate(channels, axis=1), 16_000, subtype="FLOAT")
    whole = read(path, mono=True)
    assert read(path, mono=True, block_s=0.1).tobytes() == whole.tobytes()
    return whole


def test_opposite_polarity_is_turned_round_instead_of_cancelling(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.wav"
    assert np.abs(played(path, ONE, -ONE) - ONE).max() < 1e-6
    assert caplog.messages[0] == f"{path}: channel 1 is {TURNED}"
    four = played(path, ONE, -0.5 * ONE, 0.9 * ONE, -0.7 * ONE + 0.01 * OTHER)
    assert np.abs(four - 0.775 * ONE).max() < 0.01


def test_a_dead_channel_costs_no_level(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.wav"
    assert played(path, ONE, SILENT).tobytes() == ONE.tobytes()
    assert caplog.messages[0] == f"{path}: channel 1 is {DEAD}"
    caplog.clear()
    assert np.abs(played(path, SILENT, ONE, 1e-5 * OTHER, OTHER) - (ONE + OTHER) / 2.0).max() < 1e-6
    assert caplog.messages[0] == f"{path}: channels 0, 2 are {DEAD}"


def test_channels_that_are_as_they_should_be_are_averaged_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for both in ((ONE, OTHER), (ONE, 0.1 * ONE), (ONE, OTHER - 0.3 * ONE), (SILENT, SILENT)):
        pcm = np.concatenate(both, axis=1)
        wanted = pcm.mean(axis=1, keepdims=True, dtype=np.float32)
        assert played(tmp_path / "a.wav", *both).tobytes() == wanted.tobytes()
    assert caplog.messages == []


def test_nothing_at_all_is_averaged() -> None:
    assert mix_of([]).weights is None
