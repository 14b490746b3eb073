import math
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirend.audio.stream import Samples, Score
from sirend.detect.tracker import Track
from sirend.detect.windowed_tracker import WindowedTracker

HOP = Samples(4_000)
probabilities = st.floats(0.0, 1.0)


def _score(index: int, siren: float, level_dbfs: float = -40.0) -> Score:
    return Score(Samples(32_000 + index * HOP), "main", siren, level_dbfs)


def _follow(scores: Iterable[float], levels: Iterable[float] | None = None, *, enter: float = 0.5) -> list[Track]:
    tracker = WindowedTracker("main", HOP, enter=enter)
    scores = list(scores)
    levels = [-40.0] * len(scores) if levels is None else list(levels)
    return [
        tracker.update(_score(i, score, level)) for i, (score, level) in enumerate(zip(scores, levels, strict=True))
    ]


def _evidence(scores: Iterable[float]) -> list[float]:
    return [track.evidence for track in _follow(scores)]


def test_silence_gives_next_to_no_evidence() -> None:
    assert max(_evidence([0.0] * 40)) == pytest.approx(0.018, abs=1e-4)


def test_a_clear_siren_is_believed_with_its_third_window() -> None:
    assert _evidence([0.0] * 8 + [1.0] * 5)[8:] == pytest.approx([0.065, 0.209, 0.5, 0.791, 0.935], abs=2e-3)


def test_a_faint_siren_is_believed_when_it_lasts() -> None:
    evidence = _evidence([0.0] * 8 + [0.75] * 24)[8:]
    heard_s = next(index for index, value in enumerate(evidence) if value >= 0.5) * 0.25
    assert heard_s == 1.25
    assert max(_evidence([0.45, 0.55] * 40)) < 0.03


@pytest.mark.parametrize("around", [0.0, 0.4])
def test_a_single_stray_window_makes_no_siren(around: float) -> None:
    assert max(_evidence([around] * 8 + [1.0] + [around] * 8)) < 0.1


def test_a_single_stray_window_breaks_no_siren() -> None:
    assert min(_evidence([1.0] * 16 + [0.0] + [1.0] * 8)[16:]) > 0.9


def test_the_end_of_a_long_siren_is_noticed_within_a_second() -> None:
    evidence = _evidence([1.0] * 200 + [0.0] * 8)
    assert evidence[199] > 0.99
    assert evidence[203] < 0.05


@pytest.mark.parametrize("hop_s", [0.05, 0.1, 0.25, 0.5])
def test_the_evidence_needs_a_time_and_not_a_count_of_windows(hop_s: float) -> None:
    hop = Samples(round(hop_s * 16_000))
    tracker = WindowedTracker("main", hop)
    tracks = [tracker.update(Score(Samples(32_000 + i * hop), "main", 0.7, -40.0)) for i in range(80)]
    believed = next(i for i, track in enumerate(tracks) if track.evidence >= 0.5) + 1
    assert believed * hop_s == pytest.approx(1.5 / math.log(0.7 / 0.3), abs=hop_s)


@given(st.lists(probabilities, max_size=30), st.lists(st.tuples(probabilities, st.floats(0.0, 1.0)), max_size=30))
def test_evidence_is_a_probability_and_grows_with_every_score(
    before: list[float], raised: list[tuple[float, float]]
) -> None:
    low = _evidence([*before, *(score for score, _ in raised)])
    high = _evidence([*before, *(score + share * (1.0 - score) for score, share in raised)])
    assert all(0.0 < evidence < 1.0 for evidence in low)
    assert all(more >= less - 1e-12 for less, more in zip(low, high, strict=True))


@given(st.lists(probabilities, max_size=40), st.lists(probabilities, max_size=40))
def test_what_lies_ten_seconds_back_is_forgotten(first: list[float], second: list[float]) -> None:
    since = [0.3] * 40
    assert _evidence(first + since)[-1] == _evidence(second + since)[-1]


@given(st.lists(probabilities, min_size=1, max_size=60), st.floats(0.05, 0.95))
def test_the_onset_is_the_first_window_of_the_present_run(scores: list[float], enter: float) -> None:
    none = _follow([0.0], enter=enter)[0].evidence
    run: Samples | None = None
    for track in _follow(scores, enter=enter):
        run = None if track.evidence == none else track.end if run is None else run
        assert track.onset == (track.end if run is None else run)


def test_the_onset_of_a_siren_is_its_first_high_window_though_belief_comes_later() -> None:
    tracks = _follow([0.0] * 8 + [0.9] * 8)
    assert [track.onset for track in tracks[8:]] == [tracks[8].end] * 8
    assert tracks[8].evidence < 0.5


def test_confidence_is_the_mean_of_the_run_in_log_odds() -> None:
    tracks = _follow([0.0] * 8 + [0.9, 0.6, 0.9])
    assert tracks[7].confidence == 0.0
    odds = (0.9 / 0.1) ** 2 * (0.6 / 0.4)
    assert tracks[10].confidence == pytest.approx(odds ** (1 / 3) / (1 + odds ** (1 / 3)))


def test_a_gap_in_the_windows_starts_the_run_anew() -> None:
    tracker = WindowedTracker("main", HOP)
    for i in range(8):
        before = tracker.update(_score(i, 1.0))
    after = tracker.update(_score(12, 1.0))
    assert before.onset == _score(0, 1.0).end
    assert after.onset == after.end
    assert after.evidence > 0.98


def test_evidence_from_before_a_pause_as_long_as_a_window_is_none() -> None:
    tracker = WindowedTracker("main", HOP)
    for i in range(8):
        tracker.update(_score(i, 1.0))
    assert tracker.update(_score(17, 1.0)).evidence < 0.1


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_counts_as_no_siren_and_does_no_harm(score: float) -> None:
    tracks = _follow([score] * 8 + [1.0] * 8)
    assert tracks[7].evidence < 0.02
    assert tracks[15].evidence > 0.98


def test_reset_forgets_everything() -> None:
    tracker = WindowedTracker("main", HOP)
    fresh = tracker.update(_score(0, 0.7, -30.0))
    for i in range(30):
        tracker.update(_score(i, 1.0, -60.0 + i))
    tracker.reset()
    assert tracker.update(_score(0, 0.7, -30.0)) == fresh
