from __future__ import annotations

import threading

import pytest

from sirend.evidence import follower as module
from sirend.evidence.follower import Follower

WITHIN_S = 60.0


@pytest.fixture(autouse=True)
def _without_giving_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "recede", lambda: None)  # on a busy machine it would take minutes


def follower(**how: object) -> Follower[int]:
    words = {"look": lambda: None, "write": lambda _: None, "failed": lambda _: None, "waiting": 8} | how
    return Follower("test", poll_s=0.01, close_s=WITHIN_S, **words)  # type: ignore[arg-type]


def test_a_bug_in_either_thread_is_told_and_ends_neither() -> None:
    told: list[str] = []
    written: list[int] = []
    looks = iter([False, True])
    looked = threading.Event()

    def look() -> None:
        if next(looks, True):
            looked.set()
        else:
            raise ZeroDivisionError

    def write(item: int) -> None:
        written.append(1 // item)

    with follower(look=look, write=write, failed=told.append) as following:
        assert following.offer(0)
        assert following.offer(1)
        assert looked.wait(WITHIN_S)
    assert written == [1]
    assert told == ["a bug; the log has it"] * 2


def test_what_is_offered_is_written_before_the_end_and_too_much_is_refused() -> None:
    held, written = threading.Event(), list[int]()

    def write(item: int) -> None:
        assert held.wait(WITHIN_S)
        written.append(item)

    following = follower(write=write, waiting=1)
    assert following.offer(1)
    assert not following.offer(2)
    with following:
        assert not following.is_ending
        held.set()
    assert following.is_ending
    assert written == [1]


def test_it_looks_once_more_at_the_end() -> None:
    looks: list[None] = []
    following = Follower[int](
        "test",
        look=lambda: looks.append(None),
        write=lambda _: None,
        failed=lambda _: None,
        poll_s=WITHIN_S,
        waiting=1,
        close_s=WITHIN_S,
    )
    with following:
        pass
    assert len(looks) == 1
