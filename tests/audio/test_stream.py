import numpy as np
import pytest

from sirend.audio.level import level_dbfs, levels_dbfs
from sirend.audio.stream import SILENCE_DBFS, Block, Gap, GapReason, Samples, to_samples, to_seconds


def test_levels_are_relative_to_full_scale() -> None:
    assert level_dbfs(np.ones(100, np.float32)) == 0.0
    assert level_dbfs(np.full(100, 0.1, np.float32)) == pytest.approx(-20.0, abs=1e-5)
    sine = np.sin(2 * np.pi * np.arange(16_000) / 16).astype(np.float32)
    assert level_dbfs(sine) == pytest.approx(-3.01, abs=0.01)


def test_digital_silence_is_a_named_floor_and_never_full_scale() -> None:
    assert level_dbfs(np.zeros(10, np.float32)) == SILENCE_DBFS
    assert level_dbfs(np.zeros(0, np.float32)) == SILENCE_DBFS
    assert level_dbfs(np.full(10, 1e-30, np.float32)) == SILENCE_DBFS


def test_the_levels_of_several_channels_are_those_of_each() -> None:
    rng = np.random.default_rng(3)
    pcm = (rng.standard_normal((3, 32_000)) * ((0.3,), (1e-4,), (0.0,))).astype(np.float32)
    assert levels_dbfs(pcm).tolist() == [level_dbfs(row) for row in pcm]


def test_seconds_and_samples_convert_both_ways() -> None:
    assert to_samples(0.25) == 4000
    assert to_seconds(to_samples(1.5)) == 1.5


def test_a_block_ends_where_the_next_begins() -> None:
    assert Block(Samples(5), np.zeros((7, 2), np.float32)).end == 12


@pytest.mark.parametrize(("reason", "fault"), [("overflow", False), ("stalled", True), ("device_lost", True)])
def test_only_a_lost_input_is_a_fault(reason: str, fault: bool) -> None:
    assert Gap(Samples(0), GapReason(reason)).is_fault is fault
