"""MQTT discovery: what Home Assistant is told, so that a site appears there by itself.

Form: https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery. It only reads; nothing here can make a call.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import sirend
from sirend.call import eta
from sirend.publish.mqtt.topics import Topics
from sirend.signing import canonical

if TYPE_CHECKING:
    from sirend.config.settings import Config

HEALTH_LATE_S = 90
"""A level that nobody spoke of for so long is unknown: health comes every 30 s."""

_IS_JSON = "value_json is defined"
"""An empty message, by which retained ones are removed, is none; `None` is what Home Assistant takes for unknown."""
_ATTRIBUTES = f"{{{{ value if {_IS_JSON} else '{{}}' }}}}"
_SOME = "{{{{ dict(value_json.items() | {}attr(0, 'in', {})) | tojson if {} else '{{}}' }}}}"
_LASTING = _SOME.format("reject", list(eta.KEYS), _IS_JSON)
"""Attributes stand until the next message; a time to go that nobody repeats any more must not, so it is not among them
but an entity of its own, which expires."""
_TIMES = _SOME.format("select", list(eta.KEYS[1:]), _IS_JSON)


def discovery(config: Config) -> dict[str, bytes]:
    """Return the retained messages by topic; none where ``home_assistant.enabled`` is false."""
    settings = config.home_assistant
    if not settings.enabled:
        return {}
    topics = Topics(config.mqtt.prefix, config.site)
    node = f"sirend-{config.site}"
    common: dict[str, Any] = {
        "availability_topic": topics.availability,
        "payload_available": "online",
        "payload_not_available": "offline",
        "device": {"identifiers": [node], "name": f"Siren detector {config.site}", "sw_version": sirend.__version__},
        "origin": {"name": "sirend", "sw_version": sirend.__version__},
        "qos": 1,
    }
    entities: dict[str, dict[str, Any]] = {
        "sensor/health": {
            "name": "Health",
            "state_topic": topics.health,
            "value_template": f"{{{{ value_json.state if {_IS_JSON} else 'None' }}}}",
            "device_class": "enum",
            "options": ["ok", "degraded", "failed"],
            "json_attributes_topic": topics.health,
            "json_attributes_template": _ATTRIBUTES,
            "entity_category": "diagnostic",
        }
    }
    for approach in config.approaches:
        name = approach.name
        entities[f"binary_sensor/{name}-emergency"] = {
            "name": f"Emergency {name}",
            "state_topic": topics.state(name),
            "value_template": f"{{{{ 'ON' if {_IS_JSON} and value_json.state == 'approaching' else 'OFF' }}}}",
            "payload_on": "ON",
            "payload_off": "OFF",
            # A state is repeated every second while it stands; one that is not must be taken as clear.
            "off_delay": math.ceil(config.call.valid_for_s),
            "device_class": "sound",  # shown as "Detected" and "Clear"; "Safe" would say more than a microphone knows
            "icon": "mdi:alarm-light",
            "json_attributes_topic": topics.state(name),
            "json_attributes_template": _LASTING,
        }
        entities[f"sensor/{name}-eta"] = {
            "name": f"Time to go {name}",
            "state_topic": topics.state(name),
            "value_template": f"{{{{ value_json.eta_s if {_IS_JSON} and value_json.eta_s is defined else 'None' }}}}",
            # No device class: of a duration the unit is not shown.
            "icon": "mdi:timer-outline",
            "unit_of_measurement": "s",
            "suggested_display_precision": 0,
            "expire_after": math.ceil(config.call.valid_for_s),
            "json_attributes_topic": topics.state(name),
            "json_attributes_template": _TIMES,
        }
        entities[f"sensor/{name}-level"] = {
            "name": f"Level {name}",
            "state_topic": topics.health,
            "value_template": f"{{{{ value_json.levels_dbfs['{name}'] if {_IS_JSON} else 'None' }}}}",
            "unit_of_measurement": "dBFS",
            "state_class": "measurement",
            "expire_after": HEALTH_LATE_S,
            "entity_category": "diagnostic",
        }
    return {
        f"{settings.prefix}/{component}/{node}/{name}/config": canonical(
            {**common, **entity, "unique_id": f"{node}-{name}"}
        ).encode()
        for (component, name), entity in ((key.split("/"), entity) for key, entity in entities.items())
    }
