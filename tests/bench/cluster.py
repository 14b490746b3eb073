"""Three nodes of RabbitMQ on loopback that are one broker, for tests and for ``make bench-fleet BROKER=cluster``.

They run without root's service: own names, ports, folders and port mapper, all below one folder. A node has an address
of its own, 127.0.0.2 to .4, and all listen on the same port, as the three addresses of one name would.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf" / "broker" / "cluster"
HOME = Path("/usr/lib/rabbitmq/bin")
"""Debian's programs; those in /usr/sbin change to the service's user."""
ADDRESSES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
START_S = 120.0


def is_installed() -> bool:
    """Return whether Debian's rabbitmq-server is there."""
    return (HOME / "rabbitmq-server").exists()


@dataclass
class Cluster:
    """Three nodes."""

    folder: Path
    port: int
    """Of MQTT, at each address."""
    mapper: int
    """Port of the Erlang port mapper; the three above it are the nodes' own, the three after those AMQP's, unused."""
    settings: str
    """rabbitmq.conf."""
    _processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """Name and version."""
        said = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", "rabbitmq-server"], capture_output=True, text=True, check=False
        )
        return f"3 nodes of rabbitmq {said.stdout.partition('-')[0]}"

    def name(self, node: int) -> str:
        """Return the name of a node, 0 to 2."""
        return f"sirend{node}@localhost"

    def prepare(self) -> None:
        """Write what the nodes need."""
        self.folder.mkdir(parents=True, exist_ok=True)
        cookie = self.folder / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)
        shutil.copy(CONF / "enabled_plugins", self.folder / "enabled_plugins")
        for node, address in enumerate(ADDRESSES):
            text = self.settings
            for number, other in enumerate(("mqtt1", "mqtt2", "mqtt3")):
                text = text.replace(f"rabbit@{other}", self.name(number))
            text = re.sub(
                r"^(mqtt\.listeners\.(?:ssl|tcp)\.1 = ).*$", rf"\g<1>{address}:{self.port}", text, flags=re.MULTILINE
            )
            text = re.sub(r"^mqtt\.listeners\.ssl\.2 = .*\n", "", text, flags=re.MULTILINE)
            (self.folder / f"{node}.conf").write_text(text)

    def _environment(self, node: int) -> dict[str, str]:
        base = self.folder / str(node)
        return {
            **os.environ,
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self.mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_RELAXED_COMMAND_CHECK": "yes",  # it may be ended although it still knows of killed nodes
            "RABBITMQ_NODENAME": self.name(node),
            "RABBITMQ_NODE_PORT": str(self.mapper + 4 + node),
            "RABBITMQ_DIST_PORT": str(self.mapper + 1 + node),
            "RABBITMQ_MNESIA_BASE": str(base / "mnesia"),
            "RABBITMQ_LOG_BASE": str(base / "log"),
            "RABBITMQ_PID_FILE": str(base / "pid"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / f"{node}.conf"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel net_ticktime 8 inet_dist_use_interface {127,0,0,1} +S 1:1",
        }

    def up(self) -> None:
        """Start all nodes, one after the other: at once, they may each wait for another to lead, for ever."""
        self.prepare()
        for node in range(3):
            self.start(node)

    def start(self, node: int) -> None:
        """Start a node and wait until it takes clients."""
        with (self.folder / f"{node}.out").open("ab") as out:
            self._processes[node] = subprocess.Popen(
                [HOME / "rabbitmq-server"],
                env=self._environment(node),
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        end = time.monotonic() + START_S
        while self.control(node, "await_startup", "--timeout", "60", check=False).returncode:
            assert time.monotonic() < end, (self.folder / f"{node}.out").read_text()[-3000:]
            time.sleep(1.0)

    def control(self, node: int, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``rabbitmqctl`` on a node."""
        return subprocess.run(
            [HOME / "rabbitmqctl", "--quiet", *words],
            env=self._environment(node),
            capture_output=True,
            text=True,
            check=check,
            timeout=120.0,
        )

    def admit(self, role: str, name: str, *more: str) -> None:
        """Let a client in as conf/README.md says."""
        environment = self._environment(0)
        environment["PATH"] = f"{HOME}:{environment['PATH']}"
        subprocess.run([CONF / "admit", role, name, *more], env=environment, check=True, timeout=120.0)

    def kill(self, node: int) -> None:
        """End a node like a power cut."""
        process = self._processes.pop(node)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def part(self, node: int) -> None:
        """Cut a node off from the others at once, which its clients do not feel: it knows no cookie of theirs."""
        others = ", ".join(f"'{self.name(other)}'" for other in sorted({0, 1, 2} - {node}))
        cut = "[erlang:set_cookie(N, apart) || N <- L], [erlang:disconnect_node(N) || N <- L]"
        self._eval(node, f"L = [{others}], {cut}")

    def join(self, node: int) -> None:
        """Let the nodes see each other again."""
        cookie = (self.folder / ".erlang.cookie").read_text()
        for other in {0, 1, 2} - {node}:
            self._eval(node, f"erlang:set_cookie('{self.name(other)}', '{cookie}')")

    def _eval(self, node: int, text: str) -> None:
        self.control(node, "eval", f"{text}.")

    def running(self, node: int) -> list[str]:
        """Return the nodes that a node sees running."""
        said = self.control(node, "cluster_status", "--formatter", "json", check=False)
        return sorted(json.loads(said.stdout)["running_nodes"]) if said.returncode == 0 else []

    def cpu_s(self) -> float:
        """Return the CPU time of the nodes that run, s."""
        total = 0
        for group in self._groups():
            fields = group.read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        """Return their memory, MB."""
        pages = sum(int((stat.parent / "statm").read_text().split()[1]) for stat in self._groups())
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def _groups(self) -> list[Path]:
        """Return the stat files of the nodes' processes."""
        ours = {process.pid for process in self._processes.values()}
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                session = int(stat.read_text().rpartition(")")[2].split()[3])
            except (OSError, IndexError, ValueError):
                continue
            if session in ours:
                found.append(stat)
        return found

    @classmethod
    def plain(cls, folder: Path, port: int, mapper: int) -> Cluster:
        """Return one with the settings of conf/broker/cluster that takes anybody, without TLS."""
        text = (CONF / "rabbitmq.conf").read_text()
        for line in ("ssl_options", "mqtt.listeners.ssl", "auth_mechanisms", "mqtt.ssl_cert_login", "ssl_cert_login"):
            text = re.sub(rf"^{re.escape(line)}.*\n", "", text, flags=re.MULTILINE)
        text = text.replace("mqtt.listeners.tcp = none", "mqtt.listeners.tcp.1 = 1883")
        return cls(folder, port, mapper, text.replace("mqtt.allow_anonymous = false", "mqtt.allow_anonymous = true"))

    def stop(self) -> None:
        """End all nodes and the port mapper."""
        for node in list(self._processes):
            self.kill(node)
        if shutil.which("epmd") is None:
            return
        subprocess.run(
            ["epmd", "-port", str(self.mapper), "-kill"], capture_output=True, check=False, env=self._environment(0)
        )
