"""The microphones of an array as one ear: what it picks, and whether what it hears fades."""

import numpy as np
import pytest

from sirend.audio.stream import Samples, Window
from sirend.config.geometry import KNOWN
from sirend.detect.array import ArrayEar, below_db
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
    assert below_db(heard([-40.0, -30.0, -36.0], [0.9, 0.9, 0.9])) == pytest.approx(6.0, abs=0.1)
    assert below_db(heard([-50.0, -40.0, -30.0], [0.9, 0.9, 0.9])) == pytest.approx(0.0, abs=0.1)
    assert below_db(heard([-30.0], [0.9])) == 0.0


def test_a_tone_that_sinks_into_the_street_fades_though_its_level_stays() -> None:
    assert below_db(heard([-40.0, -40.5, -41.0], [0.5, 0.35, 0.3])) > 4.0
    assert below_db(heard([-40.0, -40.0, -40.0], [0.5, 0.3, 0.2])) > 20.0
    assert below_db(heard([-41.0, -40.5, -40.0], [0.3, 0.35, 0.5])) == pytest.approx(0.0, abs=0.1)


def test_a_row_is_picked_once_a_window() -> None:
    ear = ArrayEar(KNOWN["respeaker-4"], 0.0)
    pcm = np.random.default_rng(1).standard_normal((4, 32_000)).astype(np.float32)
    window = Window(Samples(32_000), pcm, 4_000)
    picked = ear.pick(window)
    assert np.array_equal(picked.pcm, pcm[:1])
    assert ear.pick(window) is picked
    dead = Window(Samples(36_000), np.concatenate((np.zeros((1, 32_000), np.float32), pcm[1:])), 4_000)
    assert np.any(ear.pick(dead).pcm)
    assert "column 1 is silent" in str(ear.problem)
