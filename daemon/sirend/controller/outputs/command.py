"""A command of the user's, run by ``/bin/sh`` at each change of a call."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from sirend.controller.outputs.keeper import Keeper, KeptOutput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sirend.client import Call

OVERTAKEN_S = 1.0
"""What runs for something that is not wanted any more may take so long, then it is killed."""
LOOK_S = 0.05
"""How often a running command is looked at."""


class Command(KeptOutput):
    """Runs one process at a time for each approach; of changes that wait, only an approach's last counts."""

    leaving_s = 10.0

    def __init__(self, command: str, timeout_s: float, approaches: Sequence[str]) -> None:
        """Run ``command`` for ``approaches``, and kill what takes longer than ``timeout_s``."""
        super().__init__(lambda _: None)
        self._command = command
        self._timeout_s = timeout_s
        self._keepers = {name: Keeper(f"command for {name}", self._run) for name in approaches}

    def __enter__(self) -> Self:
        """Start the threads."""
        for keeper in self._keepers.values():
            keeper.start()
        return self

    def _run(self, call: Call, is_wanted: Callable[[], bool]) -> str | None:
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
        by = time.monotonic() + self._timeout_s
        why = f"the command was killed after {self._timeout_s:g} s"
        while True:
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(LOOK_S)
                if code == 0:
                    return None
                _kill_all_of(process)  # it is run again: what it started must not pile up, nor act against the next
                return f"the command ended with exit code {code}"
            now = time.monotonic()
            if not is_wanted() and now + OVERTAKEN_S < by:
                by, why = now + OVERTAKEN_S, "the command was killed because something newer came"
            if now >= by:
                _kill_all_of(process)
                process.wait()
                return why


def _kill_all_of(process: subprocess.Popen[bytes]) -> None:
    """Kill a command with all that it started, but for what made itself a session of its own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
