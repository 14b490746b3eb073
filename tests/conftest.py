"""What tests of several modules share: a real mosquitto of their own, and a subscriber that listens to it."""

from __future__ import annotations

import gc
import os
import queue
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest
from hypothesis import settings
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

collect_ignore = [] if find_spec("tensorflow") else ["training"]
"""The light way, without the extra ``train``, runs all but the tests of training; ``make test`` installs it."""

settings.register_profile("sirend", deadline=None)  # a busy machine is no failure
settings.load_profile("sirend")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what is quick first in the share of each of xdist's workers: a plain mistake shows within the first minute.

    ``worksteal`` gives each worker one stretch of the list to begin with, so each stretch is made of both kinds. Of
    what waits, the tests that may take longest begin: one that is left to the end keeps a single worker busy.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    quick = [item for item in items if not _waits(item)]
    slow = [item for item in items if _waits(item)]
    items.clear()
    for worker in range(workers):
        first, second = (
            kind[len(kind) * worker // workers : len(kind) * (worker + 1) // workers] for kind in (quick, slow)
        )
        items += first + sorted(second, key=_limit_s, reverse=True)


def _limit_s(item: pytest.Item) -> float:
    """Return how long a test may take, s, where it says so."""
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker is not None else 0.0


def _waits(item: pytest.Item) -> bool:
    """Return whether a test starts other programs, trains, hears recordings, or may take longer than others."""
    marked = any(item.get_closest_marker(name) for name in ("recordings", "system", "timeout", "training"))
    return marked or not {"e2e", "training", "bench", "conf"}.isdisjoint(item.path.parts)


PATIENCE_S = 60.0
"""How long anything may take on a slow machine before a test gives up."""


def free_port() -> int:
    """Return a loopback TCP port that nobody uses.

    It lies below the ports that outgoing connections take (from 32768): a client that keeps trying a closed port among
    those sooner or later connects to itself. Each of pytest's workers draws from ports of its own, since some time may
    pass until the port is taken.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = random.randrange(10_000 + worker, 32_000, workers)  # noqa: S311  nothing secret about it
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@dataclass(frozen=True)
class Received:
    """A message as a subscriber got it; ``retain`` is what the publisher asked for."""

    topic: str
    payload: str
    qos: int
    retain: bool
    expiry_s: int | None


class Subscriber:
    """An MQTT 5 client that keeps every message of its topics in order."""

    def __init__(self, port: int, *topics: str) -> None:
        self._arrived: queue.Queue[Received] = queue.Queue()
        self._topics = topics
        self._client = Client(CallbackAPIVersion.VERSION2, f"test-{uuid.uuid4()}", protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_message = self._on_message
        self._port = port

    def __enter__(self) -> Self:
        subscribed: queue.Queue[bool] = queue.Queue()
        self._client.on_subscribe = lambda *_: subscribed.put(True)
        self._client.on_connect = self._on_connect
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        subscribed.get(timeout=PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._client.on_message = self._client.on_connect = None  # a cycle would close its sockets in any order

    def _on_connect(
        self, client: Client, _userdata: object, _flags: object, _code: object, _properties: object
    ) -> None:
        options = SubscribeOptions(qos=1, retainAsPublished=True)
        client.subscribe([(topic, options) for topic in self._topics])

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        expiry_s = getattr(message.properties, "MessageExpiryInterval", None)
        self._arrived.put(Received(message.topic, message.payload.decode(), message.qos, message.retain, expiry_s))

    def publish(self, topic: str, payload: str, *, retain: bool = False) -> None:
        """Publish something and wait until the broker has it."""
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(PATIENCE_S)

    @property
    def waiting(self) -> int:
        """How many messages have come and were not taken."""
        return self._arrived.qsize()

    def next(self) -> Received:
        """Return the next message."""
        return self._arrived.get(timeout=PATIENCE_S)

    def take(self, count: int) -> list[Received]:
        """Return the next ``count`` messages."""
        return [self.next() for _ in range(count)]

    def until(self, topic: str, payload: str | None = None) -> list[Received]:
        """Return the messages up to the first on ``topic``, with ``payload`` if given."""
        received = [self.next()]
        while received[-1].topic != topic or payload not in (None, received[-1].payload):
            received.append(self.next())
        return received


class Broker:
    """A mosquitto on a free loopback port, with its own configuration in a folder of its own."""

    host = "127.0.0.1"

    def __init__(self, folder: Path, *lines: str) -> None:
        """Prepare a broker with further ``lines`` of configuration; start it later."""
        self.port = free_port()
        self.configuration = folder / f"mosquitto-{self.port}.conf"
        self._log = folder / f"mosquitto-{self.port}.log"
        common = ("user root", "persistence false", "log_type all", f"listener {self.port} {self.host}")
        self.configuration.write_text("\n".join((*common, *(lines or ("allow_anonymous true",)))) + "\n")
        self._process: subprocess.Popen[bytes] | None = None
        self.launcher: tuple[str, ...] = ()
        """Words before its own, of a program that becomes it."""

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if program is None:
            pytest.fail("these tests need a real broker: apt-get install mosquitto")
        with self._log.open("ab") as log:
            words = [*self.launcher, program, "-c", str(self.configuration)]
            self._process = subprocess.Popen(words, stdout=log, stderr=log)
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection((self.host, self.port), timeout=1.0).close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > until:
                    pytest.fail(f"mosquitto did not start:\n{self.log}")
                time.sleep(0.02)
            else:
                return

    @property
    def log(self) -> str:
        """What the broker wrote."""
        return self._log.read_text(errors="replace")

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> None:
        """End it in order, or with SIGKILL like a power cut."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        until = time.monotonic() + PATIENCE_S
        while self._process.returncode is None:
            self._process.send_signal(with_signal)
            try:
                self._process.wait(1.0)
            except subprocess.TimeoutExpired:  # it forgets a signal that came before its main loop
                assert time.monotonic() < until, "mosquitto does not end"
        self._process = None

    def kill(self) -> None:
        """End it like a power cut."""
        self.stop(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it and start it again on the same port; it forgets everything."""
        self.stop()
        self.start()

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, such as SIGSTOP to freeze it."""
        assert self._process is not None
        self._process.send_signal(number)

    def subscribe(self, *topics: str) -> Subscriber:
        """Return a subscriber to ``topics``, all by default, to be entered."""
        return Subscriber(self.port, *(topics or ("#",)))


@pytest.fixture(autouse=True)
def state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where daemons of the test remember their limits: of a test before they must know nothing."""
    folder = tmp_path / "state"
    monkeypatch.setenv("STATE_DIRECTORY", str(folder))
    return folder


@pytest.fixture
def make_broker(tmp_path: Path) -> Iterator[Callable[..., Broker]]:
    """Return a function that prepares a broker with lines of configuration; each is stopped in the end."""
    with ExitStack() as brokers:

        def make(*lines: str) -> Broker:
            broker = Broker(tmp_path, *lines)
            brokers.callback(broker.stop)
            return broker

        yield make


@pytest.fixture
def broker(make_broker: Callable[..., Broker]) -> Broker:
    """Return a running broker that takes anyone."""
    broker = make_broker()
    broker.start()
    return broker


class SignalController:
    """A real net-snmp agent with the objects of an NTCIP 1202 controller on a loopback port."""

    def __init__(self, folder: Path, *, backup_s: int = 5) -> None:
        self.port = free_port()
        self._folder = folder
        self._record = folder / f"preempts-{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        objects = Path(__file__).parent / "controller" / "outputs" / "controller.py"
        program = f"{sys.executable} {objects} {self._record} {backup_s}"
        self._configuration = folder / f"snmpd-{self.port}.conf"
        self._configuration.write_text(
            "rwcommunity right-community 127.0.0.1\n"
            "rocommunity watching-community 127.0.0.1\n"
            "createUser sirend SHA-256 authentication-password AES privacy-password\n"
            "rwuser sirend priv\n"
            f"pass_persist .1.3.6.1.4.1.1206.4.2.1 {program}\n"
        )
        self.community = folder / "community"
        self.community.write_text("right-community\n")

    def start(self) -> None:
        """Start the agent and wait until it has its port."""
        program = shutil.which("snmpd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if program is None:
            pytest.fail("these tests need a real SNMP agent: apt-get install snmpd")
        words = [program, "-f", "-Lo", "-C", "-c", str(self._configuration), f"udp:127.0.0.1:{self.port}"]
        log = self._folder / "snmpd.log"
        with log.open("ab") as file:
            variables = {**os.environ, "SNMP_PERSISTENT_DIR": str(self._folder), "MIBS": ""}
            self._process = subprocess.Popen(words, stdout=file, stderr=file, env=variables, start_new_session=True)
        until = time.monotonic() + PATIENCE_S
        while b"NET-SNMP version" not in log.read_bytes():
            if self._process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"snmpd did not start:\n{log.read_text(errors='replace')}")
            time.sleep(0.02)

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it, and the program behind it."""
        if self._process is not None:
            os.killpg(self._process.pid, number)
            self._process.wait(PATIENCE_S)
            self._process = None
            (self._folder / "snmpd.log").unlink()

    def forget_engine(self) -> None:
        """Let it be another SNMP engine when it is started again, as another controller would be."""
        for kept in self._folder.glob("snmpd.conf*"):
            kept.unlink()

    def set_boots(self, count: int) -> None:
        """Let it, stopped, believe that it was started so often, as after a factory reset or a restored memory."""
        for kept in self._folder.glob("snmpd.conf*"):
            kept.write_text(re.sub(r"(?m)^engineBoots .*$", f"engineBoots {count}", kept.read_text()))

    def freeze(self, *, yes: bool) -> None:
        """Let it fall silent without a word, like a cable that is cut, or let it go on."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP if yes else signal.SIGCONT)

    def break_down(self, number: int, *, yes: bool) -> None:
        """Let it refuse to set a preempt, or take it again."""
        broken = Path(f"{self._record}.{number}")
        if yes:
            broken.touch()
        else:
            broken.unlink(missing_ok=True)

    @property
    def preempts(self) -> list[tuple[int, int]]:
        """Every change of a ``preemptControlState`` so far: number and value."""
        if not self._record.exists():
            return []
        lines = [line.split() for line in self._record.read_text().splitlines()]
        return [(int(number), int(value)) for _, number, value in lines]


@pytest.fixture
def make_controller(tmp_path: Path) -> Iterator[Callable[..., SignalController]]:
    """Return a function that starts a signal controller; each is stopped in the end."""
    with ExitStack() as controllers:

        def make(**settings: int) -> SignalController:
            controller = SignalController(tmp_path, **settings)
            controllers.callback(controller.stop)
            controller.start()
            return controller

        yield make


@pytest.fixture
def collected() -> Iterator[None]:
    """Collect what a test leaves before the next one: what it may warn of must not be laid at another's door."""
    yield
    gc.collect()
