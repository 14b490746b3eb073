"""``sirend listen`` beside a real broker."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from sirend.audio import Samples
from sirend.debounce import CallState, Reason, Transition
from sirend.events import ReplayClock, Scribe, to_json
from sirend.motion import Motion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Broker
    from tests.e2e.conftest import Command

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
ROOT = "sirend/main-5th"


def call(key: bytes | None) -> str:
    """Return a call that stands now."""
    scribe = Scribe(
        site="main-5th",
        boot_id="boot-1",
        mode="live",
        model="siren-9.9.9@0123456789ab",
        clock=ReplayClock(datetime.now(UTC)),
        valid_for_s=5.0,
        sign_key=key,
    )
    transition = Transition(
        approach="main",
        state=CallState.APPROACHING,
        at=Samples(0),
        onset=Samples(0),
        confidence=0.9,
        level_dbfs=-30.0,
        motion=Motion.UNKNOWN,
        reason=Reason.SIREN,
        refresh=False,
    )
    return to_json(scribe.write(transition))


def lines(process: subprocess.Popen[str]) -> Iterator[tuple[str, str]]:
    """Yield state and reason of each line that a process prints."""
    assert process.stdout is not None
    for line in process.stdout:
        told = json.loads(line)
        assert (told["site"], told["approach"]) == ("main-5th", "main")
        yield told["state"], told["reason"]


def start(sirend: Command, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*sirend.words, "listen", "--config", "c.yaml", *words],
        cwd=sirend.folder,
        env=sirend.variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_call_is_acted_on_until_it_expires(sirend: Command, broker: Broker) -> None:
    (sirend.folder / "c.yaml").write_text(f"mqtt: {{port: {broker.port}}}\n")
    with broker.subscribe("nothing") as publisher, start(sirend) as process:
        said = lines(process)
        assert next(said) == ("clear", "offline")
        publisher.publish(f"{ROOT}/availability", "online", retain=True)
        publisher.publish(f"{ROOT}/main/emergency", call(None), retain=True)
        assert next(said) == ("approaching", "siren")
        assert next(said) == ("clear", "expired")
        process.send_signal(signal.SIGTERM)
        assert list(said) == []
        assert process.wait() == 0


def test_with_verify_an_unsigned_call_is_refused(sirend: Command, broker: Broker) -> None:
    (sirend.folder / "key").write_text("secret\n")
    (sirend.folder / "c.yaml").write_text(f"mqtt: {{port: {broker.port}, sign_key_file: key}}\n")
    with broker.subscribe("nothing") as publisher, start(sirend, "--verify") as process:
        said = lines(process)
        assert next(said) == ("clear", "offline")
        publisher.publish(f"{ROOT}/availability", "online", retain=True)
        publisher.publish(f"{ROOT}/main/emergency", call(None), retain=True)
        assert process.stderr is not None
        assert process.stderr.readline() == (
            f"sirend: warning: refused {ROOT}/main/emergency: its signature is missing or wrong\n"
        )
        publisher.publish(f"{ROOT}/main/emergency", call(b"secret"), retain=True)
        assert next(said) == ("approaching", "siren")
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0


def test_verify_needs_a_key(sirend: Command) -> None:
    (sirend.folder / "c.yaml").touch()
    done = sirend("listen", "--config", "c.yaml", "--verify")
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == "sirend: error: c.yaml: --verify needs a key: set mqtt.sign_key_file\n"


def test_an_absent_broker_is_waited_for(sirend: Command, broker: Broker) -> None:
    broker.stop()
    (sirend.folder / "c.yaml").write_text(f"mqtt: {{port: {broker.port}}}\n")
    with start(sirend) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == (
            f"sirend: warning: MQTT broker 127.0.0.1:{broker.port}: Connection refused; trying again\n"
        )
        broker.start()
        with broker.subscribe("nothing") as publisher:
            said = lines(process)
            assert next(said) == ("clear", "offline")
            publisher.publish(f"{ROOT}/availability", "online", retain=True)
            publisher.publish(f"{ROOT}/main/emergency", call(None), retain=True)
            while "sirend-listen" not in broker.log:
                time.sleep(0.02)
            publisher.publish(f"{ROOT}/main/emergency", call(None), retain=True)
            assert next(said) == ("approaching", "siren")
        process.terminate()
        assert process.wait() == 0
