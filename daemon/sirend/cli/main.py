"""The command ``sirend``: how its words (``arguments``) are carried out, and how errors become exit codes.

Modules that take time or memory to import are imported by the commands that need them (``commands``): on a Raspberry Pi
a second of start-up is a second in which no siren is heard.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from sirend.cli.arguments import parser
from sirend.errors import ConfigError, DeviceError, SirendError
from sirend.host import signals
from sirend.host.leaving import end_process
from sirend.host.log import Lines, LogHandler
from sirend.host.standard_streams import fill_standard_streams

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BUG = 70
INTERRUPTED = 130
ENDING = (signals.ENDING | {signal.SIGHUP}) - {signal.SIGINT}
"""Every signal that ends a command and can be caught; Ctrl-C is an exception of Python's."""
BY_SIGNAL = 128
"""More than this is the number of the signal that ended the command, as a shell tells it."""


def command() -> NoReturn:
    """Run the process's command line and end the process with its exit code.

    NumPy computes on one thread unless the environment says otherwise, which it reads when it is imported: OpenBLAS
    makes one for each core, and those of so small products wait by counting. A replay of ten minutes takes 5.7 s of
    processor time so and 12 s with two, and its scores are the same to the bit on any number of cores.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    end_process(main())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (default: the process's) and return its exit code."""
    fill_standard_streams()
    words = sys.argv[1:] if argv is None else list(argv)
    with Lines(sys.stderr, "sirend-log") as lines:
        code = _run(words, lines)
    _settle()
    return code


def _run(words: Sequence[str], lines: Lines) -> int:
    """Run a command line; ``lines`` get its log and what ends it."""
    code = 0
    try:
        with _logging(lines), _terminating():
            args = parser(words).parse_args(words)
            code = int(args.command(args))
            _flush()
    except SirendError as error:
        for line in _lines(error):
            lines.put(f"sirend: error: {line}")
        code = error.exit_code
    except BrokenPipeError:  # whoever read the output has seen enough
        pass
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception:  # noqa: BLE001  everything else is a bug
        lines.put(traceback.format_exc() + "sirend: error: this is a bug in sirend; please report the lines above")
        code = BUG
    return code


def _lines(error: SirendError) -> list[str]:
    """Return an error in lines, one for each problem."""
    if isinstance(error, ConfigError):
        return [f"{error.where}: {problem}" for problem in error.problems]
    return str(error).splitlines()


def _flush() -> None:
    """Write what waits for the standard output."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise DeviceError(f"the standard output cannot be written: {error.strerror}; free some space") from error


def _settle() -> None:
    """Drop what the standard output did not take, or the interpreter complains of it at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _OneLine(logging.Formatter):
    """Formats a record as the other lines of the command; one that is an ``answer`` has no level."""

    def format(self, record: logging.LogRecord) -> str:
        level = "" if hasattr(record, "answer") else f"{record.levelname.lower()}: "
        return f"sirend: {level}{super().format(record)}"


@contextmanager
def _logging(lines: Lines) -> Iterator[None]:
    """Send the log to ``lines``: what sirend tells, and what others warn of."""
    handler = LogHandler(lines)
    handler.setFormatter(_OneLine())
    log = logging.getLogger("sirend")
    before = log.level
    logging.getLogger().addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        log.setLevel(before)
        handler.close()


@contextmanager
def _terminating() -> Iterator[None]:
    """Let a signal that ends the process unwind the stack, so that no unfinished file stays."""

    def terminate(number: int, _frame: object) -> None:
        raise SystemExit(BY_SIGNAL + number)

    # As under nohup(1) what is ignored stays so, and so does a handler of C (faulthandler), which cannot be put back.
    ending = [number for number in ENDING if signal.getsignal(number) not in (None, signal.SIG_IGN)]
    before = {number: signal.signal(number, terminate) for number in ending}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
