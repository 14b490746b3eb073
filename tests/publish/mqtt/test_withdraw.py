from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sirend.config.settings import Approach, Config, HomeAssistantConfig, MqttConfig
from sirend.publish.mqtt import withdraw

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Broker

pytestmark = pytest.mark.system


def config(port: int) -> Config:
    return Config(
        site="elm",
        approaches=(Approach("north", 0), Approach("east", 1)),
        mqtt=MqttConfig(port=port),
        home_assistant=HomeAssistantConfig(enabled=True),
    )


def test_nothing_of_a_site_is_left_and_nothing_else_is_touched(broker: Broker) -> None:
    site = config(broker.port)
    with broker.subscribe("nothing") as publisher:
        for topic in (*withdraw.retained(site), "sirend/oak/availability"):
            publisher.publish(topic, "x", retain=True)
    assert withdraw.withdraw(site) == []
    with broker.subscribe("#") as late:
        late.publish("end", "")
        assert [message.topic for message in late.until("end")] == ["sirend/oak/availability", "end"]


def test_what_cannot_be_removed_is_named_with_the_command_that_does_it(
    make_broker: Callable[..., Broker], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "acl").write_text("topic readwrite sirend/elm/+/emergency\ntopic readwrite sirend/elm/health\n")
    broker = make_broker("allow_anonymous true", f"acl_file {tmp_path / 'acl'}")
    broker.start()
    site = replace(config(broker.port), home_assistant=HomeAssistantConfig())
    assert withdraw.withdraw(site) == ["sirend/elm/selftest", "sirend/elm/availability"]
    (tmp_path / "c.yaml").write_text(f"site: elm\nmqtt: {{port: {broker.port}}}\n")
    assert withdraw.main([str(tmp_path / "c.yaml")]) == 69
    assert capsys.readouterr().out == (
        "messages of elm may still stand at 127.0.0.1; these commands remove them:\n"
        f"  mosquitto_pub -h 127.0.0.1 -p {broker.port} -q 1 -r -n -t sirend/elm/selftest\n"
        f"  mosquitto_pub -h 127.0.0.1 -p {broker.port} -q 1 -r -n -t sirend/elm/availability\n"
    )
    broker.stop()
    assert withdraw.main([str(tmp_path / "c.yaml")]) == 69
    assert "-t sirend/elm/main/emergency\n" in capsys.readouterr().out
