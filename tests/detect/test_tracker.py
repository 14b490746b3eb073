import math
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirend.audio.stream import Samples, Score
from sirend.detect.tracker import Track, Tracker

HOP = Samples(4_000)
ENTER, LEAVE = 0.7, 0.4
probabilities = st.floats(0.0, 1.0)


def _score(index: int, siren: float, level_dbfs: float = -40.0) -> Score:
    return Score(Samples(32_000 + index * HOP), "main", siren, level_dbfs)


def _follow(scores: Iterable[float]) -> list[Track]:
    tracker = Tracker("main", HOP, enter=ENTER, leave=LEAVE)
    return [tracker.update(_score(index, score)) for index, score in enumerate(scores)]


def _since(tracks: list[Track]) -> list[int]:
    """Return for how many windows the run of each track lasts."""
    return [(track.end - track.onset) // HOP for track in tracks]


@given(st.lists(probabilities, max_size=40))
def test_the_score_is_the_evidence(scores: list[float]) -> None:
    assert [track.evidence for track in _follow(scores)] == scores


def test_a_run_begins_at_the_upper_threshold_and_goes_on_above_the_lower() -> None:
    tracks = _follow([0.1, 0.6, 0.7, 0.9, 0.5, 0.4, 0.8])
    assert _since(tracks) == [0, 0, 0, 1, 2, 3, 4]
    assert [track.is_suspected for track in tracks] == [False, False, True, True, True, True, True]


def test_a_run_outlasts_a_second_of_nothing_and_no_more() -> None:
    assert _since(_follow([0.9, 0.9] + [0.1] * 4 + [0.9])) == [0, 1, 2, 3, 4, 5, 6]
    assert _since(_follow([0.9, 0.9] + [0.1] * 5 + [0.9, 0.9])) == [0, 1, 2, 3, 4, 5, 0, 0, 1]


def test_between_the_thresholds_no_run_begins() -> None:
    assert not any(track.is_suspected for track in _follow([0.69] * 40))


@pytest.mark.parametrize("hop_s", [0.05, 0.1, 0.25, 0.5])
def test_a_run_lingers_for_a_time_and_not_for_a_count_of_windows(hop_s: float) -> None:
    hop = Samples(round(hop_s * 16_000))
    tracker = Tracker("main", hop, enter=ENTER, leave=LEAVE)
    scores = [0.9] + [0.0] * 60
    tracks = [tracker.update(Score(Samples(32_000 + i * hop), "main", s, -40.0)) for i, s in enumerate(scores)]
    assert max(track.end for track in tracks if track.is_suspected) - 32_000 == 16_000


@given(st.lists(probabilities, min_size=5, max_size=40), st.lists(probabilities, max_size=40))
def test_what_lies_before_a_pause_is_forgotten(first: list[float], second: list[float]) -> None:
    pause = [0.0] * 5
    apart = _follow(second)
    together = _follow([*first, *pause, *second])[len(first) + len(pause) :]
    assert _since(together) == _since(apart)
    assert [track.confidence for track in together] == [track.confidence for track in apart]


def test_confidence_is_the_mean_of_the_run_in_log_odds() -> None:
    tracks = _follow([0.0] * 8 + [0.9, 0.6, 0.9])
    assert tracks[7].confidence == 0.0
    odds = (0.9 / 0.1) ** 2 * (0.6 / 0.4)
    assert tracks[10].confidence == pytest.approx(odds ** (1 / 3) / (1 + odds ** (1 / 3)))
    assert _follow([1.0])[0].confidence == pytest.approx(1 / (1 + math.exp(-5)))


def test_a_gap_in_the_windows_starts_the_run_anew() -> None:
    tracker = Tracker("main", HOP, enter=ENTER, leave=LEAVE)
    for index in range(8):
        before = tracker.update(_score(index, 1.0))
    after = tracker.update(_score(10, 1.0))
    assert before.onset == _score(0, 1.0).end
    assert after.onset == after.end
    assert after.evidence == 1.0


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_counts_as_no_siren_and_does_no_harm(score: float) -> None:
    tracks = _follow([score] * 8 + [0.9] * 2)
    assert [track.evidence for track in tracks] == [0.0] * 8 + [0.9] * 2
    assert _since(tracks)[-1] == 1


def test_reset_forgets_everything() -> None:
    tracker = Tracker("main", HOP, enter=ENTER, leave=LEAVE)
    fresh = tracker.update(_score(0, 0.7, -30.0))
    for index in range(30):
        tracker.update(_score(index, 1.0, -60.0 + index))
    tracker.reset()
    assert tracker.update(_score(0, 0.7, -30.0)) == fresh
