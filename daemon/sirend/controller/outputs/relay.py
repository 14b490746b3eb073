"""GPIO lines that are on while an approach calls, through gpiozero (extra ``gpio``)."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from sirend.controller.outputs import BEAT_S, Report
from sirend.errors import ConfigError, DeviceError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from sirend.client import Call
    from sirend.config.listen import Relay

_POLL_S = 0.2


class Relays:
    """Switches lines. A thread of its own switches them off when the listener hangs."""

    def __init__(self, relays: Sequence[Relay]) -> None:
        """Prepare the lines of ``relays``; raise ``ConfigError`` where gpiozero is not installed."""
        try:
            import gpiozero  # noqa: PLC0415  an extra
        except ModuleNotFoundError:
            raise ConfigError(
                "listen.relays", ["gpiozero is missing: sudo make install EXTRAS=gpio, or make venv EXTRAS=gpio"]
            ) from None
        self._gpiozero: Any = gpiozero
        self._relays = relays
        self._lines: dict[str, list[Any]] = {}
        self._lock = threading.Lock()
        self._beaten_at = time.monotonic()
        self._problem: str | None = None
        self._wanted: dict[str, bool] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sirend-relays", daemon=True)
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        """Claim the lines, all off; raise ``DeviceError`` when one cannot be had."""
        with ExitStack() as opened:
            for relay in self._relays:
                try:
                    line = self._gpiozero.OutputDevice(relay.pin, active_high=relay.active_high, initial_value=False)
                except Exception as error:  # gpiozero's pin factories raise what they like
                    raise DeviceError(f"GPIO {relay.pin} cannot be used: {error}; see listen.relays") from error
                opened.callback(line.close)
                opened.callback(line.off)
                self._lines.setdefault(relay.approach, []).append(line)
            self._opened = opened.pop_all()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Switch every line off and give it back."""
        self._closing.set()
        self._thread.join(2.0)
        self._opened.close()

    def act(self, call: Call) -> None:
        """Switch the lines of an approach."""
        with self._lock:
            self._wanted[call.approach] = call.is_active
        self.beat()

    def beat(self) -> None:
        """Hear that the listener lives."""
        with self._lock:
            self._beaten_at = time.monotonic()
            self._switch()

    def report(self, approach: str) -> Report | None:
        """Return whether the lines are as they should be."""
        if approach not in self._lines:
            return None
        with self._lock:
            is_on = all(line.value for line in self._lines[approach])
            return Report(is_on is self._wanted.get(approach, False), "on" if is_on else "off", self._problem)

    def _switch(self) -> None:
        lives = time.monotonic() - self._beaten_at < BEAT_S
        self._problem = None if lives else "the listener hangs: every line is off"
        for approach, lines in self._lines.items():
            for line in lines:
                (line.on if lives and self._wanted.get(approach, False) else line.off)()

    def _watch(self) -> None:
        while not self._closing.wait(_POLL_S):
            with self._lock:
                self._switch()
