from __future__ import annotations

import threading
import time

from sirend.host.background_thread import Background

LATEST_S = 60.0


def test_items_are_done_in_order_and_before_the_end() -> None:
    done: list[int] = []
    with Background("work", done.append, 10) as background:
        assert all(background.put(item) for item in range(10))
    assert done == list(range(10))
    assert (background.waiting, background.refused, background.late_s) == (0, 0, 0.0)


def test_whoever_hands_over_never_waits_and_what_finds_no_room_is_counted() -> None:
    hung, begun = threading.Event(), threading.Event()
    done: list[int] = []

    def work(item: int) -> None:
        begun.set()
        hung.wait(LATEST_S)
        done.append(item)

    with Background("work", work, 3) as background:
        background.put(0)
        assert begun.wait(LATEST_S)
        assert [background.put(item) for item in range(1, 6)] == [True, True, True, False, False]
        assert (background.waiting, background.refused) == (4, 2)
        assert background.late_s > 0.0
        assert not background.settle(0.01)
        hung.set()
        assert background.settle(LATEST_S)
        assert background.late_s == 0.0
    assert done == [0, 1, 2, 3]


def test_an_end_leaves_a_blocked_thread_to_itself() -> None:
    hung = threading.Event()

    def work(_: int) -> None:
        hung.wait(LATEST_S)

    began = time.monotonic()
    with Background("work", work, 3, close_s=0.1) as background:
        background.put(0)
        background.put(1)
    assert time.monotonic() - began < LATEST_S / 2
    assert background.waiting == 2
    hung.set()


def test_a_bug_is_remembered_and_the_next_item_is_done() -> None:
    done: list[float] = []

    def work(item: int) -> None:
        done.append(1 / item)

    with Background("work", work, 3) as background:
        background.put(0)
        background.put(2)
    assert background.bug == "division by zero"
    assert done == [0.5]
