"""``sirend listen`` beside a real broker and a real SNMP agent."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from tests.transitions import CALL, CLEAR

from sirend.call.clock import LiveClock
from sirend.call.event import to_json
from sirend.call.schemas import ack_schema
from sirend.call.scribe import Scribe
from sirend.detect.arrival import Arrival

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Broker, SignalController, Subscriber
    from tests.e2e.conftest import Command

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
ROOT = "sirend/main-5th"
STATE = f"{ROOT}/main/emergency"
CONNECTED = "sirend: info: MQTT broker 127.0.0.1:{}: connected with MQTT 5, following sirend/main-5th/+/emergency\n"
PATIENCE_S = 60.0
DYING = """
import ctypes, sys, threading, time
from sirend.cli.main import command
def kill():
    sys.stdin.readline()
    (thread,) = (each for each in threading.enumerate() if each.name == name)
    while thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemError))
        time.sleep(0.05)
name = sys.argv.pop(1)
threading.Thread(target=kill, daemon=True).start()
command()
"""
"""Runs ``sirend``; when it is told to, an error that nobody expects comes up in one of its threads, until that ends:
what comes up while a controller is asked is told as a bug, and the next round may work.
"""
RELAYED = """
import os, sys
from pathlib import Path
import gpiozero
from sirend.cli.main import command
file = Path(sys.argv.pop(1))
class Line(gpiozero.OutputDevice):
    def _write(self, value):
        super()._write(value)
        with file.open("a") as out:
            print(int(bool(value)), file=out)
gpiozero.OutputDevice = Line
file.with_suffix(".pid").write_text(str(os.getpid()))
command()
"""
"""Runs ``sirend`` and notes what becomes of its relay."""


class Site:
    """A daemon as the broker sees it."""

    def __init__(self, key: bytes | None = None, valid_for_s: float = 30.0) -> None:
        self._scribe = Scribe(
            site="main-5th",
            boot_id=f"boot-{time.monotonic_ns()}",
            mode="live",
            model="siren-9.9.9@0123456789ab",
            clock=LiveClock(arrived=lambda: 0),
            valid_for_s=valid_for_s,
            sign_key=key,
        )

    def says(self, state: str = "approaching") -> str:
        """Return the next statement."""
        return to_json(self._scribe.write(CALL if state == "approaching" else CLEAR))

    def refreshes(self, arrival: Arrival) -> str:
        """Return the repetition of the call, which knows when the siren will be nearest."""
        return to_json(self._scribe.write(replace(CALL, refresh=True, arrival=arrival)))


def lines(process: subprocess.Popen[str]) -> Iterator[tuple[str, str]]:
    """Yield state and reason of each line that a process prints."""
    assert process.stdout is not None
    for line in process.stdout:
        told = json.loads(line)
        assert (told["site"], told["approach"]) == ("main-5th", "main")
        yield told["state"], told["reason"]


def start(sirend: Command, *words: str) -> subprocess.Popen[str]:
    # What the tests were started to ignore, as nohup has it, the command would ignore too.
    return subprocess.Popen(
        ["env", "--default-signal", *sirend.words, "listen", "--config", "c.yaml", *words],
        cwd=sirend.folder,
        env={**sirend.variables, "GPIOZERO_PIN_FACTORY": "mock"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def call(publisher: Subscriber, site: Site, state: str = "approaching") -> None:
    """Publish a daemon's presence and state."""
    publisher.publish(f"{ROOT}/availability", "online", retain=True)
    publisher.publish(STATE, site.says(state), retain=True)


def acknowledged(subscriber: Subscriber, **wanted: object) -> dict[str, Any]:
    """Return the next acknowledgement with the ``wanted`` fields."""
    while True:
        received = subscriber.next()
        told: dict[str, Any] = json.loads(received.payload)
        jsonschema.validate(told, ack_schema())
        if wanted.items() <= told.items():
            assert (received.topic, received.retain, received.qos) == (f"{ROOT}/main/ack", False, 1)
            return told


def wait(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def subscribed(broker: Broker) -> None:
    """Wait until the listener is subscribed."""
    wait(lambda: "Sending SUBACK to sirend-listen" in broker.log)


def test_a_call_is_acted_on_until_it_expires(sirend: Command, broker: Broker) -> None:
    (sirend.folder / "c.yaml").write_text(f"site: main-5th\nmqtt: {{port: {broker.port}}}\n")
    with broker.subscribe("nothing") as publisher, start(sirend) as process:
        said = lines(process)
        assert next(said) == ("clear", "offline")
        call(publisher, Site(valid_for_s=5.0))
        assert next(said) == ("approaching", "siren")
        assert next(said) == ("clear", "expired")
        process.send_signal(signal.SIGTERM)
        assert list(said) == []
        assert process.wait() == 0


def test_a_call_that_learns_when_its_siren_will_be_nearest_is_printed_once_more(
    sirend: Command, broker: Broker
) -> None:
    (sirend.folder / "c.yaml").write_text(f"site: main-5th\nmqtt: {{port: {broker.port}}}\n")
    site = Site()
    with broker.subscribe("nothing") as publisher, start(sirend) as process:
        said = lines(process)
        assert next(said) == ("clear", "offline")
        call(publisher, site)
        assert next(said) == ("approaching", "siren")
        for eta_s in (6.0, 5.0):
            publisher.publish(STATE, site.refreshes(Arrival(eta_s, 3.0, 9.0)), retain=True)
        assert next(said) == ("approaching", "siren")
        call(publisher, site, "clear")
        assert next(said) == ("clear", "quiet")
        process.send_signal(signal.SIGTERM)
        assert list(said) == []


def test_garbage_is_refused_counted_and_calls_nobody(sirend: Command, broker: Broker) -> None:
    (sirend.folder / "c.yaml").write_text(f"site: main-5th\nmqtt: {{port: {broker.port}}}\n")
    with broker.subscribe("nothing") as publisher:
        publisher.publish(STATE, "[" * 5000, retain=True)  # retained garbage, there before anybody listens
        with start(sirend) as process:
            said = lines(process)
            assert next(said) == ("clear", "offline")
            subscribed(broker)
            publisher.publish(f"{ROOT}/availability", "online")
            for payload in ("}{", "x" * 20_000, "x" * 200_000, Site().says().replace("event/1", "event/2")):
                publisher.publish(STATE, payload)
            publisher.publish(f"{ROOT}/west/emergency", Site().says())
            publisher.publish(STATE, Site().says())
            assert next(said) == ("approaching", "siren")
            process.terminate()
            _, log = process.communicate()
            assert process.returncode == 0
    kinds = ("malformed, 1 so far", "too_big, 1 so far", "schema, 1 so far", "unknown_approach, 1 so far")
    assert [kind in log for kind in kinds] == [True] * 4, log
    assert "malformed, 2" not in log  # said once in ten seconds, however many there are


def test_systemd_is_told_of_readiness_life_and_the_end(sirend: Command, broker: Broker) -> None:
    (sirend.folder / "c.yaml").write_text(f"site: main-5th\nmqtt: {{port: {broker.port}}}\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(sirend.folder / "notify"))
        manager.settimeout(PATIENCE_S)
        variables = {**sirend.variables, "NOTIFY_SOCKET": str(sirend.folder / "notify")}
        words = [*sirend.words, "listen", "--config", "c.yaml"]
        with subprocess.Popen(words, cwd=sirend.folder, env=variables, stdout=subprocess.DEVNULL) as process:
            said = [manager.recv(4_096).decode() for _ in range(4)]
            process.terminate()
            while said[-1] != "STOPPING=1":
                said.append(manager.recv(4_096).decode())
            assert process.wait(PATIENCE_S) == 0
    assert said[0] == "READY=1\nSTATUS=listening"
    assert set(said[1:-1]) == {"WATCHDOG=1"}


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGUSR1, signal.SIGRTMAX])
def test_whatever_signal_ends_it_leaves_everything_clear_and_a_hang_up_ends_nothing(
    sirend: Command, broker: Broker, number: signal.Signals
) -> None:
    (sirend.folder / "c.yaml").write_text(
        f"site: main-5th\nmqtt: {{port: {broker.port}}}\nlisten: {{command: 'echo $SIREND_STATE >> told'}}\n"
    )
    told = sirend.folder / "told"
    with broker.subscribe("nothing") as publisher, start(sirend) as process:
        said = lines(process)
        assert next(said) == ("clear", "offline")
        subscribed(broker)
        wait(told.exists)
        process.send_signal(signal.SIGHUP)
        call(publisher, Site())
        assert next(said) == ("approaching", "siren")
        wait(lambda: told.read_text().split() == ["clear", "approaching"])
        for _ in range(500):
            process.send_signal(signal.SIGHUP)
        process.send_signal(number)
        _, log = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, log
    assert told.read_text().split() == ["clear", "approaching", "clear"]


def test_who_serves_a_controller_does_not_end_where_nobody_reads_any_more(sirend: Command, broker: Broker) -> None:
    """A reader that ended took the listener with it, and the preempt."""
    acts = sirend.folder / "acts"
    (sirend.folder / "c.yaml").write_text(
        f"site: main-5th\nmqtt: {{port: {broker.port}, sign_key_file: null}}\nlisten: {{command: 'env >> {acts}'}}\n"
    )

    def has_acted(state: str) -> bool:
        return acts.exists() and f"SIREND_STATE={state}" in acts.read_text()

    with broker.subscribe("nothing") as publisher, start(sirend) as process:
        assert process.stdout is not None
        process.stdout.close()
        subscribed(broker)
        for state in ("approaching", "clear"):
            call(publisher, Site(), state)
            wait(partial(has_acted, state))
        assert process.poll() is None
        process.terminate()
        assert process.wait(PATIENCE_S) == 0


def test_with_verify_an_unsigned_and_a_repeated_call_are_refused(sirend: Command, broker: Broker) -> None:
    (sirend.folder / "key").write_text("new-secret-01234567\nold-secret-01234567\n")
    (sirend.folder / "c.yaml").write_text(f"site: main-5th\nmqtt: {{port: {broker.port}, sign_key_file: key}}\n")
    with broker.subscribe("nothing") as publisher, start(sirend, "--verify") as process:
        said = lines(process)
        assert next(said) == ("clear", "offline")
        subscribed(broker)
        call(publisher, Site())
        assert process.stderr is not None
        assert process.stderr.readline() == CONNECTED.format(broker.port)
        assert process.stderr.readline() == (
            f"sirend: warning: refused {STATE}: its signature is missing or wrong (signature, 1 so far)\n"
        )
        site = Site(b"old-secret-01234567")  # the daemon has yet to get the new key
        recorded = site.says()
        publisher.publish(STATE, recorded, retain=True)
        assert next(said) == ("approaching", "siren")
        publisher.publish(STATE, site.says("clear"), retain=True)
        assert next(said) == ("clear", "quiet")
        publisher.publish(STATE, recorded, retain=True)
        assert (
            process.stderr.readline() == f"sirend: warning: refused {STATE}: it was said before (replayed, 1 so far)\n"
        )
        publisher.publish(STATE, Site(b"new-secret-01234567").says(), retain=True)
        assert next(said) == ("approaching", "siren")
        for what in ("cmdline", "environ"):
            assert b"-secret" not in Path(f"/proc/{process.pid}/{what}").read_bytes()
        process.send_signal(signal.SIGINT)
        output, log = process.communicate()
        assert process.returncode == 0
        assert "secret" not in output + log


def test_verify_needs_a_key(sirend: Command) -> None:
    (sirend.folder / "c.yaml").write_text("site: main-5th\n")
    done = sirend("listen", "--config", "c.yaml", "--verify")
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == "sirend: error: mqtt.sign_key_file: --verify needs a key: name its file\n"


def test_an_absent_broker_is_waited_for(sirend: Command, broker: Broker) -> None:
    broker.stop()
    (sirend.folder / "c.yaml").write_text(f"site: main-5th\nmqtt: {{port: {broker.port}}}\n")
    with start(sirend) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == (
            f"sirend: warning: MQTT broker 127.0.0.1:{broker.port}: cannot be reached: Connection refused; "
            "trying again until it works\n"
        )
        broker.start()
        with broker.subscribe("nothing") as publisher:
            said = lines(process)
            assert next(said) == ("clear", "offline")
            subscribed(broker)
            while (line := process.stderr.readline()) != CONNECTED.format(broker.port):
                assert line.endswith("; trying again until it works\n")
            call(publisher, Site())
            assert next(said) == ("approaching", "siren")
        process.terminate()
        assert process.wait() == 0


def test_a_call_reaches_controller_relay_and_command_and_is_acknowledged(
    sirend: Command, broker: Broker, make_controller: Callable[..., SignalController]
) -> None:
    controller = make_controller()
    (sirend.folder / "key").write_text("sign-secret-0123456\n")
    (sirend.folder / "c.yaml").write_text(f"""
site: main-5th
mqtt: {{port: {broker.port}, sign_key_file: key}}
listen:
  command: echo "$SIREND_STATE" >> told
  relays: [{{pin: 17}}]
  ntcip: {{port: {controller.port}, community_file: community, preempts: [{{approach: main, number: 2}}]}}
""")
    site = Site(b"sign-secret-0123456")
    with broker.subscribe(f"{ROOT}/+/ack") as publisher, start(sirend) as process:
        said = lines(process)
        assert next(said) == ("clear", "offline")
        subscribed(broker)
        wait((sirend.folder / "told").exists)  # the latest word counts: a call would overtake a first one not yet told
        call(publisher, Site())  # unsigned: what acts asks for signatures without --verify too
        call(publisher, site)
        assert next(said) == ("approaching", "siren")
        told = acknowledged(publisher, state="approaching", confirmed=True)
        assert told["outputs"] == {
            "command": {"confirmed": True, "detail": None, "problem": None},
            "ntcip": {"confirmed": True, "detail": "dwell", "problem": None},
            "relay": {"confirmed": True, "detail": "on", "problem": None},
        }
        assert told["schema"] == "sirend/ack/1"
        assert datetime.fromisoformat(told["at"]).tzinfo is UTC
        publisher.publish(STATE, site.says("clear"), retain=True)
        assert next(said) == ("clear", "quiet")
        told = acknowledged(publisher, state="clear", reason="quiet", confirmed=True)
        assert told["outputs"]["ntcip"]["detail"] == "notActive"
        publisher.publish(STATE, site.says(), retain=True)
        acknowledged(publisher, state="approaching", confirmed=True)
        process.terminate()
        _, log = process.communicate()
        assert process.returncode == 0
        assert "its signature is missing or wrong" in log
        assert "secret" not in log
        assert "right-community" not in log
    assert controller.preempts == [(2, 1), (2, 0), (2, 1), (2, 0)]  # the last because it stopped
    assert (sirend.folder / "told").read_text().split() == ["clear", "approaching", "clear", "approaching", "clear"]


def test_losing_broker_daemon_or_agent_drops_the_call_in_time(
    sirend: Command, broker: Broker, make_controller: Callable[..., SignalController]
) -> None:
    controller = make_controller(backup_s=3)
    (sirend.folder / "c.yaml").write_text(f"""
site: main-5th
mqtt: {{port: {broker.port}}}
listen:
  ntcip: {{port: {controller.port}, community_file: community, backup_s: 3, preempts: [{{number: 2}}]}}
""")
    with start(sirend) as process:
        said = lines(process)
        assert next(said) == ("clear", "offline")
        with broker.subscribe(f"{ROOT}/+/ack") as publisher:
            call(publisher, Site())
            assert next(said) == ("approaching", "siren")
            acknowledged(publisher, state="approaching", confirmed=True)
            controller.freeze(yes=True)
            told = acknowledged(publisher, state="approaching", confirmed=False)
            assert "does not answer" in told["outputs"]["ntcip"]["problem"]
            controller.freeze(yes=False)
            publisher.publish(f"{ROOT}/availability", "offline", retain=True)  # the daemon's will
            assert next(said) == ("clear", "offline")
            acknowledged(publisher, state="clear", confirmed=True)
            call(publisher, Site(valid_for_s=5.0))
            called_at = time.monotonic()
            assert next(said) == ("approaching", "siren")
            wait(lambda: controller.preempts[-1] == (2, 1))
        broker.kill()
        assert next(said) == ("clear", "expired")
        assert 4.5 < time.monotonic() - called_at < 12.0  # some seconds are for a busy machine
        wait(lambda: controller.preempts[-1] == (2, 0))
        process.kill()


def test_a_listener_that_is_killed_leaves_no_call_behind(
    sirend: Command, broker: Broker, make_controller: Callable[..., SignalController]
) -> None:
    controller = make_controller(backup_s=2)
    (sirend.folder / "c.yaml").write_text(f"""
site: main-5th
mqtt: {{port: {broker.port}}}
listen: {{ntcip: {{port: {controller.port}, community_file: community, preempts: [{{number: 1}}]}}}}
""")
    with broker.subscribe("nothing") as publisher, start(sirend) as process:
        said = lines(process)
        assert next(said) == ("clear", "offline")
        call(publisher, Site(valid_for_s=60.0))
        assert next(said) == ("approaching", "siren")
        wait(lambda: controller.preempts == [(1, 1)])
        process.kill()
    wait(lambda: len(controller.preempts) > 1)
    assert controller.preempts == [(1, 1), (1, 0)]


@pytest.mark.parametrize("thread", ["sirend-command for main", "sirend-ntcip"])
def test_a_thread_that_ends_by_a_bug_ends_the_listener_with_everything_clear(
    sirend: Command, broker: Broker, make_controller: Callable[..., SignalController], thread: str
) -> None:
    """It went on without: what the thread had served stood, or came no more, and its watchdog was fed."""
    controller = make_controller()
    (sirend.folder / "c.yaml").write_text(f"""
site: main-5th
mqtt: {{port: {broker.port}}}
listen:
  command: echo "$SIREND_STATE" >> told
  ntcip: {{port: {controller.port}, community_file: community, preempts: [{{number: 2}}]}}
""")
    told = sirend.folder / "told"
    words = [sys.executable, "-c", DYING, thread, "listen", "--config", "c.yaml"]
    with (
        broker.subscribe("nothing") as publisher,
        subprocess.Popen(
            words, cwd=sirend.folder, env=sirend.variables, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        subscribed(broker)
        wait(told.exists)
        call(publisher, Site())
        wait(lambda: controller.preempts == [(2, 1)] and told.read_text().split()[-1] == "approaching")
        try:
            _, log = process.communicate("die\n", timeout=PATIENCE_S)
        finally:
            process.kill()
        assert process.returncode == 69, log
    assert f"{thread} ended by a bug, SystemError" in log
    wait(lambda: controller.preempts[-1] == (2, 0))
    assert thread == "sirend-command for main" or told.read_text().split()[-1] == "clear"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, "parent"])
def test_leaving_in_a_call_releases_every_kind_of_output(
    sirend: Command, broker: Broker, make_controller: Callable[..., SignalController], number: signal.Signals | str
) -> None:
    controller = make_controller()
    lines_file = sirend.folder / "line"
    (sirend.folder / "c.yaml").write_text(f"""
site: main-5th
mqtt: {{port: {broker.port}}}
listen:
  command: echo "$SIREND_STATE" >> told
  relays: [{{pin: 17}}]
  ntcip: {{port: {controller.port}, community_file: community, preempts: [{{number: 2}}]}}
""")
    told = sirend.folder / "told"
    parent = "import subprocess, sys; sys.exit(subprocess.Popen(sys.argv[1:]).wait())"
    words = [sys.executable, "-c", RELAYED, str(lines_file), "listen", "--config", "c.yaml"]
    if number == "parent":
        words = [sys.executable, "-c", parent, *words]
    variables = {**sirend.variables, "GPIOZERO_PIN_FACTORY": "mock"}
    with (
        broker.subscribe(f"{ROOT}/+/ack") as publisher,
        subprocess.Popen(
            ["env", "--default-signal", *words],
            cwd=sirend.folder,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        subscribed(broker)
        wait(told.exists)
        listener = int((sirend.folder / "line.pid").read_text())
        site = Site(valid_for_s=60.0)
        call(publisher, site)
        acknowledged(publisher, state="approaching", confirmed=True)
        assert lines_file.read_text().split()[-1] == "1"
        if isinstance(number, signal.Signals):
            process.send_signal(number)
        else:  # its standard streams are gone with the terminal or ssh; a controller is served all the same
            process.kill()
            process.wait(PATIENCE_S)
            for stream in (process.stdin, process.stdout, process.stderr):
                assert stream is not None
                stream.close()
            publisher.publish(STATE, site.says("clear"), retain=True)
            acknowledged(publisher, state="clear", confirmed=True)
            publisher.publish(STATE, site.says(), retain=True)
            acknowledged(publisher, state="approaching", confirmed=True)
            os.kill(listener, signal.SIGTERM)
        wait(lambda: not Path(f"/proc/{listener}").exists() or "Z" in Path(f"/proc/{listener}/stat").read_text())
    assert told.read_text().split()[-1] == "clear"
    assert lines_file.read_text().split()[-1] == "0"
    assert controller.preempts[-1] == (2, 0)
