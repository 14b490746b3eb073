"""``sirend fleet`` against a real broker with a thousand sites on it."""

from __future__ import annotations

import json
import re
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from tests.client.test_fleet import NOW, city, health
from tests.conftest import PATIENCE_S, free_port

from sirend.call.clock import utc_text
from sirend.cli import fleet_list as command
from sirend.cli.fleet_list import HEADER, FleetWatcher, ListView, ago, site_table, sums, watch
from sirend.cli.main import main
from sirend.client.fleet import Fleet
from sirend.config.settings import MqttConfig
from sirend.publish.mqtt.bounded_client import Incoming

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Broker

SITES = 1_000


def test_the_table_fits_and_says_what_is_wrong() -> None:
    fleet = city()
    lines = list(site_table(fleet.rows(NOW), NOW, 160, None))
    assert re.split(" {2,}", lines[0]) == list(HEADER)
    assert [re.split(" {2,}", line)[-1] for line in lines[1:6]] == [
        "not connected to the broker",
        "input lost: device_lost",
        "no health message for long",
        "its clock is 5.0 s behind",
        "noise floor 12 dB under that of its day",
    ]
    assert lines[1].startswith("OFFLINE  birch")
    assert "CALLING north" in next(line for line in lines if " oak " in line)
    assert "2 h north" in next(line for line in lines if " ash " in line)
    narrow = list(site_table(fleet.rows(NOW), NOW, 80, None))
    assert re.split(" {2,}", narrow[0]) == ["health", "site", "last call", "clock s", "what is wrong"]
    assert narrow[5].endswith("noise floor 12 dB under that of its day")
    short = list(site_table(fleet.rows(NOW), NOW, 40, 3))
    assert max(map(len, short[:-1])) <= 40
    assert short[-1] == "and 3 more; narrow it with --filter"
    assert sums(fleet, NOW) == "6 sites: 1 offline, 1 failed, 1 silent, 1 clock, 1 drift, 1 ok; 1 calling"


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0 s"), (119, "119 s"), (7199, "119 min"), (9000, "2 h"), (9e5, "10 d")]
)
def test_times_past_are_short(seconds: float, text: str) -> None:
    assert ago(seconds) == text


@pytest.mark.system
class Standstill:
    """A clock and a connection on a machine that stands still for five seconds between two messages."""

    answer = end = None
    is_accepted = True

    def __init__(self) -> None:
        self.now_s = 0.0
        self._turns = [("oak", 0.01), ("", 5.0), ("elm", 0.01)]

    def connect(self, _client: object, _wake: object, hear: Callable[[Incoming], None]) -> Standstill:
        self._hear = hear
        return self

    def open(self, *_: object) -> None:
        self.answer = "accepted"

    def subscribe(self, _topics: object) -> None:
        """Nothing is sent."""

    def leave(self) -> None:
        """Nothing is sent."""

    def monotonic(self) -> float:
        return self.now_s

    def monotonic_ns(self) -> int:
        return 0

    def turn(self, timeout_s: float) -> None:
        site, took_s = self._turns.pop(0) if self._turns else ("", timeout_s)
        self.now_s += took_s
        if site:
            self._hear(Incoming(f"sirend/{site}/availability", b"online", retained=True))


def test_a_machine_that_stands_still_is_no_sign_that_all_sites_have_come(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, fleet = Standstill(), Fleet("sirend")
    monkeypatch.setattr(command, "Connection", machine.connect)
    monkeypatch.setattr(command, "time", machine)
    with FleetWatcher(MqttConfig(), fleet) as watcher:
        watcher.settle()
    assert sorted(site.name for site in fleet.rows(NOW)) == ["elm", "oak"]
    assert machine.now_s == pytest.approx(5.02 + command.SETTLED_S, abs=0.15)


def test_a_thousand_sites_come_without_lag(
    make_broker: Callable[..., Broker],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = make_broker("allow_anonymous true", "max_queued_messages 0")
    broker.start()
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    now = utc_text(datetime.now(UTC))
    for number in range(SITES):
        root = f"sirend/site-{number:04d}"
        client.publish(f"{root}/availability", "offline" if number == 7 else "online", qos=1, retain=True)
        last = client.publish(f"{root}/health", health(at=now), qos=1, retain=True)
    last.wait_for_publish(PATIENCE_S)
    client.disconnect()
    client.loop_stop()
    (tmp_path / "city.yaml").write_text(f"site: city\nmqtt: {{port: {broker.port}}}\n")
    monkeypatch.setattr(command, "SETTLED_S", 0.5)
    began = time.monotonic()
    assert main(["fleet", "--config", str(tmp_path / "city.yaml"), "--json"]) == 0
    took_s = time.monotonic() - began
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == SITES
    assert rows[0]["site"] == "site-0007"
    assert rows[0]["trouble"] == "offline"
    assert took_s < 10.0
    assert main(["fleet", "--config", str(tmp_path / "city.yaml"), "--filter", "site-000", "--sort", "site"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[1:-1]] == [f"site-000{number}" for number in range(10)]
    assert lines[-1].startswith("1000 sites: 1 offline, ")
    stop, seen = threading.Event(), []

    def count(*_: object) -> str:
        seen.append(1)
        if len(seen) == 2:
            stop.set()
        return ""

    monkeypatch.setattr(command, "sums", count)
    watch(MqttConfig(port=broker.port), stop, ListView(follows=True))
    assert capsys.readouterr().out.count(command.CLEAR) == 2


def test_a_broker_that_is_away_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "city.yaml").write_text(f"site: city\nmqtt: {{port: {free_port()}}}\n")
    assert main(["fleet", "--config", str(tmp_path / "city.yaml")]) == 69
    assert "Connection refused; check mqtt.host" in capsys.readouterr().err
