"""A broker whose disk is full: a real one that can keep nothing, and one that acknowledges nothing because of it."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.publish.mqtt.hostile import Hostile
from tests.publish.mqtt.test_session import is_up, made, scribe, wait
from tests.transitions import CALL

from sirend.client import Subscription
from sirend.publish.mqtt.publisher import Mqtt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Broker

pytestmark = pytest.mark.system
STATE = "sirend/s/main/emergency"


FILL = 'dd if=/dev/zero of="$0/fill" bs=1k'
SMALL_DISK = f"""
mount -t tmpfs -o size=64k none "$0"
[ ! -e "$0.full" ] || {FILL}
exec "$@"
"""
"""What a broker begins in: a mount of its own, for which nobody needs to be root, full where a file beside it is."""


def test_a_broker_that_can_keep_nothing_and_restarts_carries_a_call_all_the_same(
    make_broker: Callable[..., Broker], tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    keeps = ("persistence true", f"persistence_location {disk}/", "autosave_interval 1", "autosave_on_changes true")
    broker = make_broker("allow_anonymous true", "log_dest stderr", f"log_dest file {disk}/log", *keeps)
    broker.configuration.write_text(broker.configuration.read_text().replace("persistence false\n", ""))
    broker.launcher = ("unshare", "--map-root-user", "--mount", "sh", "-c", SMALL_DISK, str(disk))
    broker.start()
    by, states = scribe(5.0), []
    with made("daemon", broker.port) as site, made("consumer", broker.port) as controller:
        assert isinstance(site, Mqtt)
        assert isinstance(controller, Subscription)
        wait(lambda: is_up(site) and is_up(controller))
        for second in range(20):
            site.publish(by.write(replace(CALL, refresh=second > 0)))
            if second == 3:
                fill = ["sh", "-c", FILL, f"/proc/{broker.pid}/root{disk}"]
                assert b"No space left" in subprocess.run(fill, check=False, capture_output=True).stderr
                disk.with_name("disk.full").touch()
            if second == 8:
                broker.kill()
                broker.start()
            time.sleep(1.0)
            states.append(controller.effective()[0].is_active)
        assert all(states)
        assert site.problem is None
        assert site.counts.refused == 0
    assert "No space left" in broker.log, "the disk of the second run was full too"


def test_a_broker_that_acknowledges_nothing_is_told_of_and_hears_the_call_as_soon_as_it_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Hostile(acknowledges=False) as broker, made("daemon", broker.port) as site:
        assert isinstance(site, Mqtt)
        by = scribe(60.0)
        site.publish(by.write(CALL))
        wait(lambda: "does not acknowledge messages" in caplog.text)
        broker.acknowledges = True
        before = len(broker.heard)
        began = time.monotonic()
        wait(lambda: STATE in [heard.topic for heard in broker.heard[before:] if heard.payload])
        assert time.monotonic() - began < 7.0
        wait(lambda: site.problem is None and site.counts.queued == 0)
