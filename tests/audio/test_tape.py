import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sirend.audio.tape import Tape


@given(st.integers(0, 20), st.lists(st.integers(0, 50), max_size=30))
def test_a_tape_gives_what_is_new_after_the_last_of_what_came_before(kept: int, sizes: list[int]) -> None:
    tape, given_out = Tape(kept), []
    stream = np.arange(3 * sum(sizes), dtype=np.float32).reshape(-1, 3).T
    end = 0
    for size in sizes:
        begin, end = max(0, end - kept), end + size
        given_out.append((tape.append(stream[:, end - size : end]), stream[:, begin:end]))
    for view, expected in given_out:  # also of long ago: nothing is written over
        np.testing.assert_array_equal(view, expected)


def test_what_is_remembered_moves_seldom() -> None:
    tape = Tape(100)
    views = [tape.append(np.ones((2, 10, 4), np.float32)) for _ in range(60)]
    moves = sum(not np.may_share_memory(one, next_one) for one, next_one in itertools.pairwise(views))
    assert moves == 2
    tape.clear()
    assert tape.append(np.ones((2, 10, 4), np.float32)).shape == (2, 10, 4)
