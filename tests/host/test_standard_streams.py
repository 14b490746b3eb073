from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
from sirend.host.standard_streams import fill_standard_streams
fill_standard_streams()
opened = os.open("/dev/zero", os.O_RDONLY)
print(opened, file=sys.stdout, flush=True)
print(opened, file=sys.stderr, flush=True)
sys.stdin.read()
subprocess = __import__("subprocess")
subprocess.run(["sh", "-c", "echo child; echo child >&2"], check=True)
sys.exit(opened)
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">&- 2>&-", ""])
def test_no_file_takes_the_place_of_a_stream_that_was_closed(closed: str) -> None:
    """Started without a standard error the daemon died, or wrote to whatever had its number."""
    words = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", PROGRAM]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=60.0, check=False)
    assert done.returncode > 2, done.stderr
    assert b"Error" not in done.stderr


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", "2>&-"])
def test_a_command_without_streams_ends_as_it_should(closed: str) -> None:
    words = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "sirend", "schema", "event"]
    assert subprocess.run(words, capture_output=True, timeout=60.0, check=False).returncode == 0
