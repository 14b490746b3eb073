"""``make report``: every figure that README and model card state, in one page with machine, date and commit.

    report.py [--data DIR [--peer yamnet.tflite]] [--out build/report] [--only NAME]

Each part is a command whose output is quoted as it is; a part that fails says so, and the report ends with 1. Detection
is measured where recordings are given; its tables and pictures are taken over.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sirend import bundle

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
DETECTION = "detection"
"""Folder, within the report's, that ``sirend evaluate`` writes to."""


@dataclass(frozen=True, slots=True)
class Part:
    """One command and what it shows."""

    name: str
    """Heading."""
    words: Sequence[str]
    typed: str
    """How one types it."""
    variables: dict[str, str]
    """Of the environment, besides what is there."""


def parts(data: Path | None, peer: Path | None, out: Path) -> list[Part]:
    """Return what is measured, in order."""
    bench = str(ROOT / "tests" / "bench")
    tests = [str(ROOT / "tests" / name) for name in ("test_motion.py", "test_junction.py")]
    python = sys.executable
    measured = [
        Part("Speed and memory", [python, f"{bench}/bench.py"], "make bench", {"SIREND_PEER": str(peer or "")}),
        Part(
            "Motion and called leg",
            [python, "-m", "pytest", "-q", "-s", "--timeout", "3600", *tests],
            "make drives",
            {"SIREND_DRIVES": "200"},
        ),
        Part("A city on one broker", [python, f"{bench}/fleet.py"], "make bench-fleet", {}),
        Part("What grows", [python, f"{bench}/soak.py", "--hours", "4"], "make soak HOURS=4", {}),
    ]
    if data is not None:
        words = [python, "-m", "sirend", "evaluate", "--data", str(data), "--report", str(out / DETECTION)]
        words += [] if peer is None else ["--peer", str(peer)]
        measured.append(Part("Detection", words, "make evaluate DATA=... PEER=...", {}))
    return measured


def machine() -> list[str]:
    """Return the lines that say where and of what this was measured."""
    model = re.search(
        r"^(?:model name|Model)\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE
    )
    kilobytes = re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(encoding="utf-8"), re.MULTILINE)
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return [
        f"- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {_git('describe', '--always', '--dirty', '--abbrev=12')}",
        (
            f"- {model[1] if model else platform.machine()}, {len(os.sched_getaffinity(0))} cores, "
            f"{int(kilobytes[1]) / 2**20 if kilobytes else 0:.0f} GiB, load {load} at the start"
        ),
        f"- {platform.platform()}, Python {platform.python_version()}",
        f"- model {bundle.load(bundle.find(None)).name}",
    ]


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def quoted(part: Part, out: Path) -> tuple[str, bool]:
    """Run a part; return its section, and whether it succeeded."""
    print(f"{part.name}: {part.typed}", flush=True)
    began = time.monotonic()
    done = subprocess.run(
        part.words,
        env={**os.environ, **part.variables},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    is_well = done.returncode == 0
    took = (
        f"`{part.typed}`, {time.monotonic() - began:.0f} s{'' if is_well else f', **failed** with {done.returncode}'}"
    )
    card = out / DETECTION / "report.md"
    if part.name == "Detection" and is_well and card.is_file():
        return f"## {part.name}\n\n{took}\n\n{taken_over(card.read_text(encoding='utf-8'))}\n", is_well
    return f"## {part.name}\n\n{took}\n\n```\n{done.stdout.strip(chr(10))}\n```\n", is_well


def taken_over(text: str) -> str:
    """Return a page that lies in the folder ``detection`` as a section of the page beside it."""
    deeper = re.sub(r"^#", "###", text, flags=re.MULTILINE)
    return re.sub(r"\]\((?![a-z]+:|[#/])", f"]({DETECTION}/", deeper)


def main(words: Sequence[str] | None = None) -> int:
    """Measure and write."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--data", type=Path, help="recordings with clips.csv; without, detection is left out")
    asked.add_argument("--peer", type=Path, help="yamnet.tflite")
    asked.add_argument("--out", type=Path, default=ROOT / "build" / "report")
    asked.add_argument("--only", action="append", metavar="NAME", help="a part, by its heading (default: all)")
    args = asked.parse_args(words)
    args.out.mkdir(parents=True, exist_ok=True)
    head, sections, is_well = machine(), [], True
    for part in parts(args.data, args.peer, args.out):
        if args.only is None or part.name in args.only:
            section, went_well = quoted(part, args.out)
            sections.append(section)
            is_well = is_well and went_well
    if args.data is None:
        sections.append("## Detection\n\nNot measured: no recordings were given (`make report DATA=DIR`).\n")
    page = args.out / "index.md"
    page.write_text("\n".join(["# sirend: measured", "", *head, "", *sections]), encoding="utf-8")
    print(page)
    return int(not is_well)


if __name__ == "__main__":
    sys.exit(main())
