"""A running daemon is scraped, and what conf/ asks Prometheus for is what it serves."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.conftest import PATIENCE_S, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from tests.conftest import Broker
    from tests.e2e.conftest import Daemon, PulseAudio

    Run: TypeAlias = Callable[[str, Mapping[str, str]], Daemon]

CONF = Path(__file__).parents[2] / "conf"
NAME = re.compile(r"\bsirend_[a-z_]+")
OPTIONAL = {"sirend_temperature_celsius"}  # not every host has a sensor


def asked() -> set[str]:
    """Return the names of all metrics in the dashboard and the alert rules."""
    dashboard = json.loads((CONF / "grafana.json").read_text())
    rules = yaml.safe_load((CONF / "alerts.yaml").read_text())["groups"][0]["rules"]
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    expressions += [rule["expr"] for rule in rules]
    return set(NAME.findall(" ".join(expressions)))


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    rules = yaml.safe_load((CONF / "alerts.yaml").read_text())["groups"][0]["rules"]
    assert len(rules) == len({rule["alert"] for rule in rules}) == 9
    for rule in rules:
        assert set(rule["annotations"]) == {"summary", "action"}
        assert rule["labels"]["severity"] in ("critical", "warning")


@pytest.mark.system
def test_a_scrape_has_every_metric_that_dashboard_and_alerts_ask_for(
    run: Run, pulse: PulseAudio, broker: Broker
) -> None:
    port = free_port()
    daemon = run(f"mqtt: {{port: {broker.port}}}\nmetrics: {{enabled: true, port: {port}}}\n", pulse.environment)
    with broker.subscribe("sirend/+/health") as subscriber:
        daemon.until_logged("the first window is scored")
        health = json.loads(subscriber.next().payload)
        while health["state"] != "ok":
            health = json.loads(subscriber.next().payload)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
            text = answer.read().decode()
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert asked() - {key[0] for key in samples} - OPTIONAL == set()
    assert samples["sirend_health", "ok"] == 1.0
    assert samples["sirend_windows_scored_total",] >= health["windows_scored"] >= 1
    assert samples["sirend_uptime_seconds",] >= health["uptime_s"]
    assert samples["sirend_level_dbfs", "main"] <= 0.0
    assert samples["sirend_calls_total", "main"] == 0.0
    assert 0.0 <= samples["sirend_window_age_seconds",] < PATIENCE_S
    assert daemon.stop() == 0
