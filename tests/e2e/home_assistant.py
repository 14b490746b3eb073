"""A site in a running Home Assistant: `make test-homeassistant` installs one and runs this; `make test` does not.

Home Assistant is a program of its own here, in an environment of its own, with a real mosquitto between. Its REST
interface says what it shows, its registry what it keeps, its log what it thinks of the messages. Its page is looked at
in Chromium, and photographed into build/: home-assistant-device.png and home-assistant-overview.png.
"""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.conftest import Broker, free_port
from tests.e2e.home_assistant_program import WORDS, HomeAssistant, prepare, running, wait
from tests.e2e.webdriver import Browser
from tests.transitions import CALL, CLEAR

from sirend.call.clock import LiveClock
from sirend.call.scribe import Scribe
from sirend.config.settings import Approach, CallConfig, Config, HomeAssistantConfig, MqttConfig
from sirend.detect.arrival import Arrival
from sirend.publish.mqtt.backoff import Backoff
from sirend.publish.mqtt.home_assistant import discovery
from sirend.publish.mqtt.publisher import Mqtt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sirend.call.event import Event

PROGRAM = Path(os.environ["SIREND_HOME_ASSISTANT"]).absolute() / "bin" / "hass"
PICTURES = Path(__file__).parents[2] / "build"
CONFIG = Config(
    site="elm-st",
    approaches=(Approach("north", 0), Approach("east", 1)),
    call=CallConfig(valid_for_s=3.0),
    home_assistant=HomeAssistantConfig(enabled=True),
)
HEALTH = {"state": "ok", "reasons": [], "levels_dbfs": {"north": -41.5, "east": None}}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HomeAssistant, Broker]]:
    """Return a Home Assistant that is connected to a mosquitto."""
    folder = tmp_path_factory.mktemp("home-assistant")
    broker, port = Broker(folder), free_port()
    broker.start()
    prepare(folder, port, broker.port)
    with running(PROGRAM, folder, port) as home:
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
        assert home.states()[NORTH]["attributes"]["device_class"] == "sound"
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


def test_its_own_page_shows_the_site_in_words(house: tuple[HomeAssistant, Broker], tmp_path: Path) -> None:
    """It said `Unsafe` and `Safe`, as if a microphone could know the latter, and `6` without a unit."""
    home, broker = house
    call = replace(CALL, arrival=Arrival(6.04, 3.21, 8.96))
    sensors = {"Emergency north": "Detected", "Emergency east": "Clear", "Time to go north": "6 s"}
    diagnostics = {"Health": "ok", "Level north": "-41.5 dBFS", "Level east": "-50.0 dBFS"}
    pages = {
        "device": ("config/devices/device/{device}", sensors | diagnostics),
        "overview": ("lovelace/0", sensors),
    }
    with site(broker) as sink, Browser(tmp_path, 1280, 900) as browser:
        sink.health({**HEALTH, "levels_dbfs": {"north": -41.5, "east": -50.0}})
        sink.publish(replace(told(CLEAR), approach="east"))
        wait(lambda: home.state(EAST) == "off")
        home.log_in(browser)
        for name, (path, shown) in pages.items():
            browser.open(f"http://127.0.0.1:{home.port}/{path.format(device=home.device_of(NORTH))}")

            def is_shown(shown: dict[str, str] = shown) -> bool:
                sink.publish(told(call))  # as the daemon does, again and again while it stands
                words = browser.run(WORDS)
                beside = dict(itertools.pairwise(words))
                return all(beside.get(what) == value for what, value in shown.items())

            wait(is_shown)
            assert "Siren detector elm-st" in browser.run(WORDS)
            browser.picture(PICTURES / f"home-assistant-{name}.png")
    assert home.complaints == []
