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
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Self

from sirend.controller.outputs import BEAT_S, Report
from sirend.controller.outputs.snmp import Agent, SnmpError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType

    from sirend.client import Call
    from sirend.config.listen_settings import NtcipConfig

_log = logging.getLogger(__name__)

ASC = "1.3.6.1.4.1.1206.4.2.1"
UNIT_BACKUP_TIME = f"{ASC}.3.3.0"
PREEMPT_STATE = f"{ASC}.6.2.1.16"
PREEMPT_CONTROL_STATE = f"{ASC}.6.3.1.2"
ROUND_S = 1.0
"""Time between two rounds: each sets every preempt again, for that is what keeps the controller from backup mode."""
BUG = "the controller is not served because of a bug; the log has its traceback"
LEAVING_S = 0.3
"""The same when all is left."""
UNKNOWN_BACKUP_S = 60.0
"""How long a controller whose backup time is not asked for is told to end a call, when the listener ends."""
RENEW = 4
"""Of so many rounds without an answer, one knows nothing of the agent and begins anew; in a call, every one does."""


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


@dataclass(slots=True)
class _Leg:
    """An approach with the preempts that serve it. Each speaks to the controller for itself."""

    approach: str
    numbers: list[int]
    agent: Agent
    wanted: bool = False
    asked: int | None = None
    """What the preempts were set to, and the controller confirmed; None when it does not answer."""
    states: list[int] = field(default_factory=list)
    problem: str | None = "not asked yet"
    failures: int = 0
    may_stand: bool = False
    """Whether a preempt was called, and its end is not confirmed."""


class Ntcip:
    """Keeps the preempts of one controller as the calls are, from a thread of its own."""

    def __init__(self, config: NtcipConfig) -> None:
        """Prepare to call the controller of ``config``; raise ``ConfigError`` when a secret or pysnmp is missing."""
        self._config = config
        self._place = f"controller {config.host}:{config.port}"
        self._legs = {
            name: _Leg(name, [each.number for each in config.preempts if each.approach == name], Agent(config))
            for name in dict.fromkeys(each.approach for each in config.preempts)
        }
        self._clock = Agent(config)
        self._lock = threading.Lock()
        self._beaten_at = time.monotonic()
        self._backup_s: int | None = None
        self._is_safe = config.backup_s is None
        self._problem = None if config.backup_s is None else "not asked yet"
        self._left_at: float | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changes = {name: asyncio.Event() for name in [*self._legs, ""]}
        self._thread = threading.Thread(target=self._run, name="sirend-ntcip", daemon=True)

    @property
    def leave_s(self) -> float:
        """How long ``__exit__`` may take at most, s."""
        return self._longest_s() + 2.0 * self._clock.patience_s + ROUND_S

    def __enter__(self) -> Self:
        """Start the thread, which begins with clearing every preempt: an earlier run may have left one."""
        self._loop = asyncio.new_event_loop()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear every preempt and end: it is tried until the controller confirms, or has done so by its backup time."""
        self.clear()
        self._thread.join(self.leave_s)
        standing = [leg.approach for leg in self._legs.values() if leg.may_stand]
        if standing:
            _log.warning("%s did not confirm the end of the call of %s", self._place, ", ".join(standing))

    def act(self, call: Call) -> None:
        """Begin or end a call of an approach that has a preempt."""
        with self._lock:
            self._beaten_at = time.monotonic()
            if call.approach not in self._legs:
                return
            self._legs[call.approach].wanted = call.is_active
        self._wake(call.approach)

    def beat(self) -> None:
        """Hear that the listener lives."""
        with self._lock:
            self._beaten_at = time.monotonic()

    def clear(self) -> None:
        """Begin to leave."""
        with self._lock:
            self._left_at = self._left_at or time.monotonic()
        for name in self._changes:
            self._wake(name)

    def report(self, approach: str) -> Report | None:
        """Return what the controller makes of the approach's preempt."""
        if approach not in self._legs:
            return None
        leg = self._legs[approach]
        with self._lock:
            wanted, asked, states = leg.wanted, leg.asked, tuple(leg.states)
            problem = leg.problem or self._problem
        if problem is not None:
            return Report(False, None, problem)
        if asked != int(wanted) or not states:
            return Report(None, None, None)
        good = SERVED if wanted else RESTING
        pending = wanted and PreemptState.NOT_ACTIVE_WITH_CALL in states
        confirmed = None if pending else all(state in good for state in states)
        return Report(confirmed, ", ".join(map(_word, states)), None)

    def _longest_s(self) -> float:
        """Return after how long the controller ends a call by itself, s."""
        known = self._backup_s or self._config.backup_s
        return UNKNOWN_BACKUP_S if known is None else float(known)

    def _wake(self, name: str) -> None:
        if self._loop is None:
            return
        with suppress(RuntimeError):  # the thread has ended, and its loop with it
            self._loop.call_soon_threadsafe(self._changes[name].set)

    def _run(self) -> None:
        loop = self._loop
        if loop is not None:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(self._serve())

    async def _serve(self) -> None:
        await asyncio.gather(self._watch_backup(), *map(self._keep, self._legs.values()))

    async def _keep(self, leg: _Leg) -> None:
        """Set the preempts of an approach again and again, until all is left and cleared."""
        change = self._changes[leg.approach]
        try:
            while True:
                change.clear()
                left_at = self._left_at
                problem = await self._attempt(leg.agent, self._round(leg))
                with self._lock:
                    leg.failures = 0 if problem is None else leg.failures + 1
                    if problem is not None:
                        leg.asked, leg.states = None, []
                if problem is not None and (leg.may_stand or leg.wanted or leg.failures % RENEW == 1):
                    leg.agent.close()
                self._say(leg, problem)
                if left_at is not None and (not leg.may_stand or time.monotonic() - left_at > self._longest_s()):
                    return
                with suppress(TimeoutError):
                    await asyncio.wait_for(change.wait(), ROUND_S if left_at is None else LEAVING_S)
        finally:
            leg.agent.close()

    async def _attempt(self, agent: Agent, asking: Coroutine[None, None, None]) -> str | None:
        """Await ``asking``; return what is wrong with the controller, if anything is."""
        try:
            # pysnmp keeps its own time; should it not, a question must not hold up all that come after it.
            await asyncio.wait_for(asking, 2.0 * agent.patience_s + 2.0)
        except SnmpError as error:
            return f"{self._place} {error}"
        except TimeoutError:
            return f"{self._place} does not answer"
        except Exception:  # noqa: BLE001  the next round may work; meanwhile nothing is confirmed
            _log.exception("%s", self._place)
            return BUG
        return None

    async def _round(self, leg: _Leg) -> None:
        """Set the preempts of an approach as they should be, then read back."""
        with self._lock:
            lives = time.monotonic() - self._beaten_at < BEAT_S and self._left_at is None
            value = int(leg.wanted and lives and self._is_safe)
            leg.may_stand = leg.may_stand or bool(value)
        await leg.agent.set({f"{PREEMPT_CONTROL_STATE}.{number}": value for number in leg.numbers})
        with self._lock:
            leg.may_stand = bool(value)
        oids = [f"{PREEMPT_STATE}.{number}" for number in leg.numbers]
        found = await leg.agent.get(oids)
        with self._lock:
            leg.asked, leg.states = value, [found[oid] for oid in oids]

    async def _watch_backup(self) -> None:
        """Read the controller's backup time again and again, where it matters, until all is left."""
        if self._config.backup_s is None:
            return
        change = self._changes[""]
        failures = 0
        try:
            while self._left_at is None:
                change.clear()
                problem = await self._attempt(self._clock, self._read_backup(self._config.backup_s))
                failures = 0 if problem is None else failures + 1
                if failures % RENEW == 1:
                    self._clock.close()
                with self._lock:
                    self._problem = None if self._is_safe else problem or self._backup_problem()
                with suppress(TimeoutError):
                    await asyncio.wait_for(change.wait(), ROUND_S)
        finally:
            self._clock.close()

    async def _read_backup(self, most_s: int) -> None:
        found = await self._clock.get([UNIT_BACKUP_TIME])
        was_safe = self._is_safe
        self._backup_s = found[UNIT_BACKUP_TIME]
        self._is_safe = 1 <= self._backup_s <= most_s
        if self._is_safe is not was_safe:  # a call may have waited for it, or must not stand
            if not self._is_safe:
                _log.warning("%s", self._backup_problem())
            for leg in self._legs.values():
                self._changes[leg.approach].set()

    def _backup_problem(self) -> str:
        return (
            f"{self._place} is not called: its unitBackupTime must be 1 to "
            f"{self._config.backup_s} s, or a call would outlive us; set it, or listen.ntcip.backup_s"
        )

    def _say(self, leg: _Leg, problem: str | None) -> None:
        """Remember a problem, and log it when it is a new one."""
        with self._lock:
            before, leg.problem = leg.problem, problem
        if problem != before:
            if problem is None:
                _log.info("%s answers for %s", self._place, leg.approach)
            else:
                _log.warning("%s: %s", leg.approach, problem)


def _word(state: int) -> str:
    """Return the standard's word for a ``preemptState``, such as ``trackService``."""
    try:
        head, *tail = PreemptState(state).name.split("_")
    except ValueError:
        return str(state)
    return head.lower() + "".join(word.capitalize() for word in tail)
