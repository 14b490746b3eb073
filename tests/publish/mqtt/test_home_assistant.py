from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import sirend
from sirend.config.settings import Approach, CallConfig, Config, HomeAssistantConfig, MqttConfig
from sirend.publish.mqtt.backoff import Backoff
from sirend.publish.mqtt.home_assistant import discovery
from sirend.publish.mqtt.publisher import Mqtt

if TYPE_CHECKING:
    from tests.conftest import Broker

CONFIG = Config(
    site="elm-st",
    approaches=(Approach("north", 0), Approach("east", 1)),
    call=CallConfig(valid_for_s=7.5),
    mqtt=MqttConfig(prefix="city/sirens"),
    home_assistant=HomeAssistantConfig(enabled=True),
)
COMMON = {
    "availability_topic", "payload_available", "payload_not_available", "device", "origin", "qos", "name", "unique_id",
    "value_template", "json_attributes_topic", "entity_category", "device_class", "expire_after", "state_topic",
    "json_attributes_template",
}  # fmt: skip
KNOWN = {
    "binary_sensor": COMMON | {"icon", "payload_on", "payload_off", "off_delay"},
    "sensor": COMMON | {"icon", "unit_of_measurement", "state_class", "options", "suggested_display_precision"},
}
"""The options of https://www.home-assistant.io/integrations/binary_sensor.mqtt and sensor.mqtt that are used here:
Home Assistant refuses a message with any that it does not know."""


def told(config: Config = CONFIG) -> dict[str, dict[str, Any]]:
    return {topic: json.loads(payload) for topic, payload in discovery(config).items()}


def test_it_is_off_by_default() -> None:
    assert discovery(Config()) == {}


def test_every_entity_has_its_topic() -> None:
    assert sorted(told()) == [
        "homeassistant/binary_sensor/sirend-elm-st/east-emergency/config",
        "homeassistant/binary_sensor/sirend-elm-st/north-emergency/config",
        "homeassistant/sensor/sirend-elm-st/east-eta/config",
        "homeassistant/sensor/sirend-elm-st/east-level/config",
        "homeassistant/sensor/sirend-elm-st/health/config",
        "homeassistant/sensor/sirend-elm-st/north-eta/config",
        "homeassistant/sensor/sirend-elm-st/north-level/config",
    ]
    assert all(
        topic.startswith("ha/x/") for topic in told(replace(CONFIG, home_assistant=HomeAssistantConfig(True, "ha/x")))
    )


def test_the_messages_have_what_the_discovery_schema_asks_for_and_nothing_unknown() -> None:
    identifiers = set()
    for topic, message in told().items():
        component = topic.split("/")[1]
        assert set(message) <= KNOWN[component]
        assert {"state_topic", "unique_id", "name", "device", "origin"} <= set(message)
        assert message["device"]["identifiers"] == ["sirend-elm-st"]
        assert message["origin"] == {"name": "sirend", "sw_version": sirend.__version__}
        assert message["availability_topic"] == "city/sirens/elm-st/availability"
        assert (message["payload_available"], message["payload_not_available"]) == ("online", "offline")
        if message.get("device_class") == "enum":  # then there are options, no unit and no state class
            assert "options" in message
            assert not {"unit_of_measurement", "state_class"} & set(message)
        assert message.get("entity_category") in (None, "diagnostic")
        identifiers.add(message["unique_id"])
    assert len(identifiers) == 7


def test_an_emergency_is_a_binary_sensor_that_goes_off_by_itself() -> None:
    sensor = told()["homeassistant/binary_sensor/sirend-elm-st/north-emergency/config"]
    assert sensor["state_topic"] == sensor["json_attributes_topic"] == "city/sirens/elm-st/north/emergency"
    assert sensor["off_delay"] == 8
    assert (sensor["payload_on"], sensor["payload_off"], sensor["device_class"]) == ("ON", "OFF", "sound")
    assert "value_json.state == 'approaching'" in sensor["value_template"]


def test_a_time_to_go_expires_and_is_no_attribute_that_stands() -> None:
    messages = told()
    sensor = messages["homeassistant/sensor/sirend-elm-st/north-eta/config"]
    assert (sensor["state_topic"], sensor["expire_after"]) == ("city/sirens/elm-st/north/emergency", 8)
    call = messages["homeassistant/binary_sensor/sirend-elm-st/north-emergency/config"]
    assert "rejectattr(0, 'in', ['eta_s', 'eta_low_s', 'eta_high_s'])" in call["json_attributes_template"]


def test_level_and_health_are_read_from_the_health_message() -> None:
    messages = told()
    level = messages["homeassistant/sensor/sirend-elm-st/north-level/config"]
    assert level["state_topic"] == "city/sirens/elm-st/health"
    assert level["value_template"] == "{{ value_json.levels_dbfs['north'] if value_json is defined else 'None' }}"
    health = messages["homeassistant/sensor/sirend-elm-st/health/config"]
    assert health["value_template"] == "{{ value_json.state if value_json is defined else 'None' }}"
    assert health["json_attributes_template"] == "{{ value if value_json is defined else '{}' }}"
    assert health["options"] == ["ok", "degraded", "failed"]


@pytest.mark.system
def test_they_are_retained_and_told_again_to_a_broker_that_forgot(broker: Broker) -> None:
    announcements = discovery(CONFIG)
    sink = Mqtt(
        MqttConfig(port=broker.port), "elm-st", ["north"], announcements=announcements, backoff=Backoff(0.02, 0.1)
    )
    with sink:
        for _ in range(2):
            with broker.subscribe("homeassistant/#") as reader:
                received = reader.take(len(announcements))
                assert {message.topic: message.payload.encode() for message in received} == announcements
                assert all(message.retain for message in received)
            broker.restart()
