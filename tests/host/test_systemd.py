from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

from sirend.host.systemd import Notifier

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kind", ["file", "abstract"])
def test_assignments_arrive_as_one_datagram(tmp_path: Path, kind: str) -> None:
    address = str(tmp_path / "notify") if kind == "file" else f"@sirend-test-{tmp_path}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address if kind == "file" else "\0" + address[1:])
        manager.settimeout(60.0)
        Notifier(address).send("READY=1", "STATUS=listening")
        assert manager.recv(1_024) == b"READY=1\nSTATUS=listening"


def test_the_address_comes_from_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60.0)
        Notifier().send("WATCHDOG=1")
        assert manager.recv(1_024) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", ["", "/nowhere/at/all"])
def test_nobody_who_listens_is_no_error(address: str) -> None:
    Notifier(address).send("READY=1")


def test_a_manager_that_does_not_listen_is_not_waited_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        notifier = Notifier(str(tmp_path / "notify"))
        began = time.monotonic()
        for _ in range(2_000):  # far more than the kernel keeps
            notifier.send("WATCHDOG=1", "STATUS=" + "listening " * 100)
        assert time.monotonic() - began < 20.0
        assert manager.recv(4_096).startswith(b"WATCHDOG=1")
