"""The microphones of an array as one ear: what it picks, and whether what it hears fades."""

import numpy as np
import pytest

from sirend.audio.stream import Block, Gap, GapReason, Samples, Window
from sirend.audio.windows import Windows
from sirend.config.geometry import KNOWN
from sirend.detect.array import EARLIER, ArrayEar, Loudness
from sirend.detect.beams import LATE
from sirend.detect.pitch import STEP, Pitch


def heard(level_dbfs: list[float], strength: list[float]) -> Pitch:
    """Return a pitch with such values in each second."""
    frames = 16_000 // STEP
    return Pitch(
        at=np.arange(frames * len(strength), dtype=np.int64) * STEP,
        hz=np.full((1, frames * len(strength)), 700.0, np.float32),
        strength=np.repeat(np.array([strength], np.float32), frames, axis=1),
        level_dbfs=np.repeat(np.array([level_dbfs], np.float32), frames, axis=1),
    )


def test_a_tone_lies_so_far_under_its_loudest_second() -> None:
    assert Loudness.of(heard([-40.0, -30.0, -36.0], [0.9, 0.9, 0.9])).below_db == pytest.approx(6.0, abs=0.1)
    assert Loudness.of(heard([-50.0, -40.0, -30.0], [0.9, 0.9, 0.9])).below_db == pytest.approx(0.0, abs=0.1)
    assert Loudness.of(heard([-30.0], [0.9])).below_db == 0.0


def test_a_tone_that_sinks_into_the_street_fades_though_its_level_stays() -> None:
    assert Loudness.of(heard([-40.0, -40.5, -41.0], [0.5, 0.35, 0.3])).below_db > 4.0
    assert Loudness.of(heard([-40.0, -40.0, -40.0], [0.5, 0.3, 0.2])).below_db > 20.0
    assert Loudness.of(heard([-41.0, -40.5, -40.0], [0.3, 0.35, 0.5])).below_db == pytest.approx(0.0, abs=0.1)


def test_a_tone_comes_nearer_by_what_it_gains_later() -> None:
    came = Loudness.of(heard([-50.0, -40.0, -30.0, -44.0], [0.9, 0.9, 0.9, 0.9]))
    gains = [came.nears_db(Samples(16_000 * second)) for second in (1, 2, 3, 4)]
    assert gains == pytest.approx([20.0, 10.0, 0.0, 0.0], abs=1.5)  # a frame more or less


def test_the_level_of_the_last_second_is_the_tone_s_and_unknown_before_there_is_one() -> None:
    falls, rises = (Loudness.of(heard(levels, [0.9] * 3)).last_dbfs for levels in ([-30.0, -31.0, -36.0], [-50.0] * 3))
    assert falls is not None
    assert rises is not None
    assert falls - rises == pytest.approx(14.0, abs=0.1)
    assert Loudness.of(heard([-30.0], [0.9])).last_dbfs is None


LEGS_DEG = [0.0, 90.0, 180.0, 270.0]


def noise(samples: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((samples, 4)).astype(np.float32)


def test_a_row_is_picked_once_a_window() -> None:
    ear = ArrayEar(KNOWN["respeaker-4"], 0.0, LEGS_DEG)
    pcm = noise(32_000).T
    window = Window(Samples(32_000), pcm, 32_000)
    picked = ear.pick(window)
    assert picked.pcm.shape == (1, 32_000)
    assert ear.pick(window) is picked


@pytest.mark.parametrize("dead", [0, 2])
def test_beside_a_dead_microphone_a_single_one_is_heard(dead: int) -> None:
    ear = ArrayEar(KNOWN["respeaker-4"], 0.0, LEGS_DEG)
    pcm = noise(32_000).T.copy()
    pcm[dead] = 0.0
    row = ear.pick(Window(Samples(32_000), pcm, 32_000)).pcm[0]
    assert f"column {dead + 1} is silent" in str(ear.problem)
    assert any(np.array_equal(row[LATE:], each[:-LATE]) for number, each in enumerate(pcm) if number != dead)


def test_what_is_picked_is_one_stream_that_a_gap_ends() -> None:
    ear = ArrayEar(KNOWN["respeaker-4"], 0.0, LEGS_DEG)
    windows = Windows(window=32_000, hop=4_000, channels=range(4))
    rows, earlier = [], []
    for window in windows.push(Block(Samples(0), noise(6 * 16_000))):
        rows.append(ear.pick(window).pcm[0])
        earlier.append(ear.earlier)
    for before, row, known in zip(rows, rows[1:], earlier[1:], strict=False):
        assert np.array_equal(before[4_000:], row[:-4_000])
        assert np.array_equal(known.pcm[0, -32_000:], row)
    assert [each.pcm.shape[1] for each in earlier] == [32_000 + min(EARLIER, 4_000 * hop) for hop in range(17)]
    list(windows.push(Gap(Samples(96_000), GapReason.OVERFLOW)))
    (window,) = windows.push(Block(Samples(96_000), noise(32_000, 2)))
    ear.pick(window)
    assert ear.earlier.pcm.shape == (1, 32_000)
