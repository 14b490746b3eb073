"""The service in a Debian machine of its own: ``make test-system``. Not collected by ``pytest`` alone: takes minutes.

The machine is a root made with debootstrap and booted by systemd-nspawn with a throw-away layer over it. It shares the
host's loopback, so that the broker is outside; the sound comes from a PulseAudio outside as well.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Broker
    from tests.e2e.conftest import PulseAudio

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
MACHINE = Path(os.environ.get("SIREND_SYSTEM_ROOT", ROOT / "build" / "debian")).absolute()
WHEELS = f"/src/{os.environ.get('SIREND_WHEELS', 'build/wheels')}"
"""As the machine sees them."""
TOPIC = "sirend/main-5th"
PATIENCE_S = 120.0
ALSA = 'pcm.!default { type pulse hint { show on description "PulseAudio" } }\nctl.!default { type pulse }\n'


class Cabinet:
    """A booted machine; what it changes is forgotten when it ends."""

    def __init__(self, folder: Path, sound: Path) -> None:
        """Prepare it to see the sources at /src, wheels at /wheels, and the sound server's folder at /sound."""
        self._log = folder / "console.log"
        self._words = [
            *("systemd-nspawn", "--quiet", "--directory", str(MACHINE), "--boot", "--register=no", "--keep-unit"),
            *("--volatile=overlay", "--console=pipe", f"--bind-ro={ROOT}:/src", f"--bind={sound}:/sound"),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        until = time.monotonic() + PATIENCE_S
        while self("systemctl", "is-system-running", check=False).strip() not in ("running", "degraded"):
            assert self._process.poll() is None, self._log.read_text(errors="replace")
            assert time.monotonic() < until, self._log.read_text(errors="replace")
            time.sleep(0.2)
            self._leader = int((children.read_text().split() or ["0"])[0])
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        if self._leader:
            os.kill(self._leader, signal.SIGRTMIN + 4)  # systemd(1): power off
        try:
            self._process.wait(30.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(PATIENCE_S)

    def __call__(self, *words: str, check: bool = True) -> str:
        """Run a command inside as root; return what it printed."""
        if not self._leader:
            return ""
        inside = ["nsenter", "--target", str(self._leader), "--mount", "--uts", "--ipc", "--pid", "--root"]
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        variables = {"PATH": path, "LANG": "C.UTF-8", "SYSTEMD_COLORS": "0"}
        done = subprocess.run(
            [*inside, "sh", "-c", 'cd / && exec "$@"', "sh", *words],
            env=variables,
            capture_output=True,
            text=True,
            timeout=300.0,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def write(self, path: str, text: str) -> None:
        """Replace a file inside."""
        self("sh", "-c", 'printf %s "$2" > "$1"', "sh", path, text)

    def show(self, name: str, unit: str = "sirend.service") -> str:
        """Return a property of a unit."""
        return self("systemctl", "show", "--value", "--property", name, unit).strip()

    def until(self, name: str, *values: str) -> str:
        """Wait until the service's property has one of these values; return it."""
        limit = time.monotonic() + PATIENCE_S
        while (value := self.show(name)) not in values:
            assert time.monotonic() < limit, f"{name} is {value}:\n{self.journal()}"
            time.sleep(0.1)
        return value

    def signal(self, number: str) -> None:
        """Send the daemon a signal."""
        self("systemctl", "kill", f"--signal={number}", "--kill-who=main", "sirend.service")

    def journal(self) -> str:
        """Return what the service logged."""
        return self("journalctl", "--no-pager", "--output=cat", "--unit=sirend.service")


def install(cabinet: Cabinet, *words: str) -> str:
    """Install from the sources, without a network; ``words`` go to make as well."""
    wanted = ".ci Makefile README.md LICENSE NOTICE conf systemd"
    cabinet("sh", "-c", f"rm -rf /root/src && mkdir /root/src && cd /src && cp -r {wanted} /root/src")
    return cabinet("make", "-C", "/root/src", "install", f"WHEELS={WHEELS}", *words)


@pytest.fixture
def cabinet(tmp_path: Path, pulse: PulseAudio) -> Iterator[Cabinet]:
    """Return a machine with sound, and nothing of sirend on it."""
    sound = Path(pulse.environment["HOME"])
    sound.chmod(0o755)  # the service is not root
    with Cabinet(tmp_path, sound) as machine:
        machine.write("/etc/asound.conf", ALSA)
        yield machine


def configuration(broker: Broker) -> str:
    return (
        f"site: main-5th\nmqtt: {{port: {broker.port}, username: cabinet, password_file: sirend.mqtt-password, "
        "sign_key_file: sirend.sign-key}\njournal: {path: /var/lib/sirend/events.jsonl}\n"
    )


def sound_of_the_host(cabinet: Cabinet) -> None:
    """Let the service reach the sound server outside, as a site would in a drop-in."""
    cabinet("mkdir", "-p", "/etc/systemd/system/sirend.service.d")
    cabinet.write(
        "/etc/systemd/system/sirend.service.d/sound.conf", "[Service]\nEnvironment=PULSE_SERVER=unix:/sound/native\n"
    )
    cabinet("systemctl", "daemon-reload")


def start(cabinet: Cabinet, broker: Broker) -> None:
    """Install, configure and start the service."""
    install(cabinet)
    sound_of_the_host(cabinet)
    cabinet.write("/etc/credstore/sirend.mqtt-password", "secret-word\n")
    cabinet.write("/etc/credstore/sirend.sign-key", "secret-key-0123456789\n")
    cabinet("chmod", "600", "/etc/credstore/sirend.mqtt-password", "/etc/credstore/sirend.sign-key")
    cabinet.write("/etc/sirend/sirend.yaml", configuration(broker))
    cabinet("systemctl", "enable", "--quiet", "sirend.service")
    cabinet("systemctl", "start", "sirend.service", check=False)
    cabinet.until("ActiveState", "active")


def payload(message: Any) -> dict[str, Any]:  # noqa: ANN401
    decoded: dict[str, Any] = json.loads(message.payload)
    return decoded


def test_it_survives_a_kill_a_hang_and_a_lost_microphone(
    cabinet: Cabinet, pulse: PulseAudio, broker: Broker, drive_by: Path
) -> None:
    with broker.subscribe() as subscriber:
        start(cabinet, broker)
        subscriber.until(f"{TOPIC}/availability", "online")
        pulse.play(drive_by)
        call = payload(subscriber.until(f"{TOPIC}/main/event")[-1])
        assert (call["state"], call["mode"], "sig" in call) == ("approaching", "live", True)

        # kill -9 while a call stands: the will says offline, the next start clears before it says online.
        cabinet.signal("KILL")
        subscriber.until(f"{TOPIC}/availability", "offline")
        opening = subscriber.until(f"{TOPIC}/availability", "online")
        assert [(message.topic, message.payload) for message in opening[:1]] == [(f"{TOPIC}/main/emergency", "")]
        pulse.hush()
        cabinet.until("ActiveState", "active")

        # A process that hangs is killed by the watchdog and started anew; the will speaks meanwhile.
        before = int(cabinet.show("NRestarts"))
        cabinet.signal("STOP")
        subscriber.until(f"{TOPIC}/availability", "offline")
        subscriber.until(f"{TOPIC}/availability", "online")
        assert int(cabinet.show("NRestarts")) == before + 1
        assert "Watchdog timeout" in cabinet.journal()
        cabinet.until("ActiveState", "active")  # it says `online` before it has opened the microphone

        # A microphone that is away for longer than WatchdogSec does not restart the daemon.
        assert cabinet.show("WatchdogUSec") == "20s"
        main_pid = cabinet.show("MainPID")
        pulse.unplug()
        time.sleep(32.0)
        pulse.plug()
        report: dict[str, Any] = {}
        until = time.monotonic() + 2.0 * PATIENCE_S
        while report.get("state") != "ok" or not report["gaps"]:
            assert time.monotonic() < until, f"{report}\n{cabinet.journal()}"  # it is not heard, or too slow
            report = payload(subscriber.until(f"{TOPIC}/health")[-1])
        assert cabinet.show("MainPID") == main_pid
        assert int(cabinet.show("NRestarts")) == before + 1
    for secret in ("secret-word", "secret-key"):
        assert secret not in cabinet.journal()
    recorded = [json.loads(line) for line in cabinet("cat", "/var/lib/sirend/events.jsonl").splitlines()]
    assert recorded[0]["event_id"] == call["event_id"]


def refuse_what_is_cut_off(cabinet: Cabinet, kept: str) -> None:
    """Reload and restart the service with less than the configuration ``kept``; with it again it runs on."""
    # A reload that takes signing away is refused and fails; with what there was before it is none.
    main_pid = cabinet.show("MainPID")
    reload = ("sh", "-c", "systemctl reload sirend.service >&2; echo code $?")
    cabinet.write("/etc/sirend/sirend.yaml", "site: main-5th\n")
    assert "code 0" not in cabinet(*reload)
    assert "it takes away mqtt.sign_key_file" in cabinet.journal()
    cabinet.write("/etc/sirend/sirend.yaml", kept[: len(kept) // 2])
    assert "code 0" not in cabinet(*reload)
    cabinet.write("/etc/sirend/sirend.yaml", kept)
    assert "code 0" in cabinet(*reload)
    assert cabinet.show("MainPID") == main_pid

    # Nor does a start with a file that was cut off since: it stays down until the file is whole again.
    cabinet.write("/etc/sirend/sirend.yaml", "site: main-5th\n")
    cabinet("systemctl", "restart", "sirend.service", check=False)
    cabinet.until("ActiveState", "failed")
    assert cabinet.show("ExecMainStatus") == "78"
    assert "which was in force at the last run" in cabinet.journal()
    cabinet.write("/etc/sirend/sirend.yaml", kept)
    cabinet("systemctl", "restart", "sirend.service")


def test_it_is_upgraded_tests_itself_stops_and_is_uninstalled(cabinet: Cabinet, broker: Broker) -> None:
    with broker.subscribe() as subscriber:
        start(cabinet, broker)
        subscriber.until(f"{TOPIC}/availability", "online")

        # An upgrade keeps the configuration and starts the service again.
        kept = cabinet("cat", "/etc/sirend/sirend.yaml")
        said = install(cabinet)
        assert "upgraded and started again" in said
        assert cabinet("cat", "/etc/sirend/sirend.yaml") == kept
        assert len(cabinet("ls", "/opt/sirend-versions").split()) == 1
        assert "needs shtab" in cabinet("sirend", "completion", "bash", check=False)

        # Extras that were asked for once stay.
        install(cabinet, "EXTRAS=completion")
        install(cabinet)
        assert "complete -" in cabinet("/opt/sirend/bin/sirend", "completion", "bash")
        subscriber.until(f"{TOPIC}/availability", "online")
        cabinet.until("ActiveState", "active")

        refuse_what_is_cut_off(cabinet, kept)
        subscriber.until(f"{TOPIC}/availability", "online")

        # The self-test tells its own topic only.
        cabinet("systemctl", "start", "sirend-selftest.service")
        told = subscriber.until(f"{TOPIC}/selftest")
        assert payload(told[-1])["passed"] is True
        assert not [message for message in told if message.topic == f"{TOPIC}/main/event"]

        # The controller's side is installed and off; switched on, it says when it is ready.
        listener = "sirend-listen.service"
        assert cabinet("systemctl", "is-enabled", listener, check=False).strip() == "disabled"
        cabinet.write("/etc/credstore/sirend-listen.sign-key", "secret-key-0123456789\n")
        cabinet.write(
            "/etc/sirend/listen.yaml",
            f"site: main-5th\nmqtt: {{port: {broker.port}, username: cabinet, sign_key_file: sirend-listen.sign-key}}\n"
            "listen: {command: 'true'}\n",
        )
        cabinet("systemctl", "enable", "--now", "--quiet", listener)
        assert cabinet.show("ActiveState", listener) == "active"
        subscriber.until(f"{TOPIC}/main/ack")

        # A stop clears and says so within 2 s.
        began = time.monotonic()
        cabinet("systemctl", "stop", "sirend.service")
        subscriber.until(f"{TOPIC}/availability", "offline")
        assert time.monotonic() - began < 4.0  # under 2 s where nothing else runs
        assert cabinet.show("Result") == "success"

    cabinet("systemctl", "enable", "--quiet", "sirend-selftest.timer")
    cabinet("make", "-C", "/root/src", "uninstall")
    assert cabinet("sh", "-c", "ls -d /opt/sirend* /usr/local/lib/systemd/system/sirend* 2>/dev/null || true") == ""
    assert cabinet("cat", "/etc/sirend/sirend.yaml") == kept
    cabinet("make", "-C", "/root/src", "uninstall", "PURGE=yes")
    assert cabinet("sh", "-c", "ls -d /etc/sirend /var/lib/sirend 2>/dev/null || true; id sirend || true").endswith(
        "no such user\n"
    )


def test_a_wrong_configuration_stays_down_and_an_upgrade_refuses_it(cabinet: Cabinet) -> None:
    install(cabinet)
    cabinet.write("/etc/sirend/sirend.yaml", "site: Main Street\n")
    cabinet("systemctl", "start", "sirend.service", check=False)
    assert cabinet.until("ActiveState", "failed", "activating") == "failed"
    time.sleep(5.0)
    assert (cabinet.show("ActiveState"), cabinet.show("ExecMainStatus"), cabinet.show("NRestarts")) == (
        "failed",
        "78",
        "0",
    )
    assert "site is 'Main Street'" in cabinet.journal()
    installed = cabinet("readlink", "/opt/sirend")
    refusal = cabinet("sh", "-c", f"cd /root/src && make install WHEELS={WHEELS}; true")
    assert "nothing was changed" in refusal
    assert cabinet("readlink", "/opt/sirend") == installed


def test_a_microphone_missing_at_boot_is_tried_again_for_ever(cabinet: Cabinet, broker: Broker) -> None:
    install(cabinet)
    cabinet.write("/etc/sirend/sirend.yaml", f"site: main-5th\nmqtt: {{port: {broker.port}}}\n")
    cabinet("systemctl", "start", "--no-block", "sirend.service")
    until = time.monotonic() + PATIENCE_S
    while int(cabinet.show("NRestarts")) < 3:
        assert time.monotonic() < until, cabinet.journal()
        time.sleep(0.5)
    assert "there is no audio input" in cabinet.journal()
    sound_of_the_host(cabinet)
    cabinet.until("ActiveState", "active")


def test_the_debian_package_installs_upgrades_refuses_and_is_purged(cabinet: Cabinet) -> None:
    (package,) = (ROOT / "build").glob(f"sirend_*_{cabinet('dpkg', '--print-architecture').strip()}.deb")
    inside = f"/src/build/{package.name}"
    cabinet("env", "EXTRAS=completion", "apt-get", "install", "--yes", inside)
    assert "complete -" in cabinet("/opt/sirend/bin/sirend", "completion", "bash")
    assert "elm-street" not in cabinet("/opt/sirend/bin/sirend", "check", "--config", "/etc/sirend/sirend.yaml")

    cabinet.write("/etc/sirend/sirend.yaml", "site: elm-street\n")
    cabinet("dpkg", "--install", inside)
    assert "elm-street" in cabinet("/opt/sirend/bin/sirend", "check", "--config", "/etc/sirend/sirend.yaml")

    installed = cabinet("readlink", "/opt/sirend")
    cabinet.write("/etc/sirend/sirend.yaml", "site: Elm Street\n")
    assert "nothing was changed" in cabinet("dpkg", "--install", inside, check=False)
    assert cabinet("readlink", "/opt/sirend") == installed
    cabinet.write("/etc/sirend/sirend.yaml", "site: elm-street\n")
    cabinet("dpkg", "--configure", "sirend")

    cabinet("dpkg", "--remove", "sirend")
    assert cabinet("sh", "-c", "ls -d /opt/sirend* /usr/local/lib/systemd/system/sirend* 2>/dev/null || true") == ""
    assert cabinet("cat", "/etc/sirend/sirend.yaml") == "site: elm-street\n"
    cabinet("dpkg", "--purge", "sirend")
    assert cabinet("sh", "-c", "ls -d /etc/sirend /var/lib/sirend 2>/dev/null || true; id sirend || true").endswith(
        "no such user\n"
    )


def test_the_sandbox_is_as_tight_as_it_is_said_to_be(cabinet: Cabinet) -> None:
    install(cabinet)
    for unit in ("sirend.service", "sirend-selftest.service", "sirend-listen.service"):
        rating = cabinet("systemd-analyze", "security", "--no-pager", unit).splitlines()[-1]
        exposure = re.search(r": ([0-9.]+) ", rating)
        assert exposure is not None
        assert float(exposure[1]) <= 1.5
