"""What the daemon tells systemd, over the datagram socket of sd_notify(3). Elsewhere it tells nobody."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

KIND = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK


class Notifier:
    """Sends readiness, signs of life and a line of status to the service manager, if there is one."""

    def __init__(self, address: str | None = None) -> None:
        """Send to ``address``, by default to what systemd put in ``NOTIFY_SOCKET``."""
        address = os.environ.get("NOTIFY_SOCKET", "") if address is None else address
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def send(self, *assignments: str) -> None:
        """Send ``assignments`` such as ``READY=1``. A manager that does not listen is no reason to fail or to wait."""
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, KIND) as sender:
            sender.sendto("\n".join(assignments).encode(), self._address)
