from __future__ import annotations

import numpy as np
import pytest

from sirend.training.corpus import Clip, Corpus, Kind
from sirend.training.episodes import LABELS, Episode, Episodes, EpisodeSpec, labels, loudness

RATE_HZ = 16_000
SAMPLES = 12 * RATE_HZ


def _corpus(seconds: float = 3.0) -> Corpus:
    rng = np.random.default_rng(0)
    kinds = (Kind.EMERGENCY, Kind.OTHER, Kind.CIVIL_SIREN, Kind.OTHER)
    rows = tuple(
        Clip(f"{n}.wav", f"set{n % 3}", kinds[n % 4], ("horn", "street")[n % 2], f"set{n % 3}/g{n}", "CC0", seconds)
        for n in range(12)
    )
    pcm = tuple(rng.integers(-9_000, 9_000, int(seconds * RATE_HZ)).astype(np.int16) for _ in rows)
    return Corpus(rows, pcm)


@pytest.fixture(scope="module")
def drawn() -> list[Episode]:
    episodes, rng = Episodes(_corpus(), EpisodeSpec(), lambda _: True), np.random.default_rng(1)
    return [episodes.episode(rng) for _ in range(12)]


def test_an_episode_lasts_twelve_seconds_and_is_within_full_scale(drawn: list[Episode]) -> None:
    for each in drawn:
        assert each.pcm.shape == (SAMPLES,)
        assert each.pcm.dtype == np.float32
        assert np.abs(each.pcm).max() <= 1.0
        assert each.label.shape == (LABELS,)
        assert set(each.label[np.isfinite(each.label)]) <= {0.0, 1.0}


def test_half_of_them_have_a_siren_and_say_at_which_ratio(drawn: list[Episode]) -> None:
    having = [each for each in drawn if np.isfinite(each.snr_db)]
    assert 2 <= len(having) <= 10
    assert all(-18.0 <= each.snr_db <= 20.0 for each in having)
    assert not any((each.label == 1).any() for each in drawn if not np.isfinite(each.snr_db))


def test_sirens_come_and_go(drawn: list[Episode]) -> None:
    assert any((each.label == 1).any() and (each.label == 0).any() for each in drawn)


def test_what_went_in_is_remembered_by_recording(drawn: list[Episode]) -> None:
    known = {clip.group for clip in _corpus().clips}
    assert all(set(each.groups) <= known for each in drawn)
    assert all(each.groups for each in drawn)


def test_without_recorded_sirens_all_are_synthetic_and_without_a_street_there_is_noise() -> None:
    episodes = Episodes(Corpus((), ()), EpisodeSpec(positive=1.0, synthetic=0.0), lambda _: True)
    rng = np.random.default_rng(3)
    for each in (episodes.episode(rng) for _ in range(4)):
        assert not each.groups
        assert "recorded" not in each.kind
        assert (each.label == 1).any()
        assert np.sqrt(np.mean(np.square(each.pcm))) > 1e-6


def test_a_weight_says_how_often_a_set_is_a_street_and_a_recording_of_many_cuts_counts_once() -> None:
    rows = tuple(
        Clip(f"{n}.wav", name, Kind.OTHER, "street", f"{name}/{group}", "CC0", 3.0)
        for n, (name, group) in enumerate([("a", "1")] * 9 + [("b", "1"), ("c", "1")])
    )
    corpus = Corpus(rows, tuple(np.full(48_000, 1_000, np.int16) for _ in rows))
    episodes = Episodes(corpus, EpisodeSpec(set_weights={"b": 3.0, "c": 0.0}), lambda _: True)
    rng, groups = np.random.default_rng(4), [set[str]() for _ in range(200)]
    for each in groups:
        episodes._layer(rng, each)  # noqa: SLF001
    assert sum(each == {"b/1"} for each in groups) == pytest.approx(150, abs=30)
    assert sum(each == {"a/1"} for each in groups) == pytest.approx(50, abs=30)


def test_recordings_left_out_never_go_in() -> None:
    episodes = Episodes(_corpus(), EpisodeSpec(), lambda clip: clip.set != "set1")
    rng = np.random.default_rng(2)
    groups = {group for _ in range(4) for group in episodes.episode(rng).groups}
    assert groups
    assert not any(group.startswith("set1/") for group in groups)


def test_the_same_seed_gives_the_same_episode() -> None:
    one, two = (Episodes(_corpus(), EpisodeSpec(), lambda _: True).episode(np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one.pcm, two.pcm)
    assert np.array_equal(one.label, two.label, equal_nan=True)


def test_a_label_needs_half_a_second_of_siren_in_the_last_one() -> None:
    siren = np.zeros(SAMPLES, np.float32)
    siren[4 * RATE_HZ : 8 * RATE_HZ] = 1.0
    told = labels(siren)
    at = {(number + 1) * 0.25: value for number, value in enumerate(told)}
    assert at[4.0] == 0.0
    assert np.isnan(at[4.25])
    assert at[4.5] == 1.0
    assert at[8.5] == 1.0
    assert np.isnan(at[8.75])
    assert at[9.0] == 0.0


def test_a_pause_of_a_pattern_is_never_denied_and_a_long_silence_is() -> None:
    siren = np.zeros(SAMPLES, np.float32)
    for begin_s in (1.0, 3.0, 8.0):
        siren[int(begin_s * RATE_HZ) : int((begin_s + 0.5) * RATE_HZ)] = 1.0
    told = labels(siren)
    assert told[7] == 1.0  # 2.0 s: half of the last second is pause
    assert np.isnan(told[11])  # 3.0 s: all of it
    assert told[27] == 0.0  # 7.0 s: silence of 4.5 s


def test_a_siren_far_below_the_street_is_neither_told_nor_denied() -> None:
    told = labels(np.full(SAMPLES, 0.01, np.float32))
    assert np.isnan(told).all()


def test_loudness_counts_only_what_sounds() -> None:
    pcm = np.zeros(8_000, np.float32)
    pcm[:800] = 0.5
    assert loudness(pcm) == pytest.approx(0.5)
    assert loudness(np.zeros(8_000, np.float32)) == 0.0
