"""One approach at one output: a thread that does what is called there, and does again what failed."""

from __future__ import annotations

import logging
import math
import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from sirend.call.state import CallState
from sirend.controller.outputs import BEAT_S, HANGS, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import TracebackType

    from sirend.client import Call

    Do = Callable[[Call, Callable[[], bool]], str | None]

FIRST_S, LONGEST_S = 0.25, 8.0
"""What failed is tried again after the first, then after twice as long each time, up to the longest."""
GIVE_UP_S = 2.0
"""How long before the end of all patience the last attempt is broken off."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Errand:
    """What is to be done at an approach, and how far that is. Pure; times are monotonic, s."""

    wanted: Call | None = None
    """What was called last; None: nothing yet."""
    beaten_at: float = 0.0
    """When the listener last showed that it lives."""
    is_leaving: bool = False
    done: Call | None = None
    """What was done last, and worked."""
    tried: Call | None = None
    """What was tried last, and failed."""
    failures: int = 0
    due_at: float = 0.0
    """When ``tried`` is tried again."""
    problem: str | None = None
    """Why it failed."""
    again_s: float = math.inf
    """What was done is done again so often, s: nobody tells when it does not hold any more."""
    done_at: float = 0.0

    def goal(self, now: float) -> Call | None:
        """Return what has to be the case: what is called, or clear when the listener hangs or everything is left."""
        if self.wanted is None or not self.wanted.is_active:
            return self.wanted
        if self.is_leaving:
            return replace(self.wanted, state=CallState.CLEAR, reason="shutdown")
        if self.hangs(now):
            return replace(self.wanted, state=CallState.CLEAR, reason="hung")
        return self.wanted

    def hangs(self, now: float) -> bool:
        """Return whether the listener does."""
        return now - self.beaten_at >= BEAT_S

    def wait_s(self, now: float) -> float | None:
        """Return how long there is nothing to do, s; 0 when there is, None when only news bring something."""
        least_s = self._due_in_s(now)
        if self.wanted is not None and self.wanted.is_active and not self.is_leaving and not self.hangs(now):
            least_s = min(least_s, self.beaten_at + BEAT_S - now)
        return None if math.isinf(least_s) else max(0.0, least_s)

    def is_due(self, now: float) -> bool:
        """Return whether the goal has to be done now."""
        return self._due_in_s(now) <= 0.0

    def _due_in_s(self, now: float) -> float:
        """Return in how long the goal has to be done, s; infinite where there is none, or it holds."""
        goal = self.goal(now)
        if goal is None:
            return math.inf
        if goal == self.done:
            return self.done_at + self.again_s - now
        return self.due_at - now if goal == self.tried else 0.0

    def after(self, call: Call, problem: str | None, now: float) -> Errand:
        """Return the task after ``call`` was tried: it worked, or there was a ``problem``."""
        if problem is None:
            return replace(self, done=call, done_at=now, tried=None, failures=0, problem=None)
        failures = self.failures + 1 if call == self.tried else 1
        delay_s = min(LONGEST_S, FIRST_S * 2.0 ** (failures - 1))
        # What failed may have happened in part, so nothing counts as done.
        return replace(self, done=None, tried=call, failures=failures, due_at=now + delay_s, problem=problem)


def leave(keepers: Collection[Keeper], within_s: float) -> None:
    """Clear the approaches of ``keepers``, all at the same time, and wait until they have ended, within bounds."""
    for keeper in keepers:
        keeper.clear()
    now = time.monotonic()
    late = [keeper for keeper in keepers if not keeper.join(now + within_s - GIVE_UP_S)]
    for keeper in late:
        keeper.give_up()
    for keeper in late:
        keeper.join(now + within_s)


class Keeper:
    """Does the task of one approach, on a thread of its own. Its other methods return at once."""

    def __init__(
        self, name: str, do: Do, finish: Callable[[], object] | None = None, *, again_s: float = math.inf
    ) -> None:
        """Call ``do`` with what is to be done and a function that tells whether it is still wanted.

        It returns what went wrong, or None; what it raises is a problem too. What worked is done again every
        ``again_s``. ``finish`` is called at the end, on the same thread. ``name`` is for the log.
        """
        self._name = name
        self._do = do
        self._finish = finish
        self._task = Errand(beaten_at=time.monotonic(), again_s=again_s)
        self._condition = threading.Condition()
        self._is_given_up = False
        self._thread = threading.Thread(target=self._run, name=f"sirend-{name}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def act(self, call: Call) -> None:
        """Do ``call`` from now on."""
        with self._condition:
            self._task = replace(self._task, wanted=call, beaten_at=time.monotonic())
            self._condition.notify()

    def beat(self) -> None:
        """Hear that the listener lives."""
        now = time.monotonic()
        with self._condition:
            hung = self._task.hangs(now)
            self._task = replace(self._task, beaten_at=now)
            if hung:
                self._condition.notify()

    def clear(self) -> None:
        """Clear the approach and end then."""
        with self._condition:
            self._task = replace(self._task, is_leaving=True)
            self._condition.notify()

    def join(self, by: float) -> bool:
        """Wait until it has ended, at most until monotonic ``by``, s; return whether it has."""
        self._thread.join(max(0.0, by - time.monotonic()))
        return not self._thread.is_alive()

    def give_up(self) -> None:
        """End without having cleared the approach."""
        with self._condition:
            self._is_given_up = True
            self._condition.notify()
        _log.warning("%s: it is left without being cleared: %s", self._name, self._task.problem or "it hangs")

    def report(self, detail: Callable[[Call], str | None]) -> Report:
        """Return how things are; ``detail`` tells of what was done last."""
        with self._condition:
            task = self._task
        now = time.monotonic()
        told = None if task.done is None else detail(task.done)
        if task.wanted is not None and task.wanted.is_active and task.hangs(now):
            return Report(False, told, HANGS)
        if task.problem is not None:
            return Report(False, told, task.problem)
        return Report(True if task.done is not None and task.done == task.goal(now) else None, told, None)

    def _run(self) -> None:
        try:
            while (call := self._next()) is not None:
                try:
                    problem = self._do(call, partial(self._is_wanted, call))
                except Exception as error:  # noqa: BLE001  gpiozero's pin factories raise what they like
                    problem = str(error) or type(error).__name__
                with self._condition:
                    before, self._task = self._task, self._task.after(call, problem, time.monotonic())
                if problem is not None and problem != before.problem:
                    _log.warning("%s %s: %s; trying again", self._name, call.state, problem)
        finally:
            if self._finish is not None:
                self._finish()

    def _next(self) -> Call | None:
        """Wait for something to do and return it; None when all is done and left."""
        with self._condition:
            while not self._is_given_up:
                now = time.monotonic()
                goal, wait_s = self._task.goal(now), self._task.wait_s(now)
                if self._task.is_leaving and (goal is None or goal == self._task.done):
                    return None
                if self._task.is_due(now):
                    return goal
                self._condition.wait(wait_s)
            return None

    def _is_wanted(self, call: Call) -> bool:
        with self._condition:
            return not self._is_given_up and self._task.goal(time.monotonic()) == call


class KeptOutput:
    """An output of which each approach has a keeper: what all such outputs do alike."""

    leaving_s: float
    """How long ``__exit__`` may take at most, s."""

    def __init__(self, said: Callable[[Call], str | None]) -> None:
        """Begin without keepers; ``said`` tells in a word what a call comes to at the output."""
        self._keepers: dict[str, Keeper] = {}
        self._said = said

    @property
    def leave_s(self) -> float:
        """How long ``__exit__`` may take at most, s."""
        return self.leaving_s

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear every approach, and wait for it within ``leave_s``."""
        leave(self._keepers.values(), self.leave_s)

    def act(self, call: Call) -> None:
        """Do what is called, soon."""
        if call.approach in self._keepers:
            self._keepers[call.approach].act(call)

    def beat(self) -> None:
        """Hear that the listener lives."""
        for keeper in self._keepers.values():
            keeper.beat()

    def clear(self) -> None:
        """Begin to leave."""
        for keeper in self._keepers.values():
            keeper.clear()

    def report(self, approach: str) -> Report | None:
        """Return what became of the last call of an approach; None where the output does nothing for it."""
        keeper = self._keepers.get(approach)
        return None if keeper is None else keeper.report(self._said)
