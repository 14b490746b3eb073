"""An NTCIP 1202 signal controller: sets its preempts, and reads back what it makes of them.

Object identifiers: NTCIP 1202 v02, ``asc`` is 1.3.6.1.4.1.1206.4.2.1; its ``unit`` (3) has ``unitBackupTime`` (3), its
``preempt`` (6) has column 16 of ``preemptTable`` (2), ``preemptState``, and column 2 of ``preemptControlTable`` (3),
``preemptControlState``. The controller keeps a preempt up while ``preemptControlState`` is 1. When nobody sets a
control object for ``unitBackupTime`` seconds it goes to backup mode and resets them: that is what ends a call when this
program, its host or the cable dies. A controller in which it is 0 (off) or too long is not called.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import suppress
from enum import IntEnum
from typing import TYPE_CHECKING, Self

from sirend.controller.outputs import BEAT_S, Report
from sirend.controller.outputs.snmp import Agent, SnmpError

if TYPE_CHECKING:
    from types import TracebackType

    from sirend.client import Call
    from sirend.config.listen import NtcipConfig

_log = logging.getLogger(__name__)

ASC = "1.3.6.1.4.1.1206.4.2.1"
UNIT_BACKUP_TIME = f"{ASC}.3.3.0"
PREEMPT_STATE = f"{ASC}.6.2.1.16"
PREEMPT_CONTROL_STATE = f"{ASC}.6.3.1.2"
ROUND_S = 1.0
"""Time between two rounds: each sets every preempt again, for that is what keeps the controller from backup mode."""
BUG = "the controller is not served because of a bug; the log has its traceback"
_CLOSE_S = 4.0


class PreemptState(IntEnum):
    """``preemptState`` of NTCIP 1202."""

    OTHER = 1
    NOT_ACTIVE = 2
    NOT_ACTIVE_WITH_CALL = 3
    ENTRY_STARTED = 4
    TRACK_SERVICE = 5
    DWELL = 6
    LINK_ACTIVE = 7
    EXIT_STARTED = 8
    MAX_PRESENCE = 9


SERVED = (PreemptState.ENTRY_STARTED, PreemptState.TRACK_SERVICE, PreemptState.DWELL, PreemptState.LINK_ACTIVE)
"""The controller does what was asked for. With a call, ``NOT_ACTIVE_WITH_CALL`` means that it has yet to begin."""
RESTING = (PreemptState.NOT_ACTIVE, PreemptState.EXIT_STARTED)


class Ntcip:
    """Keeps the preempts of one controller as the calls are, from a thread of its own."""

    def __init__(self, config: NtcipConfig) -> None:
        """Prepare to call the controller of ``config``; raise ``ConfigError`` when a secret or pysnmp is missing."""
        self._config = config
        self._agent = Agent(config)
        self._numbers: dict[str, list[int]] = {}
        for each in config.preempts:
            self._numbers.setdefault(each.approach, []).append(each.number)
        self._lock = threading.Lock()
        self._wanted: dict[str, bool] = dict.fromkeys(self._numbers, False)
        self._beaten_at = time.monotonic()
        self._asked: dict[int, int] = {}
        self._states: dict[int, int] = {}
        self._is_safe = config.backup_s is None
        self._problem: str | None = "not asked yet"
        self._is_closing = False
        self._loop = asyncio.new_event_loop()
        self._change = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="sirend-ntcip", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread, which begins with clearing every preempt: an earlier run may have left one."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear every preempt and end; an agent that does not answer is left to its ``unitBackupTime``."""
        with self._lock:
            self._wanted = dict.fromkeys(self._wanted, False)
            self._is_closing = True
        self._wake()
        self._thread.join(_CLOSE_S)

    def act(self, call: Call) -> None:
        """Begin or end a call of an approach that has a preempt."""
        with self._lock:
            self._beaten_at = time.monotonic()
            if call.approach in self._wanted:
                self._wanted[call.approach] = call.is_active
        self._wake()

    def beat(self) -> None:
        """Hear that the listener lives."""
        with self._lock:
            self._beaten_at = time.monotonic()

    def report(self, approach: str) -> Report | None:
        """Return what the controller makes of the approach's preempt."""
        if approach not in self._numbers:
            return None
        with self._lock:
            wanted, problem = self._wanted[approach], self._problem
            states = [self._states.get(number) for number in self._numbers[approach]]
            asked = [self._asked.get(number) for number in self._numbers[approach]]
        if problem is not None:
            return Report(False, None, problem)
        if any(each != int(wanted) for each in asked) or None in states:
            return Report(None, None, None)
        good = SERVED if wanted else RESTING
        pending = wanted and PreemptState.NOT_ACTIVE_WITH_CALL in states
        confirmed = None if pending else all(state in good for state in states)
        return Report(confirmed, ", ".join(_word(state) for state in states if state is not None), None)

    def _wake(self) -> None:
        with suppress(RuntimeError):  # the thread has ended, and its loop with it
            self._loop.call_soon_threadsafe(self._change.set)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        try:
            while True:
                self._change.clear()
                closing = self._is_closing
                try:
                    await self._round()
                    self._say(None if self._is_safe else self._backup_problem())
                except SnmpError as error:
                    with self._lock:
                        self._states.clear()
                        self._asked.clear()
                    self._say(f"controller {self._config.host}:{self._config.port} {error}")
                except Exception:  # noqa: BLE001  the next round may work; meanwhile nothing is confirmed
                    if self._problem != BUG:  # once, not every second
                        _log.exception("controller %s:%d", self._config.host, self._config.port)
                    self._say(BUG)
                if closing:
                    return
                try:
                    await asyncio.wait_for(self._change.wait(), ROUND_S)
                except TimeoutError:
                    continue
        finally:
            self._agent.close()

    async def _round(self) -> None:
        """Set every preempt as it should be, then read back."""
        with self._lock:
            lives = time.monotonic() - self._beaten_at < BEAT_S
            wants = {
                number: int(self._wanted[approach] and lives and self._is_safe)
                for approach, numbers in self._numbers.items()
                for number in numbers
            }
        await self._agent.set({f"{PREEMPT_CONTROL_STATE}.{number}": value for number, value in wants.items()})
        oids = {f"{PREEMPT_STATE}.{number}": number for number in wants}
        asks_backup = self._config.backup_s is not None
        found = await self._agent.get([*oids, *([UNIT_BACKUP_TIME] if asks_backup else [])])
        with self._lock:
            self._asked = wants
            self._states = {number: found[oid] for oid, number in oids.items()}
        if self._config.backup_s is not None:
            was_safe, self._is_safe = self._is_safe, 1 <= found[UNIT_BACKUP_TIME] <= self._config.backup_s
            if self._is_safe and not was_safe:
                self._change.set()  # a call may have waited for it

    def _backup_problem(self) -> str:
        return (
            f"controller {self._config.host}:{self._config.port} is not called: its unitBackupTime must be 1 to "
            f"{self._config.backup_s} s, or a call would outlive us; set it, or listen.ntcip.backup_s"
        )

    def _say(self, problem: str | None) -> None:
        """Remember a problem, and log it when it is a new one."""
        with self._lock:
            before, self._problem = self._problem, problem
        if problem != before:
            if problem is None:
                _log.info("controller %s:%d answers", self._config.host, self._config.port)
            else:
                _log.warning("%s", problem)


def _word(state: int) -> str:
    """Return the standard's word for a ``preemptState``, such as ``trackService``."""
    try:
        head, *tail = PreemptState(state).name.split("_")
    except ValueError:
        return str(state)
    return head.lower() + "".join(word.capitalize() for word in tail)
