"""The campaign of ``make chaos``, for some seconds of a seed."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest
from tests.chaos.campaign import KEY, TOPICS, VALID_S, Site, campaign
from tests.publish.mqtt.test_session import wait

from sirend.client import Consumer, Keyring, Subscription
from sirend.config.settings import MqttConfig

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Broker


@pytest.mark.system
def test_some_seconds_of_chaos_find_nothing() -> None:
    made = campaign(minutes=0.1, seed=7, end_s=10.0)
    assert made.findings == []
    assert made.called_s > 1.0


@pytest.mark.system
@pytest.mark.parametrize("left_mb", [0.0, 1.0])
def test_a_daemon_without_memory_comes_back_to_its_broker_or_ends_and_is_started_anew(
    broker: Broker, tmp_path: Path, left_mb: float
) -> None:
    """It started a thread for each connection, and where there was no memory for that waited for it for ever."""
    (tmp_path / "key").write_bytes(KEY)
    site = Site(broker.port, tmp_path, "site")
    consumer = Consumer(TOPICS, ["main"], Keyring.of(KEY))
    try:
        site.start()
        site.sound(siren=True)
        with Subscription(MqttConfig(port=broker.port), consumer) as listening:
            wait(lambda: listening.effective()[0].is_active)
            site.limit_memory(left_mb)
            broker.kill()
            time.sleep(1.0)
            broker.start()
            lapsed_by = time.monotonic() + 2.0 * VALID_S
            while time.monotonic() < lapsed_by and site.is_running:
                time.sleep(0.05)
            wait(lambda: listening.effective()[0].is_active or not site.is_running)
            if site.is_running:
                return
            wait(lambda: not listening.effective()[0].is_active)
            site.start()
            wait(lambda: listening.effective()[0].is_active)
    finally:
        site.stop(signal.SIGKILL)
