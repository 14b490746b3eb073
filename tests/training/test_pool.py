from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sirend.detect.features import FeatureSpec
from sirend.training import pool
from sirend.training.corpus import Clip, Corpus, Kind
from sirend.training.pool import Pool, PoolSpec
from sirend.training.scenes import SceneSpec

if TYPE_CHECKING:
    from pathlib import Path

SHARD = 12
SPEC = PoolSpec(SceneSpec(), FeatureSpec(), 3 * SHARD, seed=3, purpose="train")

# Python 3.12 on warns of any thread when a process forks; those of other tests and of BLAS do no harm here.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "SHARD", SHARD)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    rng = np.random.default_rng(0)
    clips, pcm = [], []
    for number in range(8):
        kind = Kind.EMERGENCY if number % 2 else Kind.OTHER
        clips.append(Clip(f"{number}.wav", f"set{number % 4}", kind, "x", f"set/{number}", "CC0", 3.0))
        pcm.append(rng.integers(-9_000, 9_000, 48_000).astype(np.int16))
    return Corpus(tuple(clips), tuple(pcm))


def _make(corpus: Corpus, folder: Path, spec: PoolSpec = SPEC) -> Pool:
    return pool.make(corpus, spec, lambda _: True, folder)


def _same(one: Pool, two: Pool) -> bool:
    return all(
        np.array_equal(getattr(one, each.name), getattr(two, each.name), equal_nan=each.name == "snr_db")
        for each in dataclasses.fields(Pool)
        if each.name != "embedding"
    )


def test_a_pool_holds_what_its_fields_promise(corpus: Corpus, tmp_path: Path) -> None:
    made = _make(corpus, tmp_path)
    assert made.features.shape == (3 * SHARD, FeatureSpec().frames, FeatureSpec().bands)
    assert made.features.dtype == np.float16
    assert np.isfinite(made.features).all()
    assert made.siren.dtype == np.bool_
    assert 0 < made.siren.sum() < len(made.siren)
    assert made.embedding is None
    assert len(made.kind) == len(made.sets) == len(made.snr_db) == 3 * SHARD
    assert np.array_equal(np.isnan(made.snr_db), ~made.siren)
    assert {name for sets in made.sets for name in sets.split("+")} <= {"", "set0", "set1", "set2", "set3"}


def test_the_number_of_workers_changes_nothing(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    one = _make(corpus, tmp_path / "one")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert _same(one, _make(corpus, tmp_path / "three"))


def test_a_stopped_drawing_goes_on_where_it_was(corpus: Corpus, tmp_path: Path) -> None:
    whole = _make(corpus, tmp_path)
    kept, lost = tmp_path / "00000.npz", tmp_path / "00001.npz"
    written = kept.stat().st_mtime_ns
    lost.rename(tmp_path / "00001.part")  # as a power cut leaves it
    assert _same(whole, _make(corpus, tmp_path))
    assert kept.stat().st_mtime_ns == written, "a shard that is there is not drawn again"


def test_a_larger_pool_begins_with_the_smaller(corpus: Corpus, tmp_path: Path) -> None:
    small = _make(corpus, tmp_path, dataclasses.replace(SPEC, windows=SHARD))
    large = _make(corpus, tmp_path)
    assert len(small.siren) == SHARD
    assert np.array_equal(large.features[:SHARD], small.features)


@pytest.mark.parametrize("change", [{"seed": 4}, {"purpose": "calibrate"}])
def test_another_seed_or_purpose_draws_other_windows(
    corpus: Corpus, tmp_path: Path, change: dict[str, str | int]
) -> None:
    one = _make(corpus, tmp_path / "one", dataclasses.replace(SPEC, windows=SHARD))
    two = _make(corpus, tmp_path / "two", dataclasses.replace(SPEC, windows=SHARD, **change))  # type: ignore[arg-type]
    assert not np.array_equal(one.features, two.features)


def test_only_clips_that_are_kept_go_in(corpus: Corpus, tmp_path: Path) -> None:
    made = pool.make(corpus, SPEC, lambda clip: clip.set in {"set0", "set1"}, tmp_path)
    assert {name for sets in made.sets for name in sets.split("+")} <= {"", "set0", "set1"}


def test_without_a_set_no_window_is_left_in_which_it_had_a_part() -> None:
    sets = np.array(["", "a", "a+b", "b", "ab", "b+c"])
    blank = np.zeros(len(sets))
    made = Pool(blank, blank, blank, sets, blank, None)
    assert made.without("a").tolist() == [0, 3, 4, 5]
    assert made.without("b").tolist() == [0, 1, 4]
    assert made.without("z").tolist() == [0, 1, 2, 3, 4, 5]
    assert made.without("").tolist() == [0, 1, 2, 3, 4, 5]
