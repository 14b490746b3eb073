"""The limits of calls over restarts: a small file, replaced as a whole, on the disk before it counts.

A call is never made to wait for it: a thread of its own writes the latest state. What a crash or a power cut can lose
is what changed within the last write, as a rule milliseconds; while a call stands its presence is written every second.
"""

from __future__ import annotations

import json
import logging
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sirend.call.limits import CallLimits
from sirend.host.background_thread import Background
from sirend.host.boottime import boottime_s
from sirend.host.files import read_regular
from sirend.host.outfile import remove_unfinished, replace_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sirend.call.machine import State
    from sirend.call.watch import ApproachWatch
    from sirend.config.settings import Config

SCHEMA = "sirend/limits/1"
MOST_BYTES = 4_000_000
"""Far more than 64 approaches with 720 calls each take."""
SLOW_S = 2.0
"""A disk that takes longer is a problem of health."""
OPEN_S = 2.0
KERNEL = Path("/proc/sys/kernel/random/boot_id")

_log = logging.getLogger(__name__)


def limits_path(config: Config) -> Path:
    """Return the file of a site: in the service's state folder, else beside its journal, else in the user's own."""
    name = f"limits-{config.site}.json"
    for folder in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY"):
        if given := os.environ.get(folder, "").partition(":")[0]:
            return Path(given) / name
    if config.journal.path is not None:
        return config.journal.path.parent / name
    return Path(os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()) / "sirend" / name


class LimitsFile:
    """Keeps what limits the calls of a site inside its ``with`` block."""

    def __init__(self, path: Path, watches: Mapping[str, ApproachWatch]) -> None:
        """Keep the states of ``watches``, by approach, in ``path``."""
        self._path = path
        self._watches = watches
        self._seen: dict[str, tuple[object, ...]] = {}
        self._latest: dict[str, CallLimits] = {}
        self._background: Background[None] = Background("sirend-limits", self._write, most=1)
        self._problem: str | None = None

    @property
    def problem(self) -> str | None:
        """What keeps the limits from outlasting a restart, or None: a reason of health."""
        if self._background.late_s > SLOW_S:
            return f"the limits of calls would not outlast a restart: the disk of {self._path} does not answer"
        if self._background.bug is not None:
            return "the limits of calls would not outlast a restart, by a bug; the log has it"
        return self._problem

    def __enter__(self) -> Self:
        """Take up what the run before left, and find out whether the file can be written."""
        self._background.__enter__()
        with suppress(OSError):
            remove_unfinished(self._path.parent, re.compile(re.escape(self._path.name)))
        for name, limits in self._read().items():
            if name in self._watches:
                watch = self._watches[name]
                watch.state = limits.state(watch.rules)
        self.keep()
        self._background.settle(OPEN_S)
        return self

    def __exit__(self, *_: object) -> None:
        """Write the last state, within bounds."""
        self.keep()
        self._background.__exit__()

    def keep(self) -> None:
        """Have what changed written; return at once."""
        seen = {name: _mark(watch.state) for name, watch in self._watches.items()}
        if seen != self._seen:
            self._seen = seen
            self._latest = {name: CallLimits.of(watch.state) for name, watch in self._watches.items()}
            self._background.put(None)  # where one waits already, it will find the latest

    def _read(self) -> dict[str, CallLimits]:
        """Return what the file says, as of now; nothing where it is missing, broken or of another version."""
        try:
            return _decoded(json.loads(read_regular(self._path, MOST_BYTES)))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, ArithmeticError, RecursionError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or error
            _log.warning("%s: the limits of the run before are not known, they begin anew: %s", self._path, why)
            return {}

    def _write(self, _: None) -> None:
        """Replace the file, on the thread of its own."""
        content = {
            "schema": SCHEMA,
            "boot": _boot(),
            "uptime_s": round(boottime_s(), 3),
            "approaches": {name: limits.as_json() for name, limits in self._latest.items()},
        }
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, json.dumps(content).encode() + b"\n", mode=0o640, is_synced=True)
        except OSError as error:
            problem = f"the limits of calls would not outlast a restart: {self._path}: {error.strerror or error}"
            if problem != self._problem:
                _log.error("%s", problem)
            self._problem = problem
        else:
            self._problem = None


def _mark(state: State) -> tuple[object, ...]:
    """Return what tells whether the limits of an approach have changed."""
    return state.calls, state.spent, state.armed, state.is_leaving, state.call, state.refreshed


def _decoded(content: Any) -> dict[str, CallLimits]:  # noqa: ANN401  decoded JSON
    """Return the limits in the file's ``content`` as of now; raise ``ValueError`` where it is not of this version."""
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise ValueError(f"it is not of {SCHEMA}")
    approaches, uptime_s = content.get("approaches"), content.get("uptime_s")
    if not isinstance(approaches, dict) or isinstance(uptime_s, bool) or not isinstance(uptime_s, int | float):
        raise ValueError("approaches or uptime_s are missing")  # noqa: TRY004  whatever is wrong with it
    # The wall clock may be set meanwhile. After a reboot at least the time since then has passed.
    passed_s = boottime_s() - (uptime_s if content.get("boot") == _boot() else 0.0)
    return {name: CallLimits.read(limits, max(0.0, passed_s)) for name, limits in approaches.items()}


def _boot() -> str:
    """Return the kernel's name for the time since it was started; empty where there is none."""
    try:
        return KERNEL.read_text(encoding="ascii").strip()
    except OSError:
        return ""
