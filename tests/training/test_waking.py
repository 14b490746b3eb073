"""The network that wakes the backbone: what it learns from, and what is said of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest

from sirend.detect.features import FeatureSpec
from sirend.training import checkpoint, export, patches, waking
from sirend.training.listening import Heard
from sirend.training.specs import PATCH_FRAMES, WakeSpec

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.training, pytest.mark.timeout(600)]

BANDS, FRAMES, EPISODES = 64, 1198, 24
SPEC = WakeSpec(over=0.0, over_sparing=0.5, filters=4, epochs=3, batch=16, learning_rate=0.01)


@pytest.fixture(scope="module")
def episodes() -> Heard:
    """Return episodes of noise; in every other one there is a tone, which leaps each half second."""
    rng = np.random.default_rng(4)
    mel = rng.normal(-2, 1, (EPISODES, FRAMES, BANDS))
    for episode in range(0, EPISODES, 2):
        mel[episode, np.arange(FRAMES), np.repeat(rng.integers(10, 50, FRAMES // 50 + 1), 50)[:FRAMES]] += 8.0
    until = patches.ends(FeatureSpec(), FRAMES)
    nothing = np.zeros((EPISODES, len(until), 1), np.float16)
    return Heard(nothing, mel.astype(np.float16), until, nothing[..., 0].astype(np.float32), ((),) * EPISODES)


@pytest.fixture(scope="module")
def log_odds(episodes: Heard) -> np.ndarray:
    """Return what a head would say that hears the tone."""
    is_siren = np.arange(EPISODES) % 2 == 0
    return np.repeat(np.where(is_siren, 6.0, -6.0)[:, np.newaxis], len(episodes.until), axis=1)


@pytest.fixture(scope="module")
def network(episodes: Heard, log_odds: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return one that learned from two thirds of them."""
    known = np.arange(16)
    model = waking.fit_wake(episodes, known, log_odds[known], SPEC, tmp_path_factory.mktemp("wake"))
    return export.to_tflite(model)


def test_it_learns_when_there_is_something_to_hear(network: bytes, episodes: Heard, log_odds: np.ndarray) -> None:
    unknown = np.arange(16, EPISODES)
    said = waking.wake_log_odds(network, episodes, unknown, BANDS)
    nothing, sirens = waking.asleep(said, log_odds[unknown], 0.0)
    assert nothing > 0.9
    assert sirens < 0.1
    assert waking.asleep(said, log_odds[unknown], -1e9) == [0.0, 0.0]
    assert waking.asleep(said, np.full_like(said, -1.0), 1e9) == [1.0, 0.0]


def test_it_is_woken_by_less_where_it_would_sleep_through_sirens(
    network: bytes, episodes: Heard, log_odds: np.ndarray
) -> None:
    every = np.arange(EPISODES)
    said = waking.wake_log_odds(network, episodes, every, BANDS)
    assert waking.low_enough(said, log_odds, -1e9) == -1e9
    over = waking.low_enough(said, log_odds, 1e9)
    assert waking.asleep(said, log_odds, over)[1] == pytest.approx(waking.SLEPT, abs=0.01)
    assert waking.low_enough(said, np.full_like(said, -1.0), 1.5) == 1.5


def test_a_stopped_training_goes_on_and_ends_alike(
    episodes: Heard, log_odds: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = np.arange(6)
    whole = waking.fit_wake(episodes, known, log_odds[known], SPEC, tmp_path / "whole")
    keep = checkpoint.keep

    def stop(*words: Any) -> None:  # noqa: ANN401  whatever is kept
        keep(*words)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "keep", stop)
        with pytest.raises(KeyboardInterrupt):
            waking.fit_wake(episodes, known, log_odds[known], SPEC, tmp_path / "stopped")
    again = waking.fit_wake(episodes, known, log_odds[known], SPEC, tmp_path / "stopped")
    log = (tmp_path / "stopped" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log] == [1, 2, 3]
    mel = episodes.mel
    assert mel is not None
    given = mel[:2, :PATCH_FRAMES].astype(np.float32)
    first, second = (keras.ops.convert_to_numpy(each(given)) for each in (whole, again))
    assert first == pytest.approx(second, abs=1e-5)


def test_without_frames_there_is_nothing_to_learn_from(episodes: Heard, log_odds: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="learns from frames"):
        waking.fit_wake(replace(episodes, mel=None), np.arange(6), log_odds[:6], SPEC, tmp_path)


def test_what_it_is_given_has_another_level_colour_and_pitch_each_time() -> None:
    mel = np.zeros((200, PATCH_FRAMES, BANDS), np.float32)
    mel[:, :, 30] = 10.0
    given = waking.moved(mel, np.random.default_rng(0))
    at = given.argmax(axis=2)
    assert (at == at[:, :1]).all()
    assert set(at[:, 0]) == set(range(30 - waking.SHIFT, 30 + waking.SHIFT + 1))
    level = given[:, :, [20, 40]].mean(axis=(1, 2))
    assert -waking.LEVEL - 0.3 < level.min() < -1.0 < 1.0 < level.max() < waking.LEVEL + 0.3
    slope = given[:, 0, 63] - given[:, 0, 0]
    assert -2.0 * waking.COLOUR <= slope.min() < -1.0 < 1.0 < slope.max() <= 2.0 * waking.COLOUR
