"""A process of its own for what takes seconds and 100 MB: pictures and self-tests."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading

RUN_S = 180.0
"""How long a process may take, and how long one waits for its turn."""


class Helper:
    """Runs one process at a time: the service's ``MemoryHigh`` has room for one beside the daemon."""

    def __init__(self) -> None:
        """Start with none."""
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_closed = False

    def run(self, module: str, given: object) -> bytes:
        """Return what ``python -m module`` prints; it finds ``given`` pickled on its standard input.

        Raises ``subprocess.SubprocessError`` when that fails, takes too long or is given up by ``close``.
        """
        words = [sys.executable, "-m", module]
        if not self._turn.acquire(timeout=RUN_S):
            raise subprocess.TimeoutExpired(words, RUN_S)
        try:
            with subprocess.Popen(  # noqa: S603
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            ) as self._process:
                try:
                    if self._is_closed:
                        self._process.kill()
                    printed, _ = self._process.communicate(pickle.dumps(given), RUN_S)
                except BaseException:
                    self._process.kill()
                    raise
            if self._process.returncode:
                raise subprocess.CalledProcessError(self._process.returncode, words)
            return printed
        finally:
            self._process = None
            self._turn.release()

    def close(self) -> None:
        """Give up what runs, from any thread."""
        self._is_closed = True
        if (process := self._process) is not None:
            process.kill()
