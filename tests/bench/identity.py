"""Do two checkouts make the same of the same sound, byte for byte? ``python tests/bench/identity.py OLD NEW``.

Twenty seeded drive-bys are simulated by the first checkout, replayed by both, and their events and scores compared:
what a change that only moves or renames must leave alone. Both run under this Python; exit code 1 where they differ.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SIRENS = (
    "us wail", "us yelp", "us phaser", "us hilo", "us mechanical", "de hilo", "de martin-horn", "de yelp", "fr police",
    "fr fire", "it hilo", "jp ambulance", "jp police", "jp fire", "uk wail", "uk yelp", "uk hilo", "ch hilo",
    "fr samu", "us rumbler",
)  # fmt: skip
"""Profile and name, one a drive-by."""


def sirend(checkout: Path, *words: str) -> None:
    """Run the command of ``checkout``; raise ``CalledProcessError`` with what it said when it fails."""
    environment = {**os.environ, "PYTHONPATH": str(checkout.absolute() / "daemon")}
    subprocess.run([sys.executable, "-m", "sirend", *words], env=environment, check=True, stdout=subprocess.DEVNULL)


def main() -> int:
    """Compare and print what differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path, help="checkout that simulates, and whose results are expected")
    parser.add_argument("new", type=Path, help="checkout whose results are compared")
    parser.add_argument("--model", type=Path, help="bundle that both use; by default each its own")
    args = parser.parse_args()
    for checkout in (args.old, args.new):
        if not (checkout / "daemon" / "sirend").is_dir():  # else Python would take the sirend that is installed
            parser.error(f"{checkout} is no checkout of sirend")
    model = [] if args.model is None else ["--model", str(args.model.absolute())]
    differing = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed, siren in enumerate(SIRENS):
            profile, kind = siren.split()
            wav = folder / f"{profile}-{kind}.wav"
            drive = ("--seed", str(seed), "--start-m", "300", "--snr-db", str(seed % 4 * 5))
            sirend(args.old, "simulate", str(wav), "--profile", profile, "--siren", kind, *drive)
            results = []
            for number, checkout in enumerate((args.old, args.new)):
                events, scores = folder / f"{number}.jsonl", folder / f"{number}.csv"
                sirend(checkout, "replay", *model, "--events", str(events), "--scores", str(scores), str(wav))
                results.append((events.read_bytes(), scores.read_bytes()))
            same = results[0] == results[1]
            differing += not same
            print(f"{'same' if same else 'DIFFERS'}  {siren}: {results[1][0].count(b'emergency_approaching')} calls")
            wav.unlink()
    print(f"{len(SIRENS)} drive-bys, {differing} differ")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
