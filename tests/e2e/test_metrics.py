"""A real Prometheus asks a running daemon; it takes what conf/ has for it, and finds all that conf/ asks for."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.conftest import PATIENCE_S, free_port
from tests.observe.test_snapshot import feed, setup

from sirend.config.settings import MetricsConfig
from sirend.observe.metrics import Metrics
from sirend.observe.snapshot import View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeAlias

    from tests.conftest import Broker
    from tests.e2e.conftest import Daemon, PulseAudio

    Run: TypeAlias = Callable[[str, Mapping[str, str]], Daemon]

CONF = Path(__file__).parents[2] / "conf"
NAME = re.compile(r"\bsirend_[a-z_]+")
OPTIONAL = {"sirend_temperature_celsius", "sirend_floor_dbfs"}
"""Not every host has a sensor, and a floor is known after a minute. A view that has them is asked as well."""
OF_A_PI = {
    "state": "ok",
    "reasons": [],
    "temperature_c": 51.0,
    "floors_dbfs": {"main": -52.5},
    "floor_drifts_db": {"main": 6.5},
    "cpu_percent": 6.0,
    "rss_mb": 110.0,
    "uptime_s": 86_500.0,
}
FIRES = {
    "SirendDown": ('up{job="sirend", @}', "1 0x20", "1x20", "sirend does not answer"),
    "SirendDeaf": ("sirend_window_age_seconds{@}", "1 11x20", "1 9x20", "no sound was scored for 11 s"),
    "SirendFailed": ('sirend_health{state="failed", @}', "0 1x20", "0x20", "sirend has failed"),
    "SirendDegraded": (
        'sirend_health{state="degraded", @}',
        "0 1x20",
        "0x16 1x4",
        "sirend works, but not as it should",
    ),
    "SirendBrokerLost": ("sirend_mqtt_connected{@}", "1 0x20", "1x20", "no connection to the MQTT broker"),
    "SirendSilent": (
        'sirend_level_dbfs{approach="main", @}',
        "-40 -120x20",
        "-90x20",
        "main delivers digital silence",
    ),
    "SirendLosesSound": (
        "sirend_dropped_samples_total{@}",
        "0+1200x20",
        "0+900x20",
        "more than 1 in 1000 samples is lost",
    ),
    "SirendCallsOften": (
        'sirend_calls_total{approach="main", @}',
        "0+1x20",
        "0x10 10x10",
        "main called 20 times in an hour",
    ),
    "SirendHot": ("sirend_temperature_celsius{@}", "70 81x20", "80x20", "the processor has 81 degrees Celsius"),
}
"""For each alert a metric, its values from minute to minute when it fires and when it does not, and what it says."""


def rules() -> list[dict[str, Any]]:
    """Return the alert rules."""
    found: list[dict[str, Any]] = yaml.safe_load((CONF / "alerts.yaml").read_text())["groups"][0]["rules"]
    return found


def panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard."""
    found: list[dict[str, Any]] = json.loads((CONF / "grafana.json").read_text())["panels"]
    return found


def drawn() -> list[str]:
    """Return the expressions of the dashboard, for every site."""
    return [target["expr"].replace("$instance", ".*") for panel in panels() for target in panel["targets"]]


def promtool(*words: str | Path) -> str:
    """Run promtool; return what it says once it succeeded."""
    if shutil.which("promtool") is None or shutil.which("prometheus") is None:
        pytest.fail("these tests need: apt-get install prometheus")
    done = subprocess.run(["promtool", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    assert len(rules()) == len({rule["alert"] for rule in rules()}) == 9
    for rule in rules():
        assert set(rule["annotations"]) == {"summary", "action"}
        assert rule["labels"]["severity"] in ("critical", "warning")


@pytest.mark.system
def test_prometheus_takes_configuration_alerts_and_every_query_of_the_dashboard(tmp_path: Path) -> None:
    assert "SUCCESS: 9 rules found" in promtool("check", "config", CONF / "prometheus.yaml")
    names = [f"panel:{index}" for index in range(len(drawn()))]
    recorded = [{"record": name, "expr": expr} for name, expr in zip(names, drawn(), strict=True)]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    assert f"SUCCESS: {len(names)} rules found" in promtool("check", "rules", tmp_path / "rules.yaml")


@pytest.mark.system
def test_every_alert_fires_when_it_should_and_not_before(tmp_path: Path) -> None:
    assert set(FIRES) == {rule["alert"] for rule in rules()}
    tests = []
    for rule in rules():
        series, bad, good, says = FIRES[rule["alert"]]
        series = series.replace("@", 'instance="elm"')
        labels = dict(re.findall(r'(\w+)="([^"]*)"', series)) | rule["labels"]
        notes = rule["annotations"] | {"summary": f"elm: {says}"}
        for values, alerts in ((bad, [{"exp_labels": labels, "exp_annotations": notes}]), (good, [])):
            told = {"eval_time": "20m", "alertname": rule["alert"], "exp_alerts": alerts}
            given = [{"series": series, "values": values}]
            tests.append({"interval": "1m", "input_series": given, "alert_rule_test": [told]})
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump({"rule_files": [str(CONF / "alerts.yaml")], "tests": tests}))
    promtool("test", "rules", tmp_path / "tests.yaml")


def test_the_dashboard_is_one_that_grafana_can_lay_out() -> None:
    """Its panels have numbers of their own, do not overlap, lie on the grid of 24, and ask the chosen data source."""
    dashboard = json.loads((CONF / "grafana.json").read_text())
    variables = {each["name"]: each["type"] for each in dashboard["templating"]["list"]}
    assert variables == {"source": "datasource", "instance": "query"}
    assert len({panel["id"] for panel in panels()}) == len({panel["title"] for panel in panels()}) == len(panels())
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        x, y, width, height = (panel["gridPos"][key] for key in "xywh")
        assert x + width <= 24
        cells = {(column, row) for column in range(x, x + width) for row in range(y, y + height)}
        assert not cells & taken
        taken |= cells
        assert panel["type"] in ("state-timeline", "timeseries", "stat")
        assert panel["datasource"] == {"type": "prometheus", "uid": "${source}"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
        for target in panel["targets"]:
            assert set(re.findall(r"\$\{?(\w+)", target["expr"])) <= set(variables)


@contextmanager
def prometheus(folder: Path, *targets: str) -> Iterator[Callable[[str], Any]]:
    """Run a Prometheus with ``conf/`` that asks ``targets`` every second; yield a way to read its API."""
    port = free_port()
    text = (CONF / "prometheus.yaml").read_text().replace("127.0.0.1:9464", ", ".join(targets)).replace("15s", "1s")
    (folder / "prometheus.yaml").write_text(text)
    shutil.copy(CONF / "alerts.yaml", folder)
    places = [f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'series'}"]
    words = ["prometheus", *places, f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "prometheus.log").open("wb") as log, subprocess.Popen(words, stdout=log, stderr=log) as process:

        def read(path: str) -> Any:  # noqa: ANN401  decoded JSON
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=PATIENCE_S) as answer:
                return json.load(answer)["data"]

        try:
            yield read
        finally:
            process.terminate()


def until_asked(read: Callable[[str], Any], targets: int) -> None:
    """Wait until Prometheus has asked each of its targets a few times."""
    until = time.monotonic() + PATIENCE_S
    while True:
        with suppress(OSError):
            states = [each["health"] for each in read("targets")["activeTargets"]]
            counted = read(f"query?query={quote('count_over_time(sirend_windows_scored_total[1m])')}")["result"]
            if states == ["up"] * targets and sum(int(each["value"][1]) > 2 for each in counted) == targets:
                return
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.system
def test_a_prometheus_gets_every_metric_that_dashboard_and_alerts_ask_for(
    run: Run, pulse: PulseAudio, broker: Broker, tmp_path: Path
) -> None:
    port = free_port()
    daemon = run(
        f"site: main-5th\nmqtt: {{port: {broker.port}}}\nmetrics: {{enabled: true, port: {port}}}\n", pulse.environment
    )
    with broker.subscribe("sirend/+/health") as subscriber:
        daemon.until_logged("the first window is scored")
        health = json.loads(subscriber.next().payload)
        while not health["windows_scored"]:
            health = json.loads(subscriber.next().payload)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
            text = answer.read().decode()
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    asked = set(NAME.findall(" ".join([*drawn(), *(rule["expr"] for rule in rules())])))
    assert asked - {key[0] for key in samples} - OPTIONAL == set()
    assert samples["sirend_health", health["state"]] == 1.0
    assert samples["sirend_windows_scored_total",] >= health["windows_scored"] >= 1
    assert samples["sirend_uptime_seconds",] >= health["uptime_s"]
    assert samples["sirend_level_dbfs", "main"] <= 0.0
    assert samples["sirend_calls_total", "main"] == 0.0
    assert 0.0 <= samples["sirend_window_age_seconds",] < PATIENCE_S
    view, other = View(setup()), free_port()
    feed(view, 3)
    view.health = OF_A_PI
    with (
        Metrics(MetricsConfig(enabled=True, port=other), view),
        prometheus(tmp_path, f"127.0.0.1:{port}", f"127.0.0.1:{other}") as read,
    ):
        until_asked(read, targets=2)
        for expression in drawn():
            assert read(f"query?query={quote(expression)}")["result"], expression
        (group,) = read("rules")["groups"]
        assert {rule["name"]: rule["health"] for rule in group["rules"]} == dict.fromkeys(FIRES, "ok")
    assert daemon.stop() == 0
