"""The three outputs, each on the real thing, with faults of one approach that a test can switch on and off."""

from __future__ import annotations

import select
import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import gpiozero
from gpiozero.pins.mock import MockFactory

from sirend.call.state import CallState
from sirend.client import Call
from sirend.config.listen_settings import NtcipConfig, Preempt, Relay
from sirend.controller.outputs.command import Command
from sirend.controller.outputs.ntcip import PREEMPT_CONTROL_STATE, PREEMPT_STATE, Ntcip
from sirend.controller.outputs.relay import Relays

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import SignalController

    from sirend.controller.outputs import Output

APPROACHES = ("north", "east")


def call(approach: str, state: str = "approaching") -> Call:
    return Call("s", approach, CallState(state), "siren", datetime.now(UTC), None)


class Bench(Protocol):
    """An output and what it acts on."""

    def make(self) -> Output:
        """Return the output, to be entered."""

    def is_on(self, approach: str) -> bool:
        """Return whether the thing at the end of the wire is on."""

    def fail(self, approach: str, *, yes: bool) -> None:
        """Let whatever is done for the approach fail."""

    def hang(self, approach: str, *, yes: bool) -> None:
        """Let whatever is done for the approach last for ever."""

    def close(self) -> None:
        """Clean up."""


class CommandBench:
    """A shell command that writes what it is told into a file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self) -> Command:
        words = (
            f"cd {self._folder}; while [ -e hang-$SIREND_APPROACH ]; do sleep 0.02; done; "
            "[ ! -e fail-$SIREND_APPROACH ] && echo $SIREND_STATE > state-$SIREND_APPROACH"
        )
        return Command(words, 30.0, APPROACHES)

    def is_on(self, approach: str) -> bool:
        file = self._folder / f"state-{approach}"
        return file.exists() and file.read_text() == "approaching\n"

    def fail(self, approach: str, *, yes: bool) -> None:
        self._flag(f"fail-{approach}", yes=yes)

    def hang(self, approach: str, *, yes: bool) -> None:
        self._flag(f"hang-{approach}", yes=yes)

    def _flag(self, name: str, *, yes: bool) -> None:
        if yes:
            (self._folder / name).touch()
        else:
            (self._folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        for approach in APPROACHES:
            self.hang(approach, yes=False)


class RelayBench:
    """Pins of gpiozero's mock, which may refuse or hang."""

    def __init__(self, _folder: Path) -> None:
        self._pins = dict(zip(APPROACHES, (17, 27), strict=True))
        self._before, self._factory = gpiozero.Device.pin_factory, MockFactory()
        gpiozero.Device.pin_factory = self._factory
        self._failing: set[int] = set()
        self._going = {pin: threading.Event() for pin in self._pins.values()}
        for going in self._going.values():
            going.set()

    def make(self) -> Relays:
        output = Relays([Relay(approach, pin) for approach, pin in self._pins.items()])
        for number in self._pins.values():
            pin = self._factory.pin(number)
            pin._set_state = self._faulty(number, pin._set_state)  # noqa: SLF001  where the hardware would be
        return output

    def _faulty(self, number: int, switch: Callable[[Any], None]) -> Callable[[Any], None]:
        def switch_if_it_can(value: Any) -> None:  # noqa: ANN401
            self._going[number].wait()
            if number in self._failing:
                raise OSError(5, "Input/output error")
            switch(value)

        return switch_if_it_can

    def is_on(self, approach: str) -> bool:
        return bool(self._factory.pin(self._pins[approach]).state)

    def fail(self, approach: str, *, yes: bool) -> None:
        (self._failing.add if yes else self._failing.discard)(self._pins[approach])

    def hang(self, approach: str, *, yes: bool) -> None:
        going = self._going[self._pins[approach]]
        (going.clear if yes else going.set)()

    def close(self) -> None:
        for going in self._going.values():
            going.set()
        self._factory.reset()
        gpiozero.Device.pin_factory = self._before


class Cable:
    """A UDP relay between a manager and an agent, which may lose or change what it carries."""

    def __init__(self, agent_port: int) -> None:
        self._agent = ("127.0.0.1", agent_port)
        self._front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._front.bind(("127.0.0.1", 0))
        self._backs: dict[Any, socket.socket] = {}
        self.port: int = self._front.getsockname()[1]
        self.loses: Callable[[bytes], bool] = lambda _: False
        """What does not arrive, of either direction."""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._closing.is_set():
            ready, _, _ = select.select([self._front, *self._backs.values()], [], [], 0.05)
            for each in ready:
                with suppress(OSError):
                    data, sender = each.recvfrom(65_536)
                    if self.loses(data):
                        continue
                    if each is self._front:
                        if sender not in self._backs:
                            self._backs[sender] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                        self._backs[sender].sendto(data, self._agent)
                    else:
                        (manager,) = (name for name, back in self._backs.items() if back is each)
                        self._front.sendto(data, manager)

    def close(self) -> None:
        self._closing.set()
        self._thread.join(10.0)
        for each in (self._front, *self._backs.values()):
            each.close()


def bytes_of(oid: str) -> bytes:
    """Return the BER of an object identifier's end, as it stands in a datagram; its numbers are below 16,384."""
    encoded = bytearray()
    for number in map(int, oid.split(".")[2:]):
        encoded += bytes([number] if number < 0x80 else [0x80 | number >> 7, number & 0x7F])
    return bytes(encoded)


class NtcipBench:
    """A real SNMP agent at the end of a cable that loses what concerns one approach; one of its objects may be gone."""

    def __init__(self, folder: Path, make_controller: Callable[..., SignalController]) -> None:
        self._controller = make_controller(backup_s=60)
        self._folder = folder
        self.cable = Cable(self._controller.port)
        self._numbers = dict(zip(APPROACHES, (1, 3), strict=True))

    def make(self) -> Ntcip:
        preempts = tuple(Preempt(approach, number) for approach, number in self._numbers.items())
        port, file = self.cable.port, self._controller.community
        return Ntcip(NtcipConfig(port=port, community_file=file, backup_s=60, timeout_s=0.4, preempts=preempts))

    def is_on(self, approach: str) -> bool:
        changes = [value for number, value in self._controller.preempts if number == self._numbers[approach]]
        return bool(changes and changes[-1])

    def fail(self, approach: str, *, yes: bool) -> None:
        self._controller.break_down(self._numbers[approach], yes=yes)

    def hang(self, approach: str, *, yes: bool) -> None:
        ends = tuple(bytes_of(f"{oid}.{self._numbers[approach]}") for oid in (PREEMPT_CONTROL_STATE, PREEMPT_STATE))
        self.cable.loses = (lambda data: any(end in data for end in ends)) if yes else (lambda _: False)

    def close(self) -> None:
        self.cable.close()


def wait(condition: Callable[[], bool], output: Output | None = None, within_s: float = 30.0) -> None:
    """Wait for ``condition``, beating ``output`` as a listener does."""
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        if output is not None:
            output.beat()
        time.sleep(0.02)
