from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sirend.errors import ConfigError, SirendError
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
    monkeypatch.setattr("sirend.training.work.ProcessPoolExecutor", None)  # what was done is not done again
    assert len(list(spread(prepare, 5, "test", tmp_path, title="testing"))) == 5


@pytest.mark.timeout(60)
@pytest.mark.parametrize("is_at_its_start", [True, False])
def test_what_is_raised_in_a_process_is_raised_at_once_and_ends_the_others(
    tmp_path: Path, *, is_at_its_start: bool
) -> None:
    def fail() -> None:
        raise ConfigError("models/siren-9.9.9", ["the network cannot be used", "the file is damaged"])

    def prepare() -> Callable[[int], dict[str, np.ndarray]]:
        if is_at_its_start:
            fail()

        def task(number: int) -> dict[str, np.ndarray]:
            if number == 0:
                fail()
            time.sleep(1_000.0)
            return {}

        return task

    with pytest.raises(ConfigError) as caught:
        list(spread(prepare, 6, "test", tmp_path, title="testing"))
    assert caught.value.where == "models/siren-9.9.9"
    assert caught.value.problems == ("the network cannot be used", "the file is damaged")


@pytest.mark.timeout(60)
def test_a_process_that_is_killed_is_not_waited_for(tmp_path: Path) -> None:
    def prepare() -> Callable[[int], dict[str, np.ndarray]]:
        def task(number: int) -> dict[str, np.ndarray]:
            if number == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return {"number": np.array(number)}

        return task

    with pytest.raises(SirendError, match=r"testing: a process was ended from outside \(out of memory\?\)"):
        list(spread(prepare, 6, "test", tmp_path, title="testing"))
    assert list(tmp_path.glob("*/[012].npz"))
