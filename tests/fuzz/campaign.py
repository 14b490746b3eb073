"""Every parser against inputs without end: ``make fuzz [MINUTES=10]``.

Each round runs in a process of its own, so that one that crashes, hangs or eats the memory is a finding as well. A
round is told by its seed: the same seed and number of inputs give the same inputs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.attack import Parser, attack
from tests.fuzz.parsers import PARSERS

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

ROUND_S = 3.0
"""How long a round should take of the processor."""
HANGS_S = 60
"""A round that is not over by then, of the processor's time, hangs."""
PATIENCE_S = 1_800.0
"""How long a round may take by the clock, on a machine that does much else."""
MOST_BYTES = 3 * 2**30
"""Address space of a round, of which the modules take a tenth."""
FIRST = 50
"""Inputs of the first round, from which the number of later ones is reckoned."""


def one_round(parser: Parser, examples: int, seed: int, tell: Connection) -> None:
    """Tell the number of inputs and, if there is one, the finding: where and what, and its whole text."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (HANGS_S, HANGS_S))
    with tempfile.TemporaryDirectory() as folder, Path("/dev/null").open("w") as nothing:
        for descriptor in (1, 2):  # decoders tell what they think of what they are fed
            os.dup2(nothing.fileno(), descriptor)
        try:
            tell.send((attack(parser, Path(folder), examples, seed), None))
        except BaseException as error:  # noqa: BLE001  whatever it is, it was not foreseen
            first: BaseException = error
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            last = traceback.extract_tb(first.__traceback__)[-1]
            name = f"{type(first).__name__} at {Path(last.filename).name}:{last.lineno}"
            tell.send((examples, (name, "".join(traceback.format_exception(error)))))


def run_round(parser: Parser, examples: int, seed: int) -> tuple[int, tuple[str, str] | None]:
    """Return how many inputs a round had, and its finding."""
    context = multiprocessing.get_context("fork")
    hear, tell = context.Pipe(duplex=False)
    process = context.Process(target=one_round, args=(parser, examples, seed, tell))
    process.start()
    tell.close()
    try:
        if not hear.poll(PATIENCE_S):
            process.kill()
            return examples, ("hang", f"seed {seed}, {examples} inputs: no end after {PATIENCE_S:.0f} s")
        count, finding = hear.recv()
    except EOFError:
        process.join()
        return examples, (f"end by signal {-(process.exitcode or 0)}", f"seed {seed}, {examples} inputs")
    finally:
        process.join()
        hear.close()
    return int(count), finding


def cpu_s() -> float:
    """Return the processor's time, s, that all rounds took so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(minutes: float, seed: int) -> int:
    """Attack all parsers in turn for so long; return how many different findings there were."""
    began = time.monotonic()
    until = began + 60.0 * minutes
    inputs = dict.fromkeys(PARSERS, 0)
    examples = dict.fromkeys(PARSERS, FIRST)
    findings: dict[tuple[str, str], str] = {}
    number = seed
    while time.monotonic() < until:
        for parser in PARSERS:
            number += 1
            before_s = cpu_s()
            count, finding = run_round(parser, examples[parser], number)
            inputs[parser] += count
            rate_hz = count / max(0.01, cpu_s() - before_s)
            examples[parser] = max(FIRST, int(rate_hz * min(ROUND_S, 60.0 * minutes / len(PARSERS))))
            if time.monotonic() >= until:
                break
            if finding is not None and (parser.name, finding[0]) not in findings:
                findings[parser.name, finding[0]] = finding[1]
                print(f"FINDING in {parser.name}: {finding[0]}\n{finding[1]}", flush=True)
    for parser, count in inputs.items():
        mine = sum(name == parser.name for name, _ in findings)
        print(f"{parser.name:<14} {count:>9,} inputs  {mine} finding(s)")
    total = sum(inputs.values())
    took = f"{(time.monotonic() - began) / 60.0:.1f} min ({cpu_s() / 60.0:.1f} min of the processor)"
    print(f"{total:,} inputs in {took} from seed {seed}; {len(findings)} finding(s)")
    return len(findings)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--minutes", type=float, default=10.0)
    arguments.add_argument("--seed", type=int, default=random.randrange(10**6))  # noqa: S311  variety, not secrecy
    chosen = arguments.parse_args()
    sys.exit(1 if main(chosen.minutes, chosen.seed) else 0)
