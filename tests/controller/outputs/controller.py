"""A signal controller as a ``pass_persist`` program of net-snmp: started by snmpd, which asks it over its pipes.

Usage: controller.py FILE BACKUP_S. It has preempts 1 to 4 of NTCIP 1202, of which number 4 has never time for anybody,
and a ``unitBackupTime``. ``FILE`` gets a line ``seconds number value`` for each change of a ``preemptControlState``.
While there is a file ``FILE.N``, preempt N cannot be set.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

ASC = ".1.3.6.1.4.1.1206.4.2.1"
BACKUP, STATE, CONTROL = f"{ASC}.3.3.0", f"{ASC}.6.2.1.16.", f"{ASC}.6.3.1.2."
NOT_ACTIVE, WITH_CALL, DWELL, ENTRY_S = 2, 3, 6, 0.3
BUSY = 4


class Controller:
    """Preempts that begin to be served ``ENTRY_S`` after they were called."""

    def __init__(self, record: Path, backup_s: int) -> None:
        self._record = record
        self._backup_s = backup_s
        self._called_at: dict[int, float | None] = dict.fromkeys(range(1, 5))
        self._set_at = time.monotonic()

    def _note(self, number: int, value: int) -> None:
        with self._record.open("a") as file:
            file.write(f"{time.monotonic():.3f} {number} {value}\n")

    def set(self, oid: str, value: int) -> str:
        number = self._row(oid, CONTROL)
        if number is None or Path(f"{self._record}.{number}").exists():
            return "not-writable"
        self._set_at = time.monotonic()
        if bool(value) != (self._called_at[number] is not None):
            self._note(number, value)
        self._called_at[number] = (self._called_at[number] or time.monotonic()) if value else None
        return "DONE"

    def get(self, oid: str) -> int | None:
        now = time.monotonic()
        if oid == BACKUP:
            return self._backup_s
        for head in (STATE, CONTROL):
            row = self._row(oid, head)
            if row is not None:
                since = self._called_at[row]
                if head == CONTROL:
                    return int(since is not None)
                if since is None:
                    return NOT_ACTIVE
                return DWELL if now - since > ENTRY_S and row != BUSY else WITH_CALL
        return None

    def back_up(self) -> None:
        """Drop every call when nobody set anything for the backup time."""
        if self._backup_s and time.monotonic() - self._set_at > self._backup_s:
            for number, since in self._called_at.items():
                if since is not None:
                    self._called_at[number] = None
                    self._note(number, 0)

    def _row(self, oid: str, head: str) -> int | None:
        tail = oid.removeprefix(head)
        return int(tail) if tail != oid and tail.isdecimal() and int(tail) in self._called_at else None


def main() -> None:
    """Speak snmpd's protocol of lines until it hangs up."""
    controller = Controller(Path(sys.argv[1]), int(sys.argv[2]))

    lock = threading.Lock()

    def watch() -> None:
        while True:
            time.sleep(0.05)
            with lock:
                controller.back_up()

    threading.Thread(target=watch, daemon=True).start()

    def hear() -> str:
        return sys.stdin.readline().strip()

    for line in iter(sys.stdin.readline, ""):
        verb = line.strip()
        if not verb:  # snmpd ends a set with an empty line
            continue
        if verb == "PING":
            answer = "PONG"
        elif verb == "get":
            oid = hear()
            with lock:
                value = controller.get(oid)
            answer = "NONE" if value is None else f"{oid}\ninteger\n{value}"
        elif verb == "getnext":
            hear()
            answer = "NONE"
        elif verb == "set":
            oid, value_text = hear(), hear()
            with lock:
                answer = controller.set(oid, int(value_text.split()[-1]))
        else:
            return
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
