from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory

from sirend.call.state import CallState
from sirend.client import Call
from sirend.config.listen import Relay
from sirend.controller.outputs import BEAT_S, Report
from sirend.controller.outputs.relay import Relays
from sirend.errors import ConfigError, DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_S = 60.0


def call(approach: str, state: str = "approaching") -> Call:
    return Call("s", approach, CallState(state), "siren", datetime.now(UTC), None)


@pytest.fixture
def level() -> Iterator[Callable[[int], int]]:
    """Return a function that tells the level of a pin of gpiozero's mock, 0 or 1."""
    before, factory = gpiozero.Device.pin_factory, MockFactory()
    gpiozero.Device.pin_factory = factory
    yield lambda number: int(factory.pin(number).state)
    factory.reset()
    gpiozero.Device.pin_factory = before


def test_a_line_is_on_while_its_approach_calls(level: Callable[[int], int]) -> None:
    relays = (Relay("north", 17), Relay("east", 27, active_high=False))
    with Relays(relays) as output:
        assert (level(17), level(27)) == (0, 1)
        output.act(call("north"))
        assert (level(17), level(27)) == (1, 1)
        assert output.report("north") == Report(True, "on", None)
        assert output.report("east") == Report(True, "off", None)
        assert output.report("west") is None
        output.act(call("north", "clear"))
        output.act(call("east"))
        assert (level(17), level(27)) == (0, 0)
        output.beat()
        assert (level(17), level(27)) == (0, 0)


def test_leaving_switches_everything_off(level: Callable[[int], int]) -> None:
    levels = []
    with Relays((Relay("north", 17),)) as output:
        output.act(call("north"))
        pin = gpiozero.Device.pin_factory.pin(17)
        levels.append(level(17))
    assert levels == [1]
    assert [state.state for state in pin.states][-1] in (False, 0)


def test_when_the_listener_hangs_every_line_goes_off(level: Callable[[int], int]) -> None:
    with Relays((Relay("north", 17),)) as output:
        output.act(call("north"))
        began_at = time.monotonic()
        while level(17):  # nobody beats it
            assert time.monotonic() < began_at + PATIENCE_S
            time.sleep(0.02)
        assert time.monotonic() - began_at >= BEAT_S - 0.1
        assert output.report("north") == Report(False, "off", "the listener hangs: every line is off")
        output.beat()
        assert level(17) == 1
        assert output.report("north") == Report(True, "on", None)


def test_a_line_that_is_taken_is_told_and_nothing_stays_claimed(level: Callable[[int], int]) -> None:
    with (
        pytest.raises(DeviceError, match=r"GPIO 17 cannot be used: .*; see listen\.relays"),
        Relays((Relay("north", 4), Relay("east", 17), Relay("west", 17))),
    ):
        pass
    with Relays((Relay("north", 17),)) as output:
        output.act(call("north"))
        assert level(17) == 1


def test_without_gpiozero_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gpiozero", None)
    with pytest.raises(
        ConfigError, match=r"gpiozero is missing: sudo make install EXTRAS=gpio, or make venv EXTRAS=gpio"
    ):
        Relays((Relay("north", 17),))
