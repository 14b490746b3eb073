from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sirend.host.pulse import LOOKS_S, Pulse


def test_a_thread_that_is_not_beaten_for_too_long_has_stopped_and_goes_on_with_the_next_beat() -> None:
    pulse = Pulse(10.0)
    assert [now for now in range(100, 120) if pulse.has_stopped(float(now))] == list(range(111, 120))
    pulse.beat()
    assert not pulse.has_stopped(120.0)


def test_whoever_was_held_up_too_begins_anew() -> None:
    pulse = Pulse(10.0)
    for now in (100.0, 104.0, 108.0, 1_000.0, 1_004.0, 1_008.0):
        assert not pulse.has_stopped(now)
    assert not pulse.has_stopped(1_010.0)
    assert pulse.has_stopped(1_011.0)


@given(st.lists(st.tuples(st.floats(0.0, 100.0), st.booleans())), st.floats(LOOKS_S, 100.0))
def test_one_that_is_beaten_between_two_looks_never_has(looks: list[tuple[float, bool]], most_s: float) -> None:
    pulse, now, beaten_at = Pulse(most_s), 100.0, 100.0
    for pause_s, is_beaten in looks:
        now += pause_s
        if is_beaten:
            pulse.beat()
            beaten_at = now
        assert not pulse.has_stopped(now) or now - beaten_at > most_s
