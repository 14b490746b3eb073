from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.conftest import free_port

from sirend.cli.doctor.broker import broker
from sirend.config.settings import Approach, Config, MqttConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Broker

pytestmark = pytest.mark.system


def config(port: int) -> Config:
    return Config(site="elm", approaches=(Approach("north"), Approach("south")), mqtt=MqttConfig(port=port))


def lines(port: int, *, is_stopped: bool = False) -> list[str]:
    return [finding.line() for finding in broker(config(port), is_stopped=is_stopped)]


def test_a_broker_that_takes_everything_is_well(broker: Broker) -> None:
    with broker.subscribe() as subscriber:
        found = lines(broker.port)
        assert [line[:22].split() for line in found] == [
            ["ok", "broker"], ["ok", "round", "trip"], ["ok", "rights"], ["not", "tried", "rights"],
        ]  # fmt: skip
        assert "may write sirend/elm/north/event, sirend/elm/south/event" in found[2]
        received = subscriber.take(2)
        assert [(each.topic, each.payload, each.retain) for each in received] == [
            ("sirend/elm/north/event", "", False),
            ("sirend/elm/south/event", "", False),
        ]
        assert all(each.expiry_s == 1 for each in received)
        found = lines(broker.port, is_stopped=True)
        assert "sirend/elm/availability" in found[2]
        assert not any("not tried" in line for line in found)
        assert not any(each.retain for each in subscriber.take(7))


def test_topics_that_may_not_be_written_are_named(make_broker: Callable[..., Broker], tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic write sirend/elm/north/event\ntopic write sirend/elm/health\n")
    strict = make_broker("allow_anonymous true", f"acl_file {acl}")
    strict.start()
    found = lines(strict.port)
    assert "FAULT      rights       may not write sirend/elm/south/event; correct the broker's access rules" in found
    assert "sirend/elm/health" not in next(line for line in lines(strict.port, is_stopped=True) if "may not" in line)


def test_a_broker_that_is_away_or_refuses_is_a_fault_without_secrets(
    make_broker: Callable[..., Broker], tmp_path: Path
) -> None:
    (found,) = lines(free_port())
    assert found.startswith("FAULT")
    assert "Connection refused; check mqtt.host" in found
    (tmp_path / "passwords").write_text("")
    (tmp_path / "secret").write_text("open sesame\n")
    closed = make_broker("allow_anonymous false", f"password_file {tmp_path / 'passwords'}")
    closed.start()
    settings = Config(
        mqtt=MqttConfig(port=closed.port, username="elm", password_file=tmp_path / "secret"),
    )
    (refused,) = broker(settings, is_stopped=False)
    assert refused.grade == "FAULT"
    assert "ot authorized" in refused.text
    assert "sesame" not in refused.text
