"""A command of the user's, run by ``/bin/sh`` at each change of a call."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from sirend.controller.outputs import Report

if TYPE_CHECKING:
    from types import TracebackType

    from sirend.call.state import CallState
    from sirend.client import Call

_log = logging.getLogger(__name__)

_CLOSE_S = 3.0


class Command:
    """Runs one process at a time on a thread of its own; of changes that wait, only an approach's last counts."""

    def __init__(self, command: str, timeout_s: float) -> None:
        """Run ``command``, and kill what takes longer than ``timeout_s``."""
        self._command = command
        self._timeout_s = timeout_s
        self._condition = threading.Condition()
        self._waiting: dict[str, Call] = {}
        self._done: dict[str, CallState] = {}
        self._problems: dict[str, str] = {}
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="sirend-command", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Run what waits and end; what takes longer than some seconds is left to itself."""
        with self._condition:
            self._is_closing = True
            self._condition.notify()
        self._thread.join(_CLOSE_S)

    def act(self, call: Call) -> None:
        """Run the command soon."""
        with self._condition:
            self._waiting[call.approach] = call
            self._condition.notify()

    def beat(self) -> None:
        """Nothing here lasts."""

    def report(self, approach: str) -> Report | None:
        """Return whether the last run succeeded."""
        with self._condition:
            is_done = approach in self._done and approach not in self._waiting
            problem = self._problems.get(approach)
            return Report(None if not is_done else problem is None, None, problem)

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._waiting and not self._is_closing:
                    self._condition.wait()
                if not self._waiting:
                    return
                approach = next(iter(self._waiting))
                call = self._waiting.pop(approach)
            problem = self._call(call)
            with self._condition:
                self._done[approach] = call.state
                if problem is None:
                    self._problems.pop(approach, None)
                else:
                    self._problems[approach] = problem
            if problem is not None:
                _log.warning("%s %s: %s", approach, call.state, problem)

    def _call(self, call: Call) -> str | None:
        """Run the command for ``call``; return what went wrong, if anything did."""
        told = {"SITE": call.site, "APPROACH": call.approach, "STATE": str(call.state), "REASON": call.reason}
        variables = {**os.environ, **{f"SIREND_{name}": value for name, value in told.items()}}
        try:
            process = subprocess.Popen(  # noqa: S603  the command is the user's own, its values the contract's
                ["/bin/sh", "-c", self._command],
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            return f"the command cannot be run: {error.strerror}"
        try:
            code = process.wait(self._timeout_s)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):  # with all that it started
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"the command was killed after {self._timeout_s:g} s"
        return None if code == 0 else f"the command ended with exit code {code}"
