from __future__ import annotations

import numpy as np
import pytest

from sirend.simulate import sirens
from sirend.training import lookalikes
from sirend.training.corpus import Clip, Corpus, Kind
from sirend.training.passages import LEAD_S, SIREN_S, Folds, Passage, plan_passages

RATE_HZ = 16_000
FOLDS = Folds(sets=(("a", "b"), ("c",)), divided=("d",), streets=("a", "c", "d"))


def _clip(name: str, kind: Kind, label: str = "street") -> Clip:
    group, _, _ = name.partition("-")
    return Clip(name, group.partition("/")[0], kind, label, group, "CC0", 4.0)


@pytest.fixture(scope="module")
def recordings() -> Corpus:
    clips = [_clip(f"{of}/{number}-{cut}", Kind.OTHER) for of in "acd" for number in range(6) for cut in range(2)]
    clips += [_clip(f"{of}/siren{number}", Kind.EMERGENCY) for of in "bcd" for number in range(5)]
    clips += [_clip("a/wolf1", Kind.OTHER, "wolf"), _clip("b/voice", Kind.OTHER), _clip("c/raid", Kind.CIVIL_SIREN)]
    clips += [_clip("e/everywhere", Kind.OTHER)]
    rng = np.random.default_rng(0)
    return Corpus(tuple(clips), tuple(rng.integers(-2000, 2000, 4 * RATE_HZ).astype(np.int16) for _ in clips))


@pytest.fixture(scope="module")
def planned(recordings: Corpus) -> list[Passage]:
    return plan_passages(recordings, FOLDS)


def test_a_passage_holds_only_what_its_own_fold_leaves_out(recordings: Corpus, planned: list[Passage]) -> None:
    for passage in planned:
        for clip in (*passage.clips, *passage.street):
            assert FOLDS.of(recordings.clips[clip].group) == passage.fold


def test_every_recording_that_a_fold_leaves_out_is_tried_once_and_no_other(
    recordings: Corpus, planned: list[Passage]
) -> None:
    tried = sorted(clip for each in planned if each.kind in ("street", "other", "civil") for clip in each.clips)
    others = [i for i, clip in enumerate(recordings.clips) if clip.kind is not Kind.EMERGENCY]
    assert tried == [index for index in others if recordings.clips[index].set != "e"]


def test_a_wolf_is_no_street(recordings: Corpus, planned: list[Passage]) -> None:
    (wolf,) = [i for i, clip in enumerate(recordings.clips) if clip.label == "wolf"]
    assert [each.kind for each in planned if wolf in each.clips] == ["other"]
    assert not any(wolf in each.street for each in planned)


def test_a_divided_set_is_left_out_by_every_fold_in_part() -> None:
    folds = [FOLDS.of(f"d/{number}") for number in range(100)]
    assert 20 < sum(fold == 0 for fold in folds) < 80
    assert set(folds) == {0, 1}
    assert FOLDS.of("e/everywhere") is None


def test_every_tone_and_every_lookalike_is_tried(planned: list[Passage]) -> None:
    tones = {f"{profile} {siren}" for profile, siren in sirens.CALLING}
    assert {each.label for each in planned if each.kind == "tone"} == tones
    assert {each.label for each in planned if each.kind == "confuser"} == set(lookalikes.lookalike_kinds())


@pytest.mark.parametrize("kind", ["siren", "tone"])
def test_a_siren_begins_after_its_lead_at_its_ratio(recordings: Corpus, planned: list[Passage], kind: str) -> None:
    passage = next(each for each in planned if each.kind == kind and each.snr_db == 10.0)
    pcm = passage.render(recordings)
    lead = round(LEAD_S * RATE_HZ)
    assert len(pcm) == lead + round(SIREN_S * RATE_HZ)
    before, after = (float(np.mean(np.square(part))) for part in (pcm[:lead], pcm[lead:]))
    assert 10 * np.log10(after / before) == pytest.approx(10.0, abs=1.5)
    assert passage.begin_s == LEAD_S


def test_a_passage_sounds_the_same_again(recordings: Corpus, planned: list[Passage]) -> None:
    for kind in ("street", "siren", "recorded", "tone", "confuser"):
        passage = next(each for each in planned if each.kind == kind)
        assert np.array_equal(passage.render(recordings), passage.render(recordings))


def test_a_siren_is_audible_from_where_its_recording_is_loud() -> None:
    sounds = [_clip("a/siren", Kind.EMERGENCY), _clip("a/street", Kind.OTHER)]
    rng = np.random.default_rng(0)
    late, street = (rng.integers(-2000, 2000, 8 * RATE_HZ).astype(np.int16) for _ in sounds)
    late[: int(1.6 * RATE_HZ)] //= 10
    corpus = Corpus(tuple(sounds), (late, street))
    mixed, alone = Passage("siren", "late", 0, (0,), (1,), 0.0), Passage("recorded", "late", 0, (0,))
    assert mixed.audible_s(corpus) == LEAD_S + 1.5
    assert alone.audible_s(corpus) == 0.0
