from __future__ import annotations

import socket
import sys
import threading
import urllib.request
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.conftest import free_port
from tests.observe.test_snapshot import feed, feed_call, setup

from sirend.audio.stream import Samples
from sirend.config.settings import MetricsConfig
from sirend.detect.arrival import Arrival
from sirend.detect.bearing import Bearing
from sirend.detect.motion import Motion
from sirend.errors import ConfigError
from sirend.observe.metrics import Metrics
from sirend.observe.snapshot import View

if TYPE_CHECKING:
    from collections.abc import Mapping

HEALTH = {
    "state": "degraded",
    "reasons": ["broker: gone"],
    "dropped_samples": 320,
    "gaps": 1,
    "clock_steps": 2,
    "journal_failures": 3,
    "uptime_s": 12.5,
    "cpu_percent": 4.5,
    "rss_mb": 90.1,
    "temperature_c": None,
    "floors_dbfs": {"north": -52.5, "south": None},
    "floor_drifts_db": {"north": 6.5, "south": None},
    "outbox": {
        "connected": False,
        "queued": 2,
        "published": 7,
        "dropped_expired": 5,
        "dropped_full": 0,
        "refused": 1,
        "reconnects": 4,
    },
}


def scrape(port: int) -> Mapping[tuple[str, str], float]:
    """Return every sample by its name and the values of its labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60.0) as answer:
        text = answer.read().decode()
    return {
        (sample.name, " ".join(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_calibrated_microphone_has_its_sound_pressure_level() -> None:
    view = View(replace(setup("north"), dbfs_of_94_db=-30.0))
    port = free_port()
    with Metrics(MetricsConfig(enabled=True, port=port), view):
        feed(view, 1)
        found = scrape(port)
    assert found["sirend_level_db", "north"] == pytest.approx(found["sirend_level_dbfs", "north"] + 124.0)


def test_the_numbers_are_those_of_health_and_of_the_latest_window() -> None:
    view = View(setup("north", "south"))
    port = free_port()
    with Metrics(MetricsConfig(enabled=True, port=port), view) as metrics:
        assert scrape(port)["sirend_windows_scored_total", ""] == 0
        feed(view, 3)
        view.health = HEALTH
        got = scrape(port)
        assert metrics.problem is None
        floors = {key: value for key, value in got.items() if key[0].startswith("sirend_floor")}
        assert floors == {("sirend_floor_dbfs", "north"): -52.5, ("sirend_floor_drift_db", "north"): 6.5}
    expected = {
        ("sirend_info", "default m@0 main-5th 0.0.0"): 1,
        ("sirend_health", "ok"): 0,
        ("sirend_health", "degraded"): 1,
        ("sirend_health_reasons", ""): 1,
        ("sirend_windows_scored_total", ""): 3,
        ("sirend_dropped_samples_total", ""): 320,
        ("sirend_gaps_total", ""): 1,
        ("sirend_clock_steps_total", ""): 2,
        ("sirend_journal_failures_total", ""): 3,
        ("sirend_uptime_seconds", ""): 12.5,
        ("sirend_cpu_percent", ""): 4.5,
        ("sirend_rss_megabytes", ""): 90.1,
        ("sirend_level_dbfs", "north"): -40,
        ("sirend_score", "south"): 0.25,
        ("sirend_evidence", "south"): 0.5,
        ("sirend_call", "north"): 0,
        ("sirend_calls_total", "north"): 0,
        ("sirend_mqtt_connected", ""): 0,
        ("sirend_mqtt_published_total", ""): 7,
        ("sirend_mqtt_lost_total", "dropped_expired"): 5,
        ("sirend_mqtt_lost_total", "refused"): 1,
    }
    assert {key: got[key] for key in expected} == expected
    assert ("sirend_temperature_celsius", "") not in got
    with pytest.raises(OSError, match="refused"):
        scrape(port)


def test_a_port_that_is_taken_is_a_problem_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    config = MetricsConfig(enabled=True, port=port)
    with Metrics(config, View(setup())), Metrics(config, View(setup())) as second:
        problem = f"metrics: 127.0.0.1:{port} cannot be listened on: Address already in use"
        assert second.problem == problem
    assert caplog.messages == [f"{problem}; detection goes on without"]


def test_a_missing_extra_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigError, match=r"sudo make install EXTRAS=metrics, or make venv EXTRAS=metrics"):
        Metrics(MetricsConfig(enabled=True), View(setup()))


def test_hundreds_of_idle_connections_take_no_thread_and_few_descriptors() -> None:
    port, threads = free_port(), threading.active_count()
    with Metrics(MetricsConfig(enabled=True, port=port), View(setup())), ExitStack() as idle:
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(300):
            idle.enter_context(socket.create_connection(("127.0.0.1", port), 60.0))
        assert scrape(port)["sirend_windows_scored_total", ""] == 0
        assert threading.active_count() - threads <= 2  # one that serves, one that looked the address up
        assert len(list(Path("/proc/self/fd").iterdir())) - before - 300 <= 20


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (b"GET /\xff HTTP/1.1\r\nAccept: \xff\r\nnonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n"),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n"),
        (b"POST / HTTP/1.1\r\n\r\n", b"HTTP/1.1 405 Method Not Allowed\r\n"),
        (b"\r\n\r\n", b"HTTP/1.1 405 Method Not Allowed\r\n"),
    ],
)
def test_whatever_is_asked_is_answered_once(request_: bytes, answer: bytes, caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    with Metrics(MetricsConfig(enabled=True, port=port), View(setup())) as metrics:
        with socket.create_connection(("127.0.0.1", port), 60.0) as connection:
            connection.sendall(request_)
            text = b""
            while part := connection.recv(65_536):
                text += part
        assert metrics.problem is None
    assert text.startswith(answer)
    assert (b"sirend_windows_scored_total" in text) == request_.startswith(b"GET")
    assert caplog.messages == []


def test_a_bug_in_collecting_is_a_problem_until_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    with Metrics(MetricsConfig(enabled=True, port=port), View(setup())) as metrics:
        with monkeypatch.context() as broken:
            broken.setattr(View, "calls", lambda _: 1 / 0)
            with pytest.raises(OSError, match="closed"):
                scrape(port)
        assert metrics.problem == "metrics: a bug; the log has it"
        scrape(port)
        assert metrics.problem is None


def test_the_bearing_of_a_siren_is_a_number_and_absent_while_none_is_known() -> None:
    view = View(setup("north", "main"))
    port = free_port()
    with Metrics(MetricsConfig(enabled=True, port=port), view):
        feed(view, 1)
        before = scrape(port)
        feed(view, 1, first=2, bearing=Bearing(Samples(0), 359.97, 4.25))
        after = scrape(port)
    assert ("sirend_bearing_degrees", "") not in before
    assert after["sirend_bearing_degrees", ""] == 0.0
    assert after["sirend_bearing_sd_degrees", ""] == 4.2


def test_the_time_to_go_has_samples_only_while_a_call_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    view = View(setup("north", "main"))
    port = free_port()
    names = {f"sirend_eta_{each}seconds" for each in ("", "low_", "high_")}
    with Metrics(MetricsConfig(enabled=True, port=port), view):
        feed_call(view, Arrival(6.04, 3.21, 8.96), Motion.APPROACHING)
        during = scrape(port)
        monkeypatch.setattr(View, "age_s", lambda _: 2.5)
        old = scrape(port)
        monkeypatch.undo()
        feed_call(view, None, Motion.APPROACHING)
        after = scrape(port)
    assert [during[f"sirend_eta_{each}seconds", "north"] for each in ("", "low_", "high_")] == [6.0, 3.2, 9.0]
    assert not any(name in names for name, _ in (*old, *after))
