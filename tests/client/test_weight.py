"""A controller's computer is small: the client brings no numpy, and little else."""

from __future__ import annotations

import json
import subprocess
import sys

MOST_S, MOST_MB = 0.3, 15.0
HEAVY = {"numpy", "scipy", "sounddevice", "soundfile", "ai_edge_litert", "tflite_runtime", "matplotlib", "yaml", "tqdm"}
PROGRAM = """
import json, resource, sys, time
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before_mb, began_s = peak(), time.process_time()
from sirend import client
print(json.dumps([time.process_time() - began_s, peak() - before_mb, sorted(sys.modules)]))
"""


def test_the_client_is_light() -> None:
    runs = []
    for _ in range(3):  # the first may have to compile
        done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
        runs.append(json.loads(done.stdout))
    modules = {name.partition(".")[0] for name in runs[0][2]}
    assert modules & HEAVY == set()
    rooms = {name.split(".")[1] for name in runs[0][2] if name.startswith("sirend.")}
    assert rooms <= {"audio", "call", "client", "config", "errors", "host", "publish", "signing"}
    assert min(run[0] for run in runs) < MOST_S
    assert min(run[1] for run in runs) < MOST_MB
