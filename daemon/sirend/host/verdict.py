"""What became of a reload, for whoever asked for it: ``python -m sirend.host.verdict PID`` is the unit's ExecReload.

No version of systemd lets a service say that a reload failed (``Type=notify-reload`` knows its end only), so the daemon
leaves its verdict in its runtime directory, and the command that hangs it up waits for that and ends as it says.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from sirend.errors import ConfigError, DeviceError

PATIENCE_S = 30.0
"""How long a verdict may take: an input that is sought is looked at that often. Below the unit's TimeoutStartSec."""
_LOOK_S = 0.05


def verdict_file() -> Path | None:
    """Return the file of the verdict, in the folder that systemd made for the service; None without one."""
    folder = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(folder) / "reload" if folder else None


def write_verdict(problem: str | None) -> None:
    """Leave word that the configuration was taken up, or why not. Where that is impossible nobody waits for it long."""
    file = verdict_file()
    if file is None:
        return
    with suppress(OSError):
        part = file.with_name(f".{file.name}")
        part.write_text(f"{time.monotonic_ns()}\n{problem or ''}\n", encoding="utf-8")
        part.replace(file)


def reload(pid: int, patience_s: float = PATIENCE_S) -> None:
    """Hang up the daemon ``pid`` and wait until it has taken its configuration up.

    Raises ``ConfigError`` when it refused, ``DeviceError`` when it is not there or says nothing.
    """
    asked_ns = time.monotonic_ns()
    try:
        os.kill(pid, signal.SIGHUP)
    except OSError as error:
        raise DeviceError(f"process {pid} cannot be asked: {error.strerror}") from None
    file = verdict_file()
    while file is not None and time.monotonic_ns() - asked_ns < patience_s * 1e9:
        with suppress(OSError, ValueError):
            told_ns, _, problem = file.read_text(encoding="utf-8").partition("\n")
            if int(told_ns) >= asked_ns:
                if problem.strip():
                    raise ConfigError("not reloaded", [problem.strip()])
                return
        time.sleep(_LOOK_S)
    if file is not None:
        raise DeviceError(f"process {pid} did not say within {patience_s:g} s what became of the reload; see its log")


if __name__ == "__main__":
    try:
        reload(int(sys.argv[1]))
    except (ConfigError, DeviceError) as told:
        sys.stderr.write(f"sirend: error: {told}\n")
        sys.exit(told.exit_code)
