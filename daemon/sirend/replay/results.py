"""The tables that a replay leaves behind: events as JSON Lines and scores as CSV, each whole or not at all."""

from __future__ import annotations

import csv
import io
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tqdm import tqdm

from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.host.outfile import OutFile, StandardOutput
from sirend.publish.sink import JsonLines

if TYPE_CHECKING:
    from types import TracebackType

    from sirend.audio.stream import Score
    from sirend.call.event import Event

STDOUT = Path("-")
SCORES_HEADER = "source,approach,window_end_s,score,level_dbfs\n"


class Results:
    """Takes the events and scores of one recording after the other. Used in a ``with`` statement.

    Files appear at its end, unless an error ends it: then they do not appear, or stay as they were.
    """

    def __init__(self, events: Path | None, scores: Path | None) -> None:
        """Write events to a file, or to the standard output when ``events`` is None, and scores to one if wanted.

        Scores go to the standard output where ``scores`` is ``STDOUT``.
        """
        self._events = None if events is None else OutFile(events)
        self._scores = None if scores is None else StandardOutput() if scores == STDOUT else OutFile(scores)
        self._lines: JsonLines | None = None
        self._files = ExitStack()
        self._marks: list[tuple[OutFile | StandardOutput, int]] = []

    def __enter__(self) -> Self:
        """Open the files; raise ``DeviceError`` where that fails."""
        with ExitStack() as files:
            for file in (self._events, self._scores):
                if file is not None:
                    files.enter_context(file)
            if self._scores is not None:
                self._scores.write(SCORES_HEADER)
            self._lines = JsonLines(sys.stdout if self._events is None else self._events.stream)
            self._files = files.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the files; raise ``DeviceError`` where that fails."""
        self._files.__exit__(kind, error, trace)

    @property
    def are_wanted(self) -> bool:
        """Whether anybody still reads them."""
        return self._lines is not None or self._scores is not None

    def begin(self) -> None:
        """Start the next recording."""
        self._marks = [(file, file.mark()) for file in (self._events, self._scores) if file is not None]

    def discard(self) -> None:
        """Forget what the files got since ``begin``."""
        for file, mark in self._marks:
            file.rewind(mark)

    def publish(self, event: Event) -> None:
        """Write an event; raise ``DeviceError`` where that fails. A reader that went away is no error."""
        if self._lines is None:
            return
        try:
            with tqdm.external_write_mode():  # on a terminal the progress bar stands in the same line
                self._lines.publish(event)
        except BrokenPipeError:
            self._lines = None
            if self._events is None:  # or the interpreter complains when it flushes what is left at its end
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def observe(self, source: str, score: Score) -> None:
        """Write the score of a window of ``source``; raise ``DeviceError`` where that fails."""
        if self._scores is None:
            return
        row = io.StringIO()
        end_s = f"{score.end / SAMPLE_RATE_HZ:.3f}"
        csv.writer(row, lineterminator="\n").writerow(
            (source, score.approach, end_s, f"{score.siren:.6f}", f"{score.level_dbfs:.2f}")
        )
        self._scores.write(row.getvalue())
