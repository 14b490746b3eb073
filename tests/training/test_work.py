from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sirend.training.work import ENDING, spread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


def prepare() -> Callable[[int], dict[str, np.ndarray]]:
    def task(number: int) -> dict[str, np.ndarray]:
        ends_at_once = [signal.getsignal(each) is signal.SIG_DFL for each in ENDING]
        return {"number": np.array(number), "ends_at_once": np.array(ends_at_once)}

    return task


def test_tasks_come_in_order_and_their_processes_end_at_once_at_a_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unwind(*_: object) -> None:
        raise SystemExit

    before = {each: signal.signal(each, unwind) for each in ENDING}  # as the command line has it
    try:
        done = list(spread(prepare, 5, "test", tmp_path, title="testing"))
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert [int(each["number"]) for each in done] == [0, 1, 2, 3, 4]
    assert all(each["ends_at_once"].all() for each in done)
    monkeypatch.setattr("sirend.training.work.workers", None)  # what was done is not done again
    assert len(list(spread(prepare, 5, "test", tmp_path, title="testing"))) == 5
