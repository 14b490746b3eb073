"""What every output must do, whatever is at the end of its wire: one suite for command, relay and NTCIP."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from tests.controller.outputs.faulty import APPROACHES, Bench, CommandBench, NtcipBench, RelayBench, call, wait

from sirend.controller.outputs import BEAT_S, HANGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import SignalController

    from sirend.controller.outputs import Output

pytestmark = pytest.mark.system
AT_ONCE_S = 0.25
"""A call that returns at once may take so long on a busy machine."""


@pytest.fixture(params=["command", "relay", "ntcip"])
def bench(
    request: pytest.FixtureRequest, tmp_path: Path, make_controller: Callable[..., SignalController]
) -> Iterator[Bench]:
    made: Bench
    if request.param == "ntcip":
        made = NtcipBench(tmp_path, make_controller)
    else:
        made = CommandBench(tmp_path) if request.param == "command" else RelayBench(tmp_path)
    yield made
    made.close()


def begin(output: Output) -> None:
    """Tell of each approach what is so at the beginning, as the listener does."""
    for approach in APPROACHES:
        output.act(call(approach, "clear"))


def confirmed(output: Output, approach: str) -> bool | None:
    report = output.report(approach)
    assert report is not None
    return report.confirmed


def break_in_a_call(bench: Bench, output: Output) -> None:
    """Let all be on, and what is done for north fail from then on.

    A test that a busy machine holds up for ``BEAT_S`` is a listener that hangs, and all is clear until it goes on: what
    is broken in that moment stays off. Only what is on when nothing can change it any more was broken in a call.
    """
    while True:
        wait(lambda: all(map(bench.is_on, APPROACHES)), output)
        bench.fail("north", yes=True)
        if bench.is_on("north"):
            return
        bench.fail("north", yes=False)


def test_a_call_comes_is_confirmed_and_goes(bench: Bench) -> None:
    with bench.make() as output:
        begin(output)
        assert output.report("west") is None
        output.act(call("west"))
        output.act(call("north"))
        wait(lambda: bench.is_on("north") and confirmed(output, "north") is True, output)
        assert not bench.is_on("east")
        output.act(call("north", "clear"))
        wait(lambda: not bench.is_on("north") and confirmed(output, "north") is True, output)


def test_leaving_in_a_call_clears_it_also_when_an_error_ends_the_listener(bench: Bench) -> None:
    def listen_and_fail() -> None:
        with bench.make() as output:
            begin(output)
            for approach in APPROACHES:
                output.act(call(approach))
            wait(lambda: all(map(bench.is_on, APPROACHES)), output)
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        listen_and_fail()
    assert not any(map(bench.is_on, APPROACHES))


def test_leaving_while_a_call_is_about_to_be_made_ends_in_clear(bench: Bench) -> None:
    with bench.make() as output:
        begin(output)
        for approach in APPROACHES:
            output.act(call(approach))
    time.sleep(0.3)
    assert not any(map(bench.is_on, APPROACHES))


@pytest.mark.parametrize("state", ["approaching", "clear"])
def test_what_fails_is_tried_again_until_it_works(bench: Bench, state: str) -> None:
    is_on = state == "approaching"
    with bench.make() as output:
        begin(output)
        if is_on:
            bench.fail("north", yes=True)
        else:
            for approach in APPROACHES:
                output.act(call(approach))
            break_in_a_call(bench, output)
        output.act(call("north", state))
        wait(lambda: confirmed(output, "north") is False, output)
        report = output.report("north")
        assert report is not None
        assert report.problem
        assert bench.is_on("north") is not is_on
        bench.fail("north", yes=False)
        wait(lambda: bench.is_on("north") is is_on and confirmed(output, "north") is True, output)


@pytest.mark.parametrize("fault", ["fail", "hang"])
def test_no_approach_waits_for_another(bench: Bench, fault: str) -> None:
    with bench.make() as output:
        begin(output)
        wait(lambda: all(confirmed(output, approach) for approach in APPROACHES), output)
        (bench.fail if fault == "fail" else bench.hang)("north", yes=True)
        output.act(call("north"))
        time.sleep(0.2)
        for state in ("approaching", "clear", "approaching"):
            began_at = time.monotonic()
            output.act(call("east", state))
            output.beat()
            assert time.monotonic() - began_at < AT_ONCE_S
            wait(lambda state=state: bench.is_on("east") is (state == "approaching"), output, 3.0)  # type: ignore[misc]
            assert not bench.is_on("north")
            assert confirmed(output, "north") is not True
        (bench.fail if fault == "fail" else bench.hang)("north", yes=False)
        wait(lambda: bench.is_on("north"), output)


def test_when_the_listener_hangs_all_is_clear_until_it_is_back(bench: Bench) -> None:
    with bench.make() as output:
        begin(output)
        output.act(call("north"))
        wait(lambda: bench.is_on("north"), output)
        hangs_since = time.monotonic()
        wait(lambda: not bench.is_on("north"))  # nobody beats it
        assert time.monotonic() - hangs_since > BEAT_S - 0.2
        if not isinstance(bench, NtcipBench):  # which tells of what the controller says
            assert output.report("north") is not None
            assert output.report("north").problem == HANGS  # type: ignore[union-attr]
        wait(lambda: bench.is_on("north"), output)


def test_leaving_clears_what_comes_back_while_it_is_left(bench: Bench) -> None:
    with bench.make() as output:
        begin(output)
        for approach in APPROACHES:
            output.act(call(approach))
        break_in_a_call(bench, output)
        output.clear()
        wait(lambda: not bench.is_on("east"))
        assert bench.is_on("north")
        bench.fail("north", yes=False)
    assert not bench.is_on("north")


def test_an_approach_that_hangs_for_ever_is_left_within_bounds(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("command.Command", "relay.Relays"):
        monkeypatch.setattr(f"sirend.controller.outputs.{kind}.leaving_s", 3.0)
    output = bench.make()
    if isinstance(bench, NtcipBench):  # its bound is the controller's backup time, a minute here
        assert 60.0 < output.leave_s < 70.0
        return
    with output:
        begin(output)
        output.act(call("east"))
        wait(lambda: bench.is_on("east"), output)
        bench.hang("north", yes=True)
        output.act(call("north"))
        time.sleep(0.2)
        left_at = time.monotonic()
    assert time.monotonic() - left_at < output.leave_s + 0.5
    assert not bench.is_on("east")
