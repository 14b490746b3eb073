"""The last 24 hours at a glance: one summary a minute of each approach, in memory and, with a file, over a restart.

It holds levels and evidence, no sound. Lives on the thread of whoever follows the view.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sirend.host.files import read_regular
from sirend.observe.moment import FLOOR_PERCENTILE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from sirend.observe.snapshot import Moment

MINUTES = 24 * 60
MINUTE_S = 60
WRITTEN_EVERY = 10
"""Minutes that one write to the disk holds: a memory card wears with every write."""
STATES = ("ok", "degraded", "failed")
_ABSURD = 1e6

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Minute:
    """What a minute was like."""

    at_s: int
    """Unix time of its beginning, s."""
    state: int
    """Worst health in it: index of ``STATES``."""
    level_dbfs: tuple[float, ...]
    """Median level of each approach, in their configured order."""
    floor_dbfs: tuple[float, ...]
    """What nine windows in ten of the minute exceed, of each approach."""
    evidence: tuple[float, ...]
    """Most evidence of a siren, 0..1, of each approach."""

    def values(self) -> list[Any]:
        """Return it as JSON values, in the order of the fields."""
        return [self.at_s, self.state, list(self.level_dbfs), list(self.floor_dbfs), list(self.evidence)]


class Day:
    """Keeps the minutes of the last 24 hours."""

    def __init__(self, names: Sequence[str], file: Path | None = None) -> None:
        """Keep minutes of the approaches ``names``, over a restart in ``file``.

        What the file holds of other approaches is of another junction, and is forgotten.
        """
        self._names = list(names)
        self._file = file
        self._minutes: deque[Minute] = deque(maxlen=MINUTES)
        self._unwritten = 0
        self._begun_s: int | None = None
        self._state = 0
        self._levels: list[list[float]] = []
        self._evidence: list[float] = []
        self._could_write = True
        if file is not None:
            self._minutes.extend(_read(file, self._names))

    def load(self, lines: Iterable[list[Any]]) -> None:
        """Take minutes that were written down before, oldest first; what is none is left out."""
        made = [minute for values in lines if (minute := _minute(values, len(self._names))) is not None]
        self._minutes.extend(made)
        self._unwritten += len(made)

    def take(self, moment: Moment, state: str, now_s: float) -> Minute | None:
        """Take a moment heard at ``now_s`` (Unix time) in a state of health; return the minute that it ended."""
        begun_s = int(now_s) // MINUTE_S * MINUTE_S
        done = None
        if begun_s != self._begun_s:
            done = self._close()
            self._begun_s, self._state = begun_s, 0
            self._levels = [[] for _ in self._names]
            self._evidence = [0.0 for _ in self._names]
        self._state = max(self._state, STATES.index(state) if state in STATES else 0)
        for row, heard in enumerate(moment.heard):
            self._levels[row].append(heard.level_dbfs)
            self._evidence[row] = max(self._evidence[row], heard.evidence)
        return done

    def _close(self) -> Minute | None:
        """Keep the minute that ended."""
        if self._begun_s is None or not all(self._levels):
            return None
        minute = Minute(
            self._begun_s,
            self._state,
            tuple(round(float(np.median(levels)), 1) for levels in self._levels),
            tuple(round(float(np.percentile(levels, FLOOR_PERCENTILE)), 1) for levels in self._levels),
            tuple(round(evidence, 2) for evidence in self._evidence),
        )
        while self._minutes and self._minutes[-1].at_s >= minute.at_s:  # the clock was set back
            self._minutes.pop()
        self._minutes.append(minute)
        self._unwritten += 1
        if self._unwritten >= WRITTEN_EVERY:
            self.write()
        return minute

    def recent(self, now_s: float) -> list[list[Any]]:
        """Return the minutes of the 24 hours before ``now_s``, oldest first, as JSON values."""
        return [minute.values() for minute in self._minutes if 0 <= now_s - minute.at_s <= (MINUTES + 1) * MINUTE_S]

    def write(self) -> None:
        """Put what is new on the disk. A disk that fails costs the past after the next restart, nothing else."""
        if self._file is None or not self._unwritten:
            return
        self._unwritten = 0
        part = self._file.with_name(self._file.name + ".part")
        lines = [json.dumps({"approaches": self._names}), *(json.dumps(minute.values()) for minute in self._minutes)]
        try:
            part.write_text("\n".join(lines) + "\n", encoding="ascii")
            part.replace(self._file)
        except OSError as error:
            if self._could_write:
                _log.warning("%s: the day at a glance cannot be kept: %s", self._file, error.strerror or error)
            self._could_write = False
        else:
            self._could_write = True


def _read(file: Path, names: Sequence[str]) -> list[Minute]:
    """Return what ``file`` holds of the approaches ``names``; nothing where it is missing or not ours."""
    try:
        head, *lines = read_regular(file).splitlines()
        if json.loads(head) != {"approaches": list(names)}:
            return []
        return [minute for line in lines[-MINUTES:] if (minute := _minute(json.loads(line), len(names))) is not None]
    except (OSError, ValueError, RecursionError):
        return []


def _minute(values: Any, approaches: int) -> Minute | None:  # noqa: ANN401  decoded JSON
    """Return a minute of JSON values, or None when they are none."""
    match values:
        case [int(at_s), int(state), list(level), list(floor), list(evidence)] if 0 <= state < len(STATES):
            several = (level, floor, evidence)
            if all(len(each) == approaches and all(map(_is_number, each)) for each in several):
                return Minute(at_s, state, tuple(level), tuple(floor), tuple(evidence))
    return None


def _is_number(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, int | float) and abs(value) < _ABSURD
