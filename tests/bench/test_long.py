"""The long measurements start: each is run for a moment, since nobody waits for hours to see that it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent
ROOT = BENCH.parents[1]


@pytest.mark.system
def test_the_soak_runs_the_daemon_and_says_what_grows() -> None:
    words = [sys.executable, "-m", "tests.bench.soak", "--hours", "0.05"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert "0.05 h of 1 channel(s)" in done.stdout, done.stderr  # so short a run grows by what it begins with
    assert "0 samples dropped" in done.stdout


@pytest.mark.system
def test_the_fleet_comes_back_and_hears_every_event() -> None:
    words = [sys.executable, "-m", "tests.bench.fleet", "--sites", "100", "--heartbeats-s", "4"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "connect storm: 100 of 100 back" in done.stdout
    assert "100 simultaneous events" in done.stdout
    assert "; 0 missing" in done.stdout


@pytest.mark.recordings
def test_the_benchmark_measures_every_model_beside_the_peer() -> None:
    recordings = Path(os.environ.get("SIREND_RECORDINGS", BENCH.parents[2] / "shared" / "data"))
    peer = recordings.parent / "peers" / "yamnet.tflite"
    words = [sys.executable, "-m", "tests.bench.bench", "--minutes", "0.1"]
    done = subprocess.run(
        words,
        cwd=ROOT,
        env={**os.environ, "SIREND_PEER": str(peer)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    models = len(list((BENCH.parents[1] / "models").glob("siren-*")))
    assert done.stdout.count("times the CPU") == models
    heard = ("one siren after the other", "a street without a siren", "the same, sparing")
    assert all(done.stdout.count(f"ms, {each}, ") == models for each in heard), done.stdout
    assert done.stdout.count(" of YAMNet's\n") == len(heard) * models
    assert "without a network\n  CPU per second of street" in done.stdout
    assert "peak memory of YAMNet: " in done.stdout
