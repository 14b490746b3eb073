import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirend.audio.ring import Ring


def ramp(start: int, count: int, channels: int = 1) -> np.ndarray:
    return np.repeat(np.arange(start, start + count, dtype=np.float32)[:, np.newaxis], channels, axis=1)


@given(
    capacity=st.integers(1, 40),
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=40),
)
def test_what_was_accepted_comes_out_once_and_in_order(capacity: int, steps: list[tuple[bool, int]]) -> None:
    ring = Ring(capacity, channels=2)
    accepted: list[float] = []
    got: list[float] = []
    offered = 0
    for writing, count in steps:
        if writing:
            frames = ramp(offered, count, channels=2)
            dropped = ring.write(frames)
            accepted += frames[: count - dropped, 0].tolist()
            offered += count
        else:
            frames = ring.read(count)
            assert np.array_equal(frames[:, 0], frames[:, 1])
            got += frames[:, 0].tolist()
        assert ring.waiting == len(accepted) - len(got) <= capacity
        assert ring.written + ring.dropped == offered
    got += ring.read(capacity)[:, 0].tolist()
    assert got == accepted


def test_a_full_ring_drops_the_newest_and_counts_them() -> None:
    ring = Ring(4, channels=1)
    assert ring.write(ramp(0, 3)) == 0
    assert ring.write(ramp(3, 3)) == 2
    assert ring.dropped == 2
    assert ring.read(10)[:, 0].tolist() == [0, 1, 2, 3]


def test_two_threads_pass_every_frame() -> None:
    ring = Ring(1000, channels=1)
    total = 50_000

    def produce() -> None:
        sent = 0
        while sent < total:
            count = min(137, total - sent, ring.capacity - ring.waiting)
            if count == 0:
                time.sleep(0.001)  # the reader needs the interpreter
            ring.write(ramp(sent, count))
            sent += count

    producer = threading.Thread(target=produce, daemon=True)
    producer.start()
    parts: list[np.ndarray] = []
    while sum(len(part) for part in parts) < total:
        assert ring.wait(10.0)
        parts.append(ring.read(333))
    producer.join()
    assert np.array_equal(np.concatenate(parts)[:, 0], np.arange(total, dtype=np.float32))
    assert not ring.wait(0.01)


@pytest.mark.parametrize(("capacity", "channels"), [(0, 1), (1, 0)])
def test_a_ring_without_room_is_refused(capacity: int, channels: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        Ring(capacity, channels)
