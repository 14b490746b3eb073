"""``make report``: every figure that README and model cards state, in one page with machine, date and commit.

    python -m tests.bench.report [--data DIR [--peer yamnet.tflite] [--held-out DIR]] [--quick] [--again] [--only NAME]

Each part is a command whose output is shown while it runs and quoted as it is. A part that fails says so, and the
report ends with 1. What was measured at the same commit by the same command is not measured again: a report that was
stopped goes on where it was. Detection is measured where recordings are given; ``--held-out`` names a folder with a
folder for each data set, named like it, that holds a bundle trained without it. ``--quick`` runs all for a moment, to
see that it works. README and the model card's tables are made from the figures of whole parts, which ``figures.json``
keeps.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests import readme
from tests.bench import figures, plots, tables

from sirend.detect import bundle

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
DETECTION = "detection"
"""Folder, within the report's, that ``sirend evaluate`` writes to."""
BAR = re.compile(r"\d+%\|")
"""What a progress bar has and a figure has not."""


@dataclass(frozen=True, slots=True)
class Part:
    """One command and what it shows."""

    name: str
    """Heading."""
    key: str
    """Name among the figures."""
    words: Sequence[str]
    typed: str
    """How one types it."""
    variables: dict[str, str] = field(default_factory=dict)
    """Of the environment, besides what is there."""
    folder: str | None = None
    """Where, within the report's folder, it writes ``report.md`` and, for its figures, ``report.json``."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to measure."""

    out: Path
    data: Path | None = None
    """Recordings."""
    peer: Path | None = None
    """yamnet.tflite."""
    held_out: Path | None = None
    """Folder of bundles trained without a set, in folders named like the set."""
    is_quick: bool = False
    is_clustered: bool = False
    """With RabbitMQ, which is not everywhere."""


def parts(wanted: Wanted) -> list[Part]:
    """Return what is measured, in order."""
    python, quick = [sys.executable, "-m"], wanted.is_quick
    of = None if quick else wanted.data
    rounds = 1 if of is None else 3
    names = ("detect/test_motion.py", "detect/test_arrival.py", "simulate/test_junction.py")
    tests = [str(ROOT / "tests" / name) for name in names]
    measured = [
        Part(
            "Speed and memory",
            "speed",
            [*python, "tests.bench.bench", *(["--minutes", "0.1"] if quick else [])],
            "make bench",
            {} if wanted.peer is None else {"SIREND_PEER": str(wanted.peer)},
        ),
        Part(
            "How early",
            "lead",
            [
                *python,
                "sirend",
                "evaluate",
                "--lead",
                str(rounds),
                *([] if of is None else ["--data", str(of)]),
                *([] if wanted.peer is None else ["--peer", str(wanted.peer)]),
                "--report",
                str(wanted.out / "lead"),
            ],
            tables.lead_command(rounds, with_data=of is not None),
            folder="lead",
        ),
        Part(
            "Motion and called leg",
            "motion",
            [
                *python,
                "pytest",
                "-q",
                "-s",
                "--timeout",
                "7200",
                "-k",
                "percent or most_windows or quarter or right_leg",
                *tests,
            ],
            "make drives",
            {"SIREND_DRIVES": "10" if quick else "200"},
        ),
        Part(
            "A city on one broker",
            "fleet",
            [*python, "tests.bench.fleet", *(["--sites", "100", "--heartbeats-s", "4"] if quick else [])],
            "make bench-fleet",
        ),
        Part(
            "What grows",
            "soak",
            [*python, "tests.bench.soak", "--hours", "0.2" if quick else "24"],
            "make soak HOURS=24",
        ),
    ]
    if wanted.is_clustered:
        words = [*python, "tests.bench.fleet_cluster", *(["--sites", "60", "--heartbeats-s", "4"] if quick else [])]
        measured.append(Part("A city on a cluster", "cluster", words, "make bench-fleet BROKER=cluster"))
    if wanted.data is not None:
        measured += _detection(wanted, wanted.data)
    return measured


def _detection(wanted: Wanted, data: Path) -> list[Part]:
    """Return the evaluation of the shipped model, and of those that were trained without a set."""
    evaluate = [sys.executable, "-m", "sirend", "evaluate", "--data", str(data)]
    evaluate += [] if wanted.peer is None else ["--peer", str(wanted.peer)]
    few = ["--mixtures", "2", "--drive-bys", "0", "--soundscape-hours", "0.02"] if wanted.is_quick else []
    few += ["--set", "esc50"] if wanted.is_quick else []
    whole = Part(
        "Detection",
        "detection",
        [*evaluate, *few, "--report", str(wanted.out / DETECTION)],
        "make evaluate DATA=... PEER=...",
        folder=DETECTION,
    )
    sets = [] if wanted.held_out is None else sorted(path.parent for path in wanted.held_out.glob("*/siren-*"))
    only = ["--mixtures", "2" if wanted.is_quick else "30", "--drive-bys", "0", "--soundscape-hours", "0"]
    without = []
    for place in dict.fromkeys(sets):
        key = f"{tables.WITHOUT}{place.name}"
        words = [*evaluate, "--model", str(next(place.glob("siren-*"))), "--set", place.name, *only]
        typed = f"sirend evaluate --set {place.name} --mixtures 30 --drive-bys 0 --soundscape-hours 0 --peer ..."
        words += ["--report", str(wanted.out / key)]
        without.append(Part(f"Trained without {place.name}", key, words, typed, folder=key))
    return [whole, *without]


def machine() -> dict[str, str]:
    """Return where and of what this is measured."""
    model = re.search(
        r"^(?:model name|Model)\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE
    )
    kilobytes = re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(encoding="utf-8"), re.MULTILINE)
    gigabytes = f"{int(kilobytes[1]) / 2**20 if kilobytes else 0:.0f} GiB"
    return {
        "machine": f"{model[1] if model else platform.machine()}, {len(os.sched_getaffinity(0))} cores, {gigabytes}",
        "system": f"{platform.platform()}, Python {platform.python_version()}",
        "model": bundle.load(bundle.find(None)).name,
        "commit": _commit(),
    }


def _commit() -> str:
    """Return the commit, marked where files differ from it, other than those that the report itself changes."""
    mine = [f":!{path.relative_to(ROOT)}" for path in (figures.COMMITTED, *readme.PAGES, readme.card())]
    changed = _git("status", "--porcelain", "--", ".", *mine)
    return _git("rev-parse", "--short=12", "HEAD") + ("" if changed in ("", "unknown") else "-dirty")


def _git(*words: str) -> str:
    if shutil.which("git") is None:
        return "unknown"
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    return "unknown" if done.returncode else done.stdout.strip()


def measured(part: Part, wanted: Wanted, *, again: bool) -> dict[str, Any]:
    """Run a part, or take what an earlier report kept of it; return what is known of it.

    ``rc``, ``printed``, ``took_s``, ``figures``, ``when``, ``load`` at the beginning, and what ``machine`` says.
    """
    kept = wanted.out / "parts" / f"{part.key}.json"
    here = {**machine(), "words": list(part.words)}
    if kept.exists() and not again:
        known: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        if all(known[key] == value for key, value in here.items()):
            print(f"{part.name}: measured already, {known['when']}", flush=True)
            return known
    print(f"{part.name}: {part.typed}", flush=True)
    left = kept.with_suffix(".figures")
    left.unlink(missing_ok=True)
    began, load = time.monotonic(), f"{os.getloadavg()[0]:.1f}"
    printed = []
    with subprocess.Popen(
        part.words,
        env={**os.environ, **part.variables, figures.VARIABLE: str(left), "PYTHONUNBUFFERED": "1"},  # lines in order
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout or ():
            print(f"  {line}", end="", flush=True)
            if not BAR.search(line):
                printed.append(line)
    record = {
        **here,
        "rc": process.returncode,
        "printed": "".join(printed).strip("\n"),
        "took_s": round(time.monotonic() - began),
        "figures": _figures(left if part.folder is None else wanted.out / part.folder / "report.json"),
        "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "load": load,
    }
    if not process.returncode:
        kept.write_text(json.dumps(record), encoding="utf-8")
    return record


def _figures(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def section(part: Part, record: dict[str, Any], out: Path) -> str:
    """Return what the page says of a part."""
    failed = f", **failed** with {record['rc']}" if record["rc"] else ""
    head = f"## {part.name}\n\n`{part.typed}`, {record['when']}, {record['took_s']} s, load {record['load']}{failed}\n"
    card = None if part.folder is None else out / part.folder / "report.md"
    if card is not None and not record["rc"] and card.is_file():
        return f"{head}\n{taken_over(card.read_text(encoding='utf-8'), card.parent.name)}\n"
    drawn = plots.draw(part.key, record["figures"], out)
    shown = "" if drawn is None else f"\n![{part.name}]({drawn.name})\n"
    return f"{head}{shown}\n```\n{record['printed']}\n```\n"


def taken_over(text: str, folder: str) -> str:
    """Return a page that lies in ``folder`` as a section of the page beside it."""
    deeper = re.sub(r"^#", "###", text, flags=re.MULTILINE)
    return re.sub(r"\]\((?![a-z]+:|[#/])", f"]({folder}/", deeper)


def main(words: Sequence[str] | None = None) -> int:
    """Measure and write."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--data", type=Path, help="recordings with clips.csv; without, detection is left out")
    asked.add_argument("--peer", type=Path, help="yamnet.tflite")
    asked.add_argument("--held-out", type=Path, help="folder with SET/siren-*, bundles trained without SET")
    asked.add_argument("--out", type=Path, default=ROOT / "build" / "report")
    asked.add_argument("--figures", type=Path, default=figures.COMMITTED, help="what README is made from")
    asked.add_argument("--only", action="append", metavar="NAME", help="a part, by its heading (default: all)")
    asked.add_argument("--quick", action="store_true", help="all for a moment; leaves what README is made from alone")
    asked.add_argument("--cluster", action="store_true", help="a city on three nodes of RabbitMQ too")
    asked.add_argument("--again", action="store_true", help="also what was measured at this commit already")
    args = asked.parse_args(words)
    out = args.out / "quick" if args.quick else args.out
    (out / "parts").mkdir(parents=True, exist_ok=True)
    data, peer, held_out = (None if each is None else each.absolute() for each in (args.data, args.peer, args.held_out))
    wanted = Wanted(out.absolute(), data, peer, held_out, is_quick=args.quick, is_clustered=args.cluster)
    here = machine()
    sections, is_well = [], True
    known = json.loads(args.figures.read_text(encoding="utf-8")) if args.figures.exists() else {}
    chosen = [part for part in parts(wanted) if args.only is None or part.name in args.only]
    for index, part in enumerate(chosen, start=1):
        print(f"[{index}/{len(chosen)}] ", end="")
        record = measured(part, wanted, again=args.again)
        sections.append(section(part, record, out))
        is_well = is_well and not record["rc"]
        if record["figures"] and not record["rc"] and not args.quick:
            source = {key: record[key] for key in ("commit", "machine", "when", "load")}
            known[part.key] = {**source, **record["figures"]}
            args.figures.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    if args.data is None:
        sections.append("## Detection\n\nNot measured: no recordings were given (`make report DATA=DIR`).\n")
    head = [f"- commit {here['commit']}, model {here['model']}", f"- {here['machine']}", f"- {here['system']}"]
    page = out / "index.md"
    page.write_text("\n".join(["# sirend: measured", "", *head, "", *sections]), encoding="utf-8")
    print(page)
    return int(not is_well)


if __name__ == "__main__":
    sys.exit(main())
