"""The program on 64-bit Arm: ``make test-arm64``. Not collected by ``pytest`` alone: takes minutes.

Debian roots of that processor, started program by program through qemu's emulation of a Raspberry Pi 4's and a 5's
cores. What is compared is what a junction would get: the events, and the scores behind them.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(1800)]
ROOT = Path(__file__).parents[2]
ROOTS = Path(os.environ.get("SIREND_ARM64_ROOTS", ROOT / "build")).absolute()
EXTRAS = "completion,gpio,metrics,monitor,ntcip,pki,plot,web"
TOLERANCE = 3e-2
"""Largest difference of a score between the processors: int8 networks round what each adds in its own order. With
weights in float 0 to the six decimals of the scores file was measured."""


def emulated(machine: Path, core: str, *words: str) -> None:
    """Run ``python3 words`` in ``machine`` on an emulated ``core``."""
    qemu = ["/usr/bin/qemu-aarch64-static", "-cpu", core]
    command = ["/usr/sbin/chroot", str(machine), *qemu, "/usr/bin/python3", *words]
    variables = {"PATH": "/usr/bin:/bin", "HOME": "/", "PYTHONPATH": "/opt/sirend", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"


def replayed(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Return the events and the rows of scores that a replay left in ``folder``."""
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    with (folder / "scores.csv").open(newline="") as stream:
        return events, list(csv.DictReader(stream))


@pytest.mark.parametrize(
    ("suite", "python", "core"), [("bookworm", "3.11", "cortex-a72"), ("trixie", "3.13", "cortex-a76")]
)
def test_a_siren_gives_the_events_and_scores_that_it_gives_here(
    tmp_path: Path, suite: str, python: str, core: str
) -> None:
    machine = ROOTS / f"arm64-{suite}"
    wheels = machine / "wheels"
    subprocess.run(["rm", "-rf", str(wheels), str(machine / "opt" / "sirend")], check=True)
    fetch = [sys.executable, str(ROOT / ".ci" / "wheels.py"), str(wheels), f"{python}-aarch64", EXTRAS]
    fetched = subprocess.run(fetch, capture_output=True, text=True, check=False)
    assert fetched.returncode == 0, fetched.stderr
    print(fetched.stdout)  # noqa: T201
    (pip,) = (machine / "usr/share/python-wheels").glob("pip-*.whl")
    pip_inside = f"/{pip.relative_to(machine)}/pip"
    offline = ("--no-index", "--find-links", "/wheels", "--no-compile", "--target", "/opt/sirend")
    emulated(machine, core, pip_inside, "install", "--quiet", *offline, "sirend")

    sirend = [sys.executable, "-m", "sirend"]
    simulate = ["simulate", "--start-m", "120", "--speed-kmh", "90", "--snr-db", "10", "--seed", "3", "street.wav"]
    replay = ("-m", "sirend", "replay", "--events", "events.jsonl", "--scores", "scores.csv", "street.wav")
    subprocess.run([*sirend, *simulate], cwd=tmp_path, check=True, capture_output=True)
    subprocess.run([sys.executable, *replay], cwd=tmp_path, check=True, capture_output=True)
    (machine / "street.wav").write_bytes((tmp_path / "street.wav").read_bytes())
    emulated(machine, core, *replay)

    (events, rows), (events_there, rows_there) = replayed(tmp_path), replayed(machine)
    assert [event["state"] for event in events] == ["approaching", "clear"]
    for here, there in zip(events, events_there, strict=True):
        assert there.pop("confidence") == pytest.approx(here.pop("confidence"), abs=TOLERANCE)
        assert there.pop("level_dbfs") == pytest.approx(here.pop("level_dbfs"), abs=0.11)  # and this has one
        assert there == here
    assert len(rows_there) == len(rows) > 20
    apart = max(abs(float(there["score"]) - float(here["score"])) for here, there in zip(rows, rows_there, strict=True))
    print(f"{len(rows)} scores of {events[0]['model']} on {core}: {apart:.6f} apart at most")  # noqa: T201
    assert apart <= TOLERANCE
