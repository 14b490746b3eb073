from __future__ import annotations

import json
import queue
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.conftest import PATIENCE_S
from tests.observe.test_snapshot import setup

from sirend.config.settings import Config
from sirend.host.subprocess import Helper
from sirend.observe.snapshot import View
from sirend.selftest import runner
from sirend.selftest.runner import SelfTestRunner
from sirend.web.feed import Archive
from sirend.web.server import Web

if TYPE_CHECKING:
    from sirend.config.settings import WebConfig


class Bench(Helper):
    """A helper that gives what the test gives it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, object]] = []
        self._results: queue.Queue[bytes | Exception] = queue.Queue()

    def give(self, result: dict[str, Any] | Exception) -> None:
        self._results.put(result if isinstance(result, Exception) else json.dumps(result).encode())

    def run(self, module: str, given: object) -> bytes:
        self.asked.append((module, given))
        result = self._results.get(timeout=PATIENCE_S)
        if isinstance(result, Exception):
            raise result
        return result

    def close(self) -> None:
        self.give(subprocess.SubprocessError("given up"))


def serve(config: WebConfig, view: View, kept: Archive | None = None, bench: Bench | None = None) -> Web:
    """Return a page whose self-test is the bench's."""
    return Web(config, view, SelfTestRunner(Config(), view, bench or Bench()), kept or Archive())


def result_of(made: SelfTestRunner) -> dict[str, Any]:
    limit = time.monotonic() + PATIENCE_S
    while made.status["running"] or made.status["result"] is None:
        assert time.monotonic() < limit
        time.sleep(0.01)
    result: dict[str, Any] = made.status["result"]
    return result


def test_one_test_at_a_time_and_none_too_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    view, bench = View(setup()), Bench()
    with SelfTestRunner(Config(site="elm-1st"), view, bench) as made:
        assert made.ask() is None
        assert made.status == {"running": True, "result": None}
        assert made.ask() == "A self-test is running already."
        bench.give({"passed": False, "problem": "main: the built-in siren was not heard"})
        assert result_of(made)["problem"] == "main: the built-in siren was not heard"
        assert view.selftest == made.status["result"]
        refused = made.ask()
        assert refused is not None
        assert refused.startswith("The last self-test was a moment ago. Wait ")
        monkeypatch.setattr(runner, "EVERY_S", 0.0)
        assert made.ask() is None
        assert made.status["running"]
        assert made.status["result"]["passed"] is False
    assert bench.asked == [("sirend.selftest.run", Config(site="elm-1st"))] * 2


@pytest.mark.parametrize(
    "failure",
    [OSError("no memory"), subprocess.TimeoutExpired("sirend.selftest.run", 120.0), json.JSONDecodeError("", "", 0)],
)
def test_a_test_that_cannot_be_run_has_not_passed(failure: Exception) -> None:
    view, bench = View(setup()), Bench()
    with SelfTestRunner(Config(), view, bench) as made:
        made.ask()
        bench.give(failure)
        result = result_of(made)
    assert (result["passed"], result["problem"]) == (False, "the self-test could not be run; the log says why")
    assert (result["schema"], result["site"], result["model"]) == ("sirend/selftest/1", "main-5th", "m@0")


def test_a_bug_ends_the_test_with_a_verdict_and_another_may_be_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    view, bench = View(setup()), Bench()
    with SelfTestRunner(Config(), view, bench) as made:
        assert made.ask() is None
        bench.give({"nonsense": True})
        assert result_of(made)["problem"] == "the self-test could not be run; the log says why"
        assert not made.status["running"]
    assert caplog.records[-1].exc_info is not None
