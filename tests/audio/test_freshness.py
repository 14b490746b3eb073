from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sirend.audio import freshness
from sirend.audio.freshness import Age, Freshness

PACKET_S = 0.02


class Stream:
    """A stream whose packets arrive when the test wants."""

    def __init__(self) -> None:
        self.state = Freshness()
        self.at_s, self.now_s = 5_000.0, 100.0
        self.verdicts: list[Age] = []

    def come(self, seconds: float, *, pace: float = 1.0) -> list[Age]:
        """Let ``seconds`` of sound arrive, ``pace`` times as fast as it sounded."""
        begin = len(self.verdicts)
        for _ in range(round(seconds / PACKET_S)):
            self.now_s += PACKET_S / pace
            self.state, verdict = freshness.step(self.state, self.at_s, PACKET_S, self.now_s)
            self.at_s += PACKET_S
            self.verdicts.append(verdict)
        return self.verdicts[begin:]


def test_a_new_stream_is_heard_when_it_has_kept_pace_for_half_a_second() -> None:
    stream = Stream()
    verdicts = stream.come(3.0)
    assert verdicts.count(Age.AFTER_HOLE) == 1
    assert 24 <= verdicts.index(Age.AFTER_HOLE) <= 26  # half a second
    assert verdicts.count(Age.FRESH) >= 123


def test_seconds_that_were_buffered_are_thrown_away_however_many() -> None:
    for buffered_s in (0.5, 3.0, 60.0):
        stream = Stream()
        assert set(stream.come(buffered_s, pace=40.0)) == {Age.STALE}
        assert stream.come(1.0).count(Age.FRESH) >= 20


def test_a_stream_held_up_is_thrown_away_until_it_is_of_now_again() -> None:
    stream = Stream()
    stream.come(2.0)
    stream.now_s += 3.0
    late = stream.come(3.0, pace=50.0)
    fresh = late.index(Age.AFTER_HOLE)
    assert set(late[:fresh]) == {Age.STALE}
    assert set(late[fresh + 1 :]) == {Age.FRESH}
    assert 1.9 < fresh * PACKET_S < 2.2  # what is late by more than a second
    assert set(stream.come(2.0)) == {Age.FRESH}


def test_a_hole_is_a_gap_and_a_jump_makes_the_stream_new() -> None:
    stream = Stream()
    stream.come(2.0)
    stream.at_s += 0.2
    stream.now_s += 0.2
    assert stream.come(0.06) == [Age.AFTER_HOLE, Age.FRESH, Age.FRESH]
    for jump_s in (7_200.0, -7_200.0, 0.6):
        stream.at_s += jump_s
        verdicts = stream.come(2.0)
        assert verdicts[:24] == [Age.STALE] * 24
        assert verdicts.count(Age.AFTER_HOLE) == 1
        assert verdicts[-1] is Age.FRESH
    assert stream.state.jumps == 3


def test_a_slow_clock_is_no_delay() -> None:
    stream = Stream()
    stream.come(2.0)
    assert set(stream.come(8_000.0, pace=0.9999)) == {Age.FRESH}


@given(st.lists(st.tuples(st.floats(0.1, 5.0), st.floats(1.0, 60.0), st.floats(0.0, 6.0)), max_size=12))
def test_nothing_that_lags_behind_the_best_of_the_stream_is_passed_on(course: list[tuple[float, float, float]]) -> None:
    stream = Stream()
    stream.come(2.0)
    lag_s = 0.0  # behind a stream that was in time at the beginning
    for seconds, pace, pause_s in course:
        stream.now_s += pause_s
        lag_s += pause_s
        for _ in range(round(seconds / PACKET_S)):
            faster = pace if lag_s > PACKET_S else 1.0
            (verdict,) = stream.come(PACKET_S, pace=faster)
            lag_s -= PACKET_S - PACKET_S / faster
            allowed_s = freshness.LATE_S + freshness.DRIFT * (stream.now_s - 100.0) + 1e-6
            assert verdict is Age.STALE or lag_s <= allowed_s
