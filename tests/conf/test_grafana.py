"""The dashboard against Grafana's own published model of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

if TYPE_CHECKING:
    from collections.abc import Iterator

DASHBOARD = Path(__file__).parents[2] / "conf" / "grafana.json"


def lost(given: Any, kept: Any, place: str = "") -> Iterator[str]:  # noqa: ANN401  JSON values
    """Yield the places of ``given`` that the model does not know, or reads as something else."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            yield from lost(value, kept.get(key), f"{place}/{key}")
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for index, (one, other) in enumerate(zip(given, kept, strict=True)):
            yield from lost(one, other, f"{place}[{index}]")
    elif given != kept:
        yield place


def test_grafana_reads_every_key_of_the_dashboard() -> None:
    given = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    kept = json.loads(json.dumps(Dashboard.from_json(given), cls=JSONEncoder))
    assert list(lost(given, kept)) == []
    assert list(lost({**given, "refersh": "30s"}, kept)) == ["/refersh"], "a key that it does not know is noticed"
    assert len(given["panels"]) == len(kept["panels"]) > 4
