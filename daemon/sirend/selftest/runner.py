"""The self-test of a running daemon, asked for on the page: on a thread and in a process of their own.

Nothing of it touches the pipeline that listens. Its result is published on the topic of self-tests alone.
"""

from __future__ import annotations

import json
import logging
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from sirend.host.priority import recede
from sirend.selftest.result import SelfTestResult

if TYPE_CHECKING:
    from sirend.config.settings import Config
    from sirend.host.subprocess import Helper
    from sirend.observe.snapshot import View

EVERY_S = 60.0
"""From the end of one self-test to the beginning of the next, at least: each takes a core for seconds."""
CLOSE_S = 2.0

_log = logging.getLogger(__name__)


class SelfTestRunner:
    """Runs a self-test when asked, inside its ``with`` block."""

    def __init__(self, config: Config, view: View, helper: Helper) -> None:
        """Prepare to test what ``config`` describes, and to leave the result in ``view``."""
        self._config = config
        self._view = view
        self._helper = helper
        self._asking = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended_at: float | None = None
        self.status: dict[str, Any] = {"running": False, "result": None}
        """Whether one runs now, and the result of the latest, JSON values; replaced, never changed."""

    def __enter__(self) -> Self:
        """Begin to take requests."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give up what runs."""
        self._helper.close()
        if self._thread is not None:
            self._thread.join(CLOSE_S)

    def ask(self) -> str | None:
        """Begin a self-test and return None, or return in words why there is none now. Any thread."""
        with self._asking:
            if self.status["running"]:
                return "A self-test is running already."
            wait_s = 0.0 if self._ended_at is None else self._ended_at + EVERY_S - time.monotonic()
            if wait_s > 0.0:
                return f"The last self-test was a moment ago. Wait {wait_s:.0f} s."
            self.status = {**self.status, "running": True}
            self._thread = threading.Thread(target=self._run, name="sirend-selftest", daemon=True)
            self._thread.start()
            return None

    def _run(self) -> None:
        """Test, and tell what became of it, whatever that is."""
        recede()
        try:
            payload = json.loads(self._helper.run("sirend.selftest.run", self._config))
            _log.info("self-test: %s", "passed" if payload["passed"] else payload["problem"])
        except Exception as error:  # noqa: BLE001  a bug here must not leave it running for ever
            is_bug = not isinstance(error, OSError | subprocess.SubprocessError | ValueError)
            _log.error("the self-test could not be run: %s", error, exc_info=error if is_bug else None)
            setup = self._view.setup
            payload = SelfTestResult("the self-test could not be run; the log says why").payload(
                setup.site, setup.model
            )
        self._view.selftest = payload
        self._ended_at = time.monotonic()
        self.status = {"running": False, "result": payload}
