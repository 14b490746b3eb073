from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sirend.errors import ConfigError
from sirend.training import tutorial
from sirend.training.corpus import Clip, Corpus, Kind

RECIPES = sorted((Path(__file__).parents[2] / "models" / "tutorial").glob("*.yaml"))
WEIGHTS = {
    "tutorial-cnn-waveform": 11 * 1 * 16 + 16 + 16 * 16 + 16 + 17,
    "tutorial-cnn-spectrogram": 11 * 161 * 16 + 16 + 16 * 16 + 16 + 17,
    "tutorial-lstm-waveform": 4 * 64 * (160 + 64 + 1) + 64 * 64 + 64 + 65,
    "tutorial-lstm-spectrogram": 4 * 64 * (161 + 64 + 1) + 64 * 64 + 64 + 65,
}


def _clip(number: int, kind: Kind, of: str) -> Clip:
    return Clip(f"{number}.wav", of, kind, "x", f"{of}/{number}", "CC0", 4.0)


def _chunks() -> tutorial.Chunks:
    rng = np.random.default_rng(0)
    clips, pcm = [], []
    seconds = np.arange(64_000) / 16_000  # two tones in turn: standardising each bin deletes one that stays
    hum = 9000 * np.sin(2 * np.pi * np.where(seconds % 1.0 < 0.5, 450, 600) * seconds)
    for number in range(24):
        siren = number % 2 == 0
        of = ("kaggle_sirens", "esc50")[number % 4 // 2]
        clips.append(_clip(number, Kind.EMERGENCY if siren else Kind.OTHER, of))
        pcm.append((1000 * rng.standard_normal(64_000) + (hum if siren else 0.0)).astype(np.int16))
    return tutorial.chunks(Corpus(tuple(clips), tuple(pcm)))


def test_chunks_overlap_by_a_second_and_rests_are_dropped() -> None:
    pcm = np.arange(16_000 * 4 + 100).astype(np.int16)
    corpus = Corpus((_clip(0, Kind.EMERGENCY, "esc50"), _clip(1, Kind.OTHER, "esc50")), (pcm, pcm[:31_999]))
    made = tutorial.chunks(corpus)
    assert made.pcm.shape == (3, 32_000)
    np.testing.assert_array_equal(made.pcm[1], pcm[16_000:48_000])
    assert made.siren.all()


def test_a_fifth_of_each_class_is_for_validation_and_the_left_out_set_is_in_neither() -> None:
    data = _chunks()
    known = np.flatnonzero(data.set != "esc50")
    fit, check = tutorial.split(known, data.siren, seed=12)
    assert sorted([*fit, *check]) == known.tolist()
    assert np.bincount(data.siren[check]).tolist() == [4, 4]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_features_are_the_tutorials(path: Path) -> None:
    plan = tutorial.load_plan(path)
    shape = tutorial.features(plan, _chunks().pcm[:2]).shape
    expected = (
        (2, 199, 161) if plan.input == "spectrogram" else (2, 32_000, 1) if plan.network == "cnn" else (2, 200, 160)
    )
    assert shape == expected


def test_each_bin_of_a_spectrogram_is_standardised_and_silence_is_a_number() -> None:
    plan = tutorial.Plan("x", "cnn", "spectrogram")
    made = tutorial.features(plan, _chunks().pcm[:1])[0]
    np.testing.assert_allclose(made.mean(axis=0), 0.0, atol=1e-3)
    np.testing.assert_allclose(made.std(axis=0), 1.0, atol=1e-3)
    assert np.isfinite(tutorial.features(plan, np.zeros((1, 32_000), np.int16))).all()


def test_a_recipe_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: siren-1.0.0\nseed: 1\n")
    with pytest.raises(ConfigError, match="no recipe of the tutorial"):
        tutorial.load_plan(tmp_path / "a.yaml")


def test_the_table_has_both_splits() -> None:
    own = {"accuracy": 0.97, "auc": 0.99, "f1": 0.96, "false_windows_per_hour": 9.0}
    unseen = {"accuracy": 0.6, "auc": 0.7, "f1": 0.5, "false_windows_per_hour": 90.0}
    page = tutorial.results_table({"n": {"": {"own": own}, "esc50": {"own": own, "unseen": unseen}}})
    assert "| n | none (random split) | 0.97 | 0.99 | 0.96 |  |  |  |" in page
    assert "| n | esc50 | 0.97 | 0.99 | 0.96 | 0.7 | 0.5 | 90.0 |" in page


def test_figures_count_false_windows_of_an_hour() -> None:
    made = tutorial.figures(np.array([0.9, 0.1, 0.6, 0.2]), np.array([True, True, False, False]))
    assert (made["accuracy"], made["f1"], made["auc"], made["false_windows_per_hour"]) == (0.5, 0.5, 0.5, 1800.0)


@pytest.mark.training
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_only_the_last_layer_of_a_kind_counts(path: Path) -> None:
    plan = tutorial.load_plan(path)
    made = tutorial.tutorial_network(plan, tutorial.features(plan, _chunks().pcm[:1]).shape[1:])
    assert made.count_params() == WEIGHTS[plan.name]


@pytest.mark.training
def test_a_network_learns_what_is_easy() -> None:
    plan = tutorial.Plan("x", "cnn", "spectrogram", epochs=6, batch=8)
    result = tutorial.train_fold(plan, _chunks(), "esc50")
    assert result["unseen"]["auc"] > 0.9
