"""What the end-to-end tests share: the command as a subprocess, a simulated drive-by, real recordings, PulseAudio."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import pytest
import soundfile

from sirend.simulate.scene import Scene, render_scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
RECORDINGS = Path(os.environ.get("SIREND_RECORDINGS", ROOT.parent / "shared" / "data"))
PATIENCE_S = 120.0
"""How long anything may take on a slow machine before a test gives up."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave tests of recordings out where there are none."""
    if (RECORDINGS / "clips.csv").is_file():
        return
    left_out = [item for item in items if item.get_closest_marker("recordings")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Return the folder with ``clips.csv`` and the recordings."""
    return RECORDINGS


@dataclass(frozen=True)
class Command:
    """The command ``sirend`` as a user starts it, in a folder of its own."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def words(self) -> list[str]:
        """The beginning of the command line."""
        return [sys.executable, "-m", "sirend"]

    @property
    def variables(self) -> dict[str, str]:
        """The process's whole environment."""
        paths = [self.environment.get("PYTHONPATH"), str(ROOT / "daemon")]
        return {**os.environ, **self.environment, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}

    def __call__(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        return subprocess.run(
            [*self.words, *map(str, arguments)],
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )


@pytest.fixture
def sirend(tmp_path: Path) -> Command:
    """Return the command; relative names are those of files in ``tmp_path``."""
    return Command(tmp_path)


@pytest.fixture(scope="session")
def drive_by(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a WAV of 26 s: a siren drives by in a quiet street, and 8 s of nothing follow."""
    return _drive_by(tmp_path_factory.mktemp("drive-by") / "drive-by.wav", 10.0)


@pytest.fixture(scope="session")
def loud_drive_by(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same, louder: the siren is heard until the nothing begins, wherever in the sound the windows lie."""
    return _drive_by(tmp_path_factory.mktemp("loud-drive-by") / "drive-by.wav", 30.0)


def _drive_by(path: Path, snr_db: float) -> Path:
    simulated = render_scene(Scene(start_m=300.0, speed_kmh=120.0, snr_db=snr_db, seed=11)).pcm
    nothing = 0.005 * np.random.default_rng(1).standard_normal(8 * 16_000)
    soundfile.write(path, np.concatenate((simulated, nothing)), 16_000, subtype="FLOAT")
    return path


class PulseAudio:
    """A sound server with one null sink, whose monitor is everybody's microphone; there is a little noise.

    It may have more sinks, each with a microphone that PortAudio calls as the sink.
    """

    def __init__(self, folder: Path, sinks: Sequence[str] = ("street",)) -> None:
        """Prepare it with its own runtime folder; start it later."""
        self._folder = folder
        self._sinks = sinks
        self._process: subprocess.Popen[bytes] | None = None
        self._players: list[subprocess.Popen[bytes]] = []
        self._murmurs: dict[str, subprocess.Popen[bytes]] = {}
        socket = folder / "native"
        alsa = folder / "asound.conf"
        alsa.write_text(
            'pcm.!default { type pulse hint { show on description "PulseAudio" } }\nctl.!default { type pulse }\n'
            + "".join(
                f'pcm.{name} {{ type pulse device {name}.monitor hint {{ show on description "{name}" }} }}\n'
                for name in sinks[1:] and sinks
            )
        )
        self.environment = {
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
            "PULSE_RUNTIME_PATH": str(folder),
            "PULSE_STATE_PATH": str(folder),
            "PULSE_SERVER": f"unix:{socket}",
            "ALSA_CONFIG_PATH": str(alsa),
        }
        self._modules = [
            *(f"module-null-sink sink_name={name} rate=16000 channels=1 format=float32le" for name in sinks),
            f"module-native-protocol-unix socket={socket} auth-anonymous=1",
        ]

    def start(self) -> None:
        """Start it and wait until it answers."""
        for program in ("pulseaudio", "pactl", "paplay"):
            if shutil.which(program) is None:
                pytest.fail(
                    "these tests need: apt-get install pulseaudio pulseaudio-utils libasound2-plugins libportaudio2"
                )
        words = ["pulseaudio", "--daemonize=no", "--system=no", "--exit-idle-time=-1", "--disable-shm=yes", "-n"]
        with (self._folder / "pulse.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*words, *(f"--load={module}" for module in self._modules)],
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + PATIENCE_S
        while self.control("info").returncode:
            if self._process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"PulseAudio did not start:\n{(self._folder / 'pulse.log').read_text()}")
            time.sleep(0.05)
        for sink in self._sinks:
            self.murmur(sink)

    def murmur(self, sink: str = "street", level_dbfs: float = -70.0) -> None:
        """Let noise sound; without it the microphone hears digital silence."""
        volume = round(5400 * 10.0 ** ((level_dbfs + 70.0) / 60.0))  # its scale is cubic
        words = ["pacat", "--raw", "--rate=16000", "--channels=1", "--format=s16le", f"--volume={volume}"]
        with Path("/dev/urandom").open("rb") as noise:
            variables = {**os.environ, **self.environment}
            self._murmurs[sink] = subprocess.Popen(
                [*words, f"--device={sink}"], env=variables, stdin=noise, stderr=subprocess.DEVNULL
            )

    def still(self, sink: str = "street") -> None:
        """End the noise."""
        if (murmur := self._murmurs.pop(sink, None)) is not None:
            murmur.kill()
            murmur.wait(PATIENCE_S)

    def unplug(self, sink: str = "street") -> None:
        """Take the microphone away from the running server."""
        listed = self.control("list", "short", "modules").stdout.decode().splitlines()
        (number,) = (line.split()[0] for line in listed if f"sink_name={sink} " in line)
        assert self.control("unload-module", number).returncode == 0
        self.still(sink)

    def plug(self, sink: str = "street", form: str = "rate=16000 channels=1 format=float32le") -> None:
        """Put it back, in another form where one is given."""
        words = [f"sink_name={sink}", *form.split()]
        assert self.control("load-module", "module-null-sink", *words).returncode == 0
        self.murmur(sink)

    def stop(self) -> None:
        """End it, with the sound of the whole host."""
        for sink in self._sinks:
            self.still(sink)
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)
            self._process = None

    def control(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """Run ``pactl``."""
        variables = {**os.environ, **self.environment}
        return subprocess.run(["pactl", *words], env=variables, capture_output=True, timeout=PATIENCE_S, check=False)

    def suspend(self, sink: str = "street", *, yes: bool) -> None:
        """Make the microphone deliver nothing, or deliver again."""
        assert self.control("suspend-sink", sink, str(int(yes))).returncode == 0

    def play(self, wav: Path, sink: str = "street") -> None:
        """Play a file to the microphone, without waiting for its end."""
        words = ["paplay", f"--device={sink}", str(wav)]
        self._players.append(subprocess.Popen(words, env={**os.environ, **self.environment}))

    def hush(self) -> None:
        """End what is being played."""
        for player in self._players:
            player.kill()
            player.wait(PATIENCE_S)
        self._players.clear()


@pytest.fixture
def pulse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PulseAudio]:
    """Return a running sound server."""
    server = PulseAudio(tmp_path_factory.mktemp("pulse"))
    server.start()
    yield server
    server.hush()
    server.stop()


class Daemon:
    """``sirend run`` as a subprocess. Leaving the ``with`` block kills what is left of it."""

    words: tuple[str, ...] = ("run",)
    """What it is told to do."""

    def __init__(self, command: Command, configuration: str) -> None:
        """Prepare to run it with a configuration."""
        self._command = command
        self._file = command.folder / "sirend.yaml"
        self._file.write_text(configuration)
        self.log = command.folder / "sirend.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            words = [*self._command.words, *self.words, "--config", str(self._file)]
            self._process = subprocess.Popen(words, cwd=self._command.folder, env=self._command.variables, stderr=log)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(PATIENCE_S)

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Tell it to end; return its exit code."""
        self.send(number)
        return self.wait()

    def reload(self, configuration: str) -> None:
        """Change its configuration and tell it so, as ``systemctl reload`` does."""
        self._file.write_text(configuration)
        self.send(signal.SIGHUP)

    def wait(self) -> int:
        """Wait for its end; return its exit code."""
        assert self._process is not None
        return self._process.wait(PATIENCE_S)

    def until_logged(self, text: str) -> None:
        """Wait until it has written ``text`` to its log."""
        until = time.monotonic() + PATIENCE_S
        while text not in self.log.read_text():
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.02)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Return a function that starts the daemon with a configuration and environment, to be ended with the test."""
    with ExitStack() as daemons:

        def start(configuration: str, environment: Mapping[str, str]) -> Daemon:
            return daemons.enter_context(Daemon(Command(tmp_path, environment), configuration))

        yield start
