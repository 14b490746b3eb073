from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sirend.host.threads import ThreadWatcher

if TYPE_CHECKING:
    import pytest


def test_a_thread_that_ends_by_a_bug_is_named_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    before = threading.excepthook

    def end(error: BaseException) -> None:
        raise error

    with ThreadWatcher() as watcher:
        for name, error in (("sirend-clips", ZeroDivisionError()), ("sirend-web", SystemExit())):
            thread = threading.Thread(target=end, args=(error,), name=name)
            thread.start()
            thread.join()
    assert watcher.problems == ["sirend-clips ended by a bug, ZeroDivisionError; the log has it"]
    assert [(record.getMessage(), record.exc_info is not None) for record in caplog.records] == [
        ("sirend-clips ended by a bug", True)
    ]
    assert threading.excepthook is before
