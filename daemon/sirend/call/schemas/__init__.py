"""The JSON Schemas of what the daemon and a controller say; the files lie beside this one."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def event_schema() -> dict[str, Any]:
    """Return the JSON Schema of events."""
    return _schema("event-1.json")


def health_schema() -> dict[str, Any]:
    """Return the JSON Schema of the health message."""
    return _schema("health-1.json")


def ack_schema() -> dict[str, Any]:
    """Return the JSON Schema of acknowledgements."""
    return _schema("ack-1.json")


def _schema(name: str) -> dict[str, Any]:
    text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded
