"""The figures that a measurement leaves for the report, besides what it prints.

``figures.json`` beside this file holds those of the latest whole report; README's figures are made from it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

VARIABLE = "SIREND_FIGURES"
"""Environment variable: the file that a measurement writes its figures to."""
COMMITTED = Path(__file__).parent / "figures.json"

Figures: TypeAlias = dict[str, Any]
"""JSON values by name, units in the names."""


def record(**values: Any) -> None:  # noqa: ANN401  JSON values
    """Add ``values`` to the file that the environment names; without one, do nothing."""
    if (name := os.environ.get(VARIABLE)) is not None:
        path = Path(name)
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(json.dumps(known | values), encoding="utf-8")


def spread(values: list[float]) -> Figures:
    """Return median, 95th and 99th percentile and the largest of ``values``."""
    ranked = [*np.percentile(values, [50, 95, 99]), max(values)] if values else [float("inf")] * 4
    return {name: round(float(value), 2) for name, value in zip(("p50", "p95", "p99", "worst"), ranked, strict=True)}
