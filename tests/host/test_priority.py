from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from sirend.host.priority import LOWER, recede

if TYPE_CHECKING:
    import pytest

UNIT = Path(__file__).parents[2] / "systemd" / "sirend.service"


def priority_after_receding() -> int:
    found = []

    def look() -> None:
        recede()
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return found[0]


def test_the_calling_thread_alone_comes_after_the_others() -> None:
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert priority_after_receding() == max(LOWER, before)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_what_comes_later_still_does_not_rise(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that ``nice`` started, if it may raise itself."""
    asked: list[int] = []
    monkeypatch.setattr(os, "getpriority", lambda *_: 15)
    monkeypatch.setattr(os, "setpriority", lambda *words: asked.append(words[-1]))
    recede()
    assert asked == [15]


def test_where_the_system_forbids_it_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a unit that filters the system calls of @resources does."""

    def forbid(*_: object) -> None:
        raise PermissionError

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    monkeypatch.setattr(os, "setpriority", forbid)
    assert priority_after_receding() == before


def test_the_unit_allows_it_after_it_forbids_the_rest() -> None:
    filters = [line for line in UNIT.read_text(encoding="utf-8").splitlines() if line.startswith("SystemCallFilter=")]
    assert filters[-2:] == ["SystemCallFilter=~@privileged @resources", "SystemCallFilter=setpriority"]
