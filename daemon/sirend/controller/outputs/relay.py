"""GPIO lines that are on while an approach calls, through gpiozero (extra ``gpio``)."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from sirend.controller.outputs.keeper import Keeper, KeptOutput
from sirend.errors import ConfigError, DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sirend.client import Call
    from sirend.config.listen_settings import Relay


AGAIN_S = 1.0
"""A line is switched so often: one behind an expander that was reset, or that another program drives, does not tell."""


class Relays(KeptOutput):
    """Switches lines. The thread of an approach switches them off when the listener hangs."""

    leaving_s = 5.0

    def __init__(self, relays: Sequence[Relay]) -> None:
        """Prepare the lines of ``relays``; raise ``ConfigError`` where gpiozero is not installed."""
        try:
            import gpiozero  # noqa: PLC0415  an extra
        except ModuleNotFoundError:
            raise ConfigError(
                "listen.relays", ["gpiozero is missing: sudo make install EXTRAS=gpio, or make venv EXTRAS=gpio"]
            ) from None
        self._gpiozero: Any = gpiozero
        super().__init__(lambda call: "on" if call.is_active else "off")
        self._relays = relays

    def __enter__(self) -> Self:
        """Claim the lines, all off; raise ``DeviceError`` when one cannot be had."""
        claimed: dict[str, list[Any]] = {}
        with ExitStack() as opened:
            for relay in self._relays:
                try:
                    line = self._gpiozero.OutputDevice(relay.pin, active_high=relay.active_high, initial_value=False)
                except Exception as error:  # gpiozero's pin factories raise what they like
                    raise DeviceError(f"GPIO {relay.pin} cannot be used: {error}; see listen.relays") from error
                opened.callback(line.close)
                claimed.setdefault(relay.approach, []).append((relay.pin, line))
            opened.pop_all()  # from now on each belongs to its approach's thread
        for approach, lines in claimed.items():
            keeper = Keeper(
                f"relay of {approach}", partial(_switch, lines), partial(_give_back, lines), again_s=AGAIN_S
            )
            self._keepers[approach] = keeper
            keeper.start()
        return self


def _switch(lines: Sequence[tuple[int, Any]], call: Call, _is_wanted: Callable[[], bool]) -> str | None:
    """Switch the ``lines`` of an approach, each whatever becomes of the others; return what went wrong."""
    problems = []
    for pin, line in lines:
        try:
            (line.on if call.is_active else line.off)()
            if bool(line.value) is not call.is_active:
                problems.append(f"GPIO {pin} does not do what it is told")
        except Exception as error:  # noqa: BLE001  gpiozero's pin factories raise what they like
            problems.append(f"GPIO {pin} cannot be switched: {error}")
    return "; ".join(problems) or None


def _give_back(lines: Sequence[tuple[int, Any]]) -> None:
    for _, line in lines:
        for end in (line.off, line.close):
            with suppress(Exception):  # gpiozero's pin factories raise what they like
                end()
