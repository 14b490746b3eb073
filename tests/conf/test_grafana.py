"""The dashboard against Grafana's own published model of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
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


def misread(dashboard: dict[str, Any]) -> list[str]:
    """Return the places of ``dashboard`` that Grafana's models of dashboard, panels and queries do not know."""
    register_default_plugins()  # without them whatever stands in a query or in a panel's own settings is taken
    return list(lost(dashboard, json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))))


def test_grafana_reads_every_key_of_the_dashboard() -> None:
    given = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    assert len(given["panels"]) > 4
    assert misread(given) == []
    assert misread({**given, "refersh": "30s"}) == ["/refersh"], "a key that it does not know is noticed"


def test_a_key_that_no_panel_or_query_knows_is_noticed() -> None:
    given = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    given["panels"][1]["targets"][0]["exprr"] = "up"
    given["panels"][1].setdefault("fieldConfig", {}).setdefault("defaults", {})["custom"] = {"fillOpactiy": 10}
    assert misread(given) == ["/panels[1]/targets[0]/exprr", "/panels[1]/fieldConfig/defaults/custom/fillOpactiy"]
