import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirend.audio.stream import Block, Gap, GapReason, Samples, Window
from sirend.audio.windows import Windows


def windows_of(pcm: np.ndarray, cuts: list[int], start: int = 0, *, window: int = 40, hop: int = 7) -> list[Window]:
    sliding = Windows(window=window, hop=hop, channels=[0])
    edges = [0, *sorted(cut % (len(pcm) + 1) for cut in cuts), len(pcm)]
    out: list[Window] = []
    for left, right in itertools.pairwise(edges):
        out += sliding.push(Block(Samples(start + left), pcm[left:right]))
    return out


@given(st.integers(0, 300), st.lists(st.integers(0, 400), max_size=12))
def test_windows_do_not_depend_on_how_the_stream_is_cut(length: int, cuts: list[int]) -> None:
    pcm = np.arange(length, dtype=np.float32)[:, np.newaxis]
    whole, cut = windows_of(pcm, []), windows_of(pcm, cuts)
    assert [w.end for w in whole] == [end for end in range(7, length + 1, 7) if end >= 40]
    assert [(w.end, w.fresh) for w in whole] == [(w.end, w.fresh) for w in cut]
    for window, same in zip(whole, cut, strict=True):
        assert np.array_equal(window.pcm[0], pcm[window.end - 40 : window.end, 0])
        assert np.array_equal(window.pcm, same.pcm)


@given(st.integers(0, 50), st.integers(0, 120))
def test_no_window_spans_a_gap(before: int, after: int) -> None:
    sliding = Windows(window=20, hop=5, channels=[0])
    out = list(sliding.push(Block(Samples(0), np.zeros((before, 1), np.float32))))
    out += sliding.push(Gap(Samples(before), GapReason.OVERFLOW))
    later = list(sliding.push(Block(Samples(before), np.ones((after, 1), np.float32))))
    assert all(window.pcm.max() == 0 for window in out)
    assert all(window.pcm.min() == 1 for window in later)
    assert all(window.end - 20 >= before and window.end % 5 == 0 for window in later)
    assert bool(later) == (before + after >= -(-(before + 20) // 5) * 5)
    assert [window.fresh for window in later[:1]] == [20] * bool(later)


@pytest.mark.parametrize("channels", [[2, 0], [1], [1, 2], [2, 1], [0, 1, 2], [1, 1]])
def test_each_approach_listens_to_its_own_column(channels: list[int]) -> None:
    sliding = Windows(window=4, hop=2, channels=channels)
    pcm = np.array([[0, 10, 20]] * 4, dtype=np.float32)
    (window,) = sliding.push(Block(Samples(0), pcm))
    assert window.pcm.tolist() == [[10.0 * channel] * 4 for channel in channels]


def test_empty_blocks_do_not_add_up() -> None:
    sliding = Windows(window=4, hop=2, channels=[0])
    nothing = Block(Samples(0), np.zeros((0, 1), np.float32))
    list(sliding.push(nothing))
    tracemalloc.start()
    for _ in range(2_000):
        assert not list(sliding.push(nothing))
    assert tracemalloc.get_traced_memory()[0] < 10_000
    tracemalloc.stop()
    assert [window.end for window in sliding.push(Block(Samples(0), np.zeros((6, 1), np.float32)))] == [4, 6]


@pytest.mark.parametrize("hop", [0, 41])
def test_a_hop_that_would_skip_samples_is_refused(hop: int) -> None:
    with pytest.raises(ValueError, match="hop"):
        Windows(window=40, hop=hop, channels=[0])
