"""A site in a running Home Assistant: `make test-homeassistant` installs one and runs this; `make test` does not.

Home Assistant is a program of its own here, in an environment of its own, with a real mosquitto between. Its REST
interface says what it shows, its registry what it keeps, its log what it thinks of the messages.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.conftest import Broker, free_port
from tests.transitions import CALL, CLEAR

from sirend.call.clock import LiveClock
from sirend.call.scribe import Scribe
from sirend.config.settings import Approach, CallConfig, Config, HomeAssistantConfig, MqttConfig
from sirend.detect.arrival import Arrival
from sirend.publish.mqtt.backoff import Backoff
from sirend.publish.mqtt.home_assistant import discovery
from sirend.publish.mqtt.publisher import Mqtt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sirend.call.event import Event

PROGRAM = Path(os.environ["SIREND_HOME_ASSISTANT"]).absolute() / "bin" / "hass"
START_S = 600.0
"""At its first start it installs what its integrations need."""
TOKEN_ID, TOKEN_KEY = "a" * 32, "b" * 128
CONFIG = Config(
    site="elm-st",
    approaches=(Approach("north", 0), Approach("east", 1)),
    call=CallConfig(valid_for_s=3.0),
    home_assistant=HomeAssistantConfig(enabled=True),
)
HEALTH = {"state": "ok", "reasons": [], "levels_dbfs": {"north": -41.5, "east": None}}


def stored(key: str, data: dict[str, Any]) -> str:
    """Return a file of its storage."""
    return json.dumps({"version": 1, "minor_version": 1, "key": key, "data": data})


def user() -> dict[str, Any]:
    """Return its users: an owner, with a token that we know."""
    token = {
        "id": TOKEN_ID,
        "user_id": "c" * 32,
        "client_id": None,
        "client_name": "test",
        "client_icon": None,
        "token_type": "long_lived_access_token",
        "created_at": "2026-01-01T00:00:00+00:00",
        "access_token_expiration": 1e8,
        "token": "d" * 128,
        "jwt_key": TOKEN_KEY,
        "last_used_at": None,
        "last_used_ip": None,
        "expire_at": None,
        "credential_id": None,
        "version": None,
    }
    owner = {
        "id": "c" * 32,
        "group_ids": ["system-admin"],
        "is_owner": True,
        "is_active": True,
        "name": "owner",
        "system_generated": False,
        "local_only": False,
    }
    groups = [{"id": f"system-{each}", "name": each} for each in ("admin", "users", "read-only")]
    return {"users": [owner], "groups": groups, "credentials": [], "refresh_tokens": [token]}


def bearer() -> str:
    """Return the token as it is sent: a JSON Web Token."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    now = int(time.time())
    claim = {"iss": TOKEN_ID, "iat": now - 10, "exp": now + 100_000}
    said = f"{part(json.dumps({'alg': 'HS256', 'typ': 'JWT'}).encode())}.{part(json.dumps(claim).encode())}"
    return f"{said}.{part(hmac.new(TOKEN_KEY.encode(), said.encode(), hashlib.sha256).digest())}"


@dataclass
class HomeAssistant:
    """A running one."""

    folder: Path
    port: int

    def states(self) -> dict[str, dict[str, Any]]:
        """Return what it shows of each entity of ours."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/states", headers={"Authorization": f"Bearer {bearer()}"}
        )
        with urllib.request.urlopen(request, timeout=10.0) as answer:  # noqa: S310  of this machine
            return {each["entity_id"]: each for each in json.load(answer) if "siren_detector" in each["entity_id"]}

    def state(self, entity: str) -> str | None:
        """Return the state of an entity; None where there is none."""
        found = self.states().get(entity)
        return None if found is None else str(found["state"])

    @property
    def complaints(self) -> list[str]:
        """Lines of its log about MQTT and templates that are warnings or worse."""
        lines = (self.folder / "out").read_text(errors="replace").splitlines()
        about = ("mqtt", "template", "sensor", "discovery")
        return [line for line in lines if (" WARNING " in line or " ERROR " in line) and any(w in line for w in about)]

    def kept(self, name: str) -> dict[str, Any]:
        """Return a file of its storage."""
        data: dict[str, Any] = json.loads((self.folder / ".storage" / name).read_text())["data"]
        return data


def wait(condition: Callable[[], bool], limit_s: float = 60.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


@contextmanager
def running(folder: Path, port: int) -> Iterator[HomeAssistant]:
    """Run it until the ``with`` block ends."""
    made = HomeAssistant(folder, port)
    with (folder / "out").open("ab") as out:
        process = subprocess.Popen([PROGRAM, "-c", str(folder)], stdout=out, stderr=out, start_new_session=True)
    try:

        def is_up() -> bool:
            assert process.poll() is None, (folder / "out").read_text()[-3000:]
            try:
                made.states()
            except (OSError, urllib.error.URLError):
                return False
            return True

        wait(is_up, START_S)
        yield made
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60.0)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HomeAssistant, Broker]]:
    """Return a Home Assistant that is connected to a mosquitto."""
    folder = tmp_path_factory.mktemp("home-assistant")
    broker, port = Broker(folder), free_port()
    broker.start()
    (folder / ".storage").mkdir()
    (folder / ".storage" / "auth").write_text(stored("auth", user()))
    entry = {
        "entry_id": "e" * 32, "version": 1, "minor_version": 1, "domain": "mqtt", "title": "broker",
        "data": {"broker": "127.0.0.1", "port": broker.port}, "options": {}, "source": "user", "unique_id": None,
        "disabled_by": None, "pref_disable_new_entities": False, "pref_disable_polling": False,
        "created_at": "2026-01-01T00:00:00+00:00", "modified_at": "2026-01-01T00:00:00+00:00", "discovery_keys": {},
        "subentries": [],
    }  # fmt: skip
    (folder / ".storage" / "core.config_entries").write_text(stored("core.config_entries", {"entries": [entry]}))
    (folder / "configuration.yaml").write_text(
        f"homeassistant: {{name: test}}\nhttp: {{server_host: 127.0.0.1, server_port: {port}}}\n"
        "logger: {default: warning}\napi:\n"
    )
    with running(folder, port) as home:
        yield home, broker
    broker.stop()


def site(broker: Broker) -> Mqtt:
    """Return the daemon's own sink, with its discovery."""
    config = replace(CONFIG, mqtt=MqttConfig(port=broker.port))
    names = [approach.name for approach in config.approaches]
    return Mqtt(config.mqtt, config.site, names, announcements=discovery(config), backoff=Backoff(0.05, 0.5))


def told(transition: Any) -> Event:  # noqa: ANN401  a transition of the tests
    clock = LiveClock(arrived=lambda: 0)
    scribe = Scribe(site="elm-st", boot_id="b", mode="live", model="m", clock=clock, valid_for_s=3.0)
    return scribe.write(replace(transition, approach="north"))


NORTH = "binary_sensor.siren_detector_elm_st_emergency_north"
EAST = "binary_sensor.siren_detector_elm_st_emergency_east"
LEVEL = "sensor.siren_detector_elm_st_level_north"
SILENT = "sensor.siren_detector_elm_st_level_east"
TO_GO = "sensor.siren_detector_elm_st_time_to_go_north"
TO_GO_EAST = "sensor.siren_detector_elm_st_time_to_go_east"
WELL = "sensor.siren_detector_elm_st_health"


def test_a_site_appears_calls_clears_and_goes_without_a_warning(house: tuple[HomeAssistant, Broker]) -> None:
    home, broker = house
    with site(broker) as sink:
        sink.health(HEALTH)
        wait(lambda: home.state(WELL) == "ok")
        assert set(home.states()) == {NORTH, EAST, LEVEL, SILENT, WELL, TO_GO, TO_GO_EAST}
        wait(lambda: home.state(LEVEL) == "-41.5")
        assert home.state(SILENT) == "unknown"  # no window of it was heard yet

        sink.publish(told(CALL))
        wait(lambda: home.state(NORTH) == "on")
        assert home.states()[NORTH]["attributes"]["site"] == "elm-st"
        assert home.states()[NORTH]["attributes"]["device_class"] == "safety"
        assert home.state(EAST) != "on"
        sink.publish(told(CLEAR))
        wait(lambda: home.state(NORTH) == "off")

        # One that nobody repeats any longer goes off by itself.
        sink.publish(told(CALL))
        wait(lambda: home.state(NORTH) == "on")
        wait(lambda: home.state(NORTH) == "off", 10.0)

        sink.health({**HEALTH, "state": "degraded", "levels_dbfs": {"north": -120.0, "east": -50.0}})
        wait(lambda: home.state(WELL) == "degraded")
        assert home.state(SILENT) == "-50.0"
    wait(lambda: home.state(NORTH) == home.state(WELL) == "unavailable")
    assert home.complaints == []


def test_a_time_to_go_that_nobody_repeats_does_not_stand(house: tuple[HomeAssistant, Broker]) -> None:
    """It stood among the attributes of a call for as long as the daemon was dead."""
    home, broker = house
    with site(broker) as sink:
        sink.publish(told(replace(CALL, arrival=Arrival(6.04, 3.21, 8.96))))
        wait(lambda: home.state(TO_GO) == "6.0")
        shown = home.states()
        assert shown[TO_GO]["attributes"]["eta_low_s"] == 3.2
        assert shown[TO_GO]["attributes"]["eta_high_s"] == 9.0
        assert shown[NORTH]["state"] == "on"
        assert shown[NORTH]["attributes"]["reason"] == "siren"
        wait(lambda: home.state(TO_GO) == "unavailable", 10.0)  # the daemon says it no more, and is not gone either
        wait(lambda: home.state(NORTH) == "off", 10.0)
        shown = home.states()
        assert not any("eta" in key for name in (NORTH, TO_GO) for key in shown[name]["attributes"])
        sink.publish(told(CALL))
        wait(lambda: home.state(TO_GO) == "unknown")
        sink.publish(told(CLEAR))
        wait(lambda: home.state(NORTH) == "off")
    assert home.complaints == []


def test_empty_retained_states_are_survived_without_a_warning(house: tuple[HomeAssistant, Broker]) -> None:
    home, broker = house
    with site(broker) as sink:
        sink.health(HEALTH)
        sink.publish(told(CLEAR))
        wait(lambda: home.state(NORTH) == "off")
        with broker.subscribe("sirend/#") as anyone:
            for topic in ("north/emergency", "east/emergency", "health", "availability"):
                anyone.publish(f"sirend/elm-st/{topic}", "", retain=True)
        time.sleep(2.0)
        assert home.complaints == []
        sink.publish(told(CALL))
        wait(lambda: home.state(NORTH) == "on")
    wait(lambda: home.state(NORTH) == "unavailable")
    assert home.complaints == []


def test_the_registry_keeps_one_device_with_its_entities(house: tuple[HomeAssistant, Broker]) -> None:
    home, broker = house
    with site(broker) as sink:
        sink.health(HEALTH)
        wait((home.folder / ".storage" / "core.entity_registry").exists, 90.0)
        entities = {each["entity_id"]: each for each in home.kept("core.entity_registry")["entities"]}
    ours = {name: each for name, each in entities.items() if each["platform"] == "mqtt"}
    assert set(ours) == {NORTH, EAST, LEVEL, SILENT, WELL, TO_GO, TO_GO_EAST}
    assert {each["unique_id"] for each in ours.values()} == {
        f"sirend-elm-st-{name}"
        for name in (
            *(f"{leg}-{what}" for leg in ("north", "east") for what in ("emergency", "level", "eta")),
            "health",
        )
    }
    assert {ours[name]["entity_category"] for name in (LEVEL, SILENT, WELL)} == {"diagnostic"}
    (device,) = home.kept("core.device_registry")["devices"][-1:]
    assert device["name"] == "Siren detector elm-st"
    assert {each["device_id"] for each in ours.values()} == {device["id"]}
