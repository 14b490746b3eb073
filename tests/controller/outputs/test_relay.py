from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory
from tests.controller.outputs.faulty import call, wait

from sirend.config.listen_settings import Relay
from sirend.controller.outputs import Report
from sirend.controller.outputs.relay import Relays
from sirend.errors import ConfigError, DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def level() -> Iterator[Callable[[int], int]]:
    """Return a function that tells the level of a pin of gpiozero's mock, 0 or 1."""
    before, factory = gpiozero.Device.pin_factory, MockFactory()
    gpiozero.Device.pin_factory = factory
    yield lambda number: int(factory.pin(number).state)
    factory.reset()
    gpiozero.Device.pin_factory = before


def test_a_line_is_on_while_its_approach_calls(level: Callable[[int], int]) -> None:
    relays = (Relay("north", 17), Relay("east", 27, active_high=False), Relay("north", 4))
    with Relays(relays) as output:
        assert (level(17), level(27), level(4)) == (0, 1, 0)
        output.act(call("north"))
        output.act(call("east", "clear"))
        wait(lambda: (level(17), level(27), level(4)) == (1, 1, 1))
        wait(lambda: output.report("north") == Report(True, "on", None))
        wait(lambda: output.report("east") == Report(True, "off", None))
        assert output.report("west") is None
        output.act(call("north", "clear"))
        output.act(call("east"))
        wait(lambda: (level(17), level(27), level(4)) == (0, 0, 0))


def test_of_two_lines_one_that_fails_does_not_keep_the_other_back(
    level: Callable[[int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Relays((Relay("north", 17), Relay("north", 4))) as output:

        def refuse(_: object) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(gpiozero.Device.pin_factory.pin(17), "_set_state", refuse)
        output.act(call("north"))
        wait(lambda: level(4) == 1)
        problem = "GPIO 17 cannot be switched: [Errno 5] Input/output error"
        wait(lambda: output.report("north") == Report(False, None, problem))
        monkeypatch.undo()
        wait(lambda: output.report("north") == Report(True, "on", None))


@pytest.mark.parametrize("state", ["approaching", "clear"])
def test_a_line_that_somebody_else_switches_is_put_right_within_seconds(
    level: Callable[[int], int], state: str
) -> None:
    """An expander that was reset, or another program: the call was confirmed, and the line was off."""
    wanted = int(state == "approaching")
    with Relays((Relay("north", 17), Relay("east", 4))) as output:
        output.act(call("north", state))
        wait(lambda: output.report("north") == Report(True, "on" if wanted else "off", None), output)
        for _ in range(2):
            gpiozero.Device.pin_factory.pin(17).state = 1 - wanted
            wait(lambda: level(17) == wanted, output)
            assert level(4) == 0


def test_a_line_that_is_taken_is_told_and_nothing_stays_claimed(level: Callable[[int], int]) -> None:
    with (
        pytest.raises(DeviceError, match=r"GPIO 17 cannot be used: .*; see listen\.relays"),
        Relays((Relay("north", 4), Relay("east", 17), Relay("west", 17))),
    ):
        pass
    with Relays((Relay("north", 17),)) as output:
        output.act(call("north"))
        wait(lambda: level(17) == 1)


def test_without_gpiozero_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gpiozero", None)
    with pytest.raises(
        ConfigError, match=r"gpiozero is missing: sudo make install EXTRAS=gpio, or make venv EXTRAS=gpio"
    ):
        Relays((Relay("north", 17),))
