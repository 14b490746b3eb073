from __future__ import annotations

import subprocess
import sys

import pytest

ENDING = """
import atexit, sys, threading, time
from sirend.host.leaving import end_process
threading.Thread(target=time.sleep, args=[float(sys.argv[1])], daemon=True).start()
atexit.register(print, "taken down")
print("said before")
end_process(7)
"""


@pytest.mark.parametrize(
    ("busy_s", "said"), [(0.1, "said before\ntaken down\n"), (60.0, "said before\n")], ids=["ends", "stays"]
)
def test_the_interpreter_is_not_taken_down_under_a_thread_that_still_runs(busy_s: float, said: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ENDING, str(busy_s)], capture_output=True, text=True, timeout=30.0, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, said, "")


def test_an_output_that_nobody_takes_does_not_keep_it() -> None:
    code = ENDING.replace('print("said before")', "sys.stdout.close()")
    ended = subprocess.run([sys.executable, "-c", code, "60"], capture_output=True, timeout=30.0, check=False)
    assert (ended.returncode, ended.stderr) == (7, b"")
