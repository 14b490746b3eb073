"""The limits of calls, when the live daemon is killed in one and started again."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from sirend.simulate.scene import Scene, render_scene

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import TypeAlias

    from tests.conftest import Broker
    from tests.e2e.conftest import Daemon, PulseAudio

    Run: TypeAlias = Callable[[str, Mapping[str, str]], Daemon]

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
ROOT = "sirend/main-5th"


@pytest.fixture
def long_siren(tmp_path: Path) -> Path:
    """Return a WAV of over a minute in which a siren comes near again and again."""
    path = tmp_path / "siren.wav"
    passing = render_scene(Scene(speed_kmh=120.0, snr_db=20.0, seed=11)).pcm
    near = passing[len(passing) // 4 : 3 * len(passing) // 4]
    soundfile.write(path, np.tile(near, 8), 16_000, subtype="FLOAT")
    return path


def test_a_siren_during_which_the_daemon_is_killed_twice_is_called_no_oftener_than_the_hour_allows(
    run: Run, pulse: PulseAudio, broker: Broker, long_siren: Path, state_directory: Path
) -> None:
    configuration = f"site: main-5th\nmqtt: {{port: {broker.port}}}\ncall: {{max_calls_per_hour: 1}}\n"
    with broker.subscribe(f"{ROOT}/main/event", f"{ROOT}/health") as subscriber:
        daemon = run(configuration, pulse.environment)
        daemon.until_logged("the first window is scored")
        pulse.play(long_siren)
        call = json.loads(subscriber.until(f"{ROOT}/main/event")[-1].payload)
        assert call["state"] == "approaching"
        file = state_directory / "limits-main-5th.json"
        while not json.loads(file.read_text())["approaches"]["main"]["ages_s"]:
            time.sleep(0.01)  # for as long as the disk takes
        for _ in range(2):
            daemon.send(signal.SIGKILL)
            daemon.wait()
            daemon = run(configuration, pulse.environment)
            reasons: list[str] = []
            while "main: calls are held back, max_calls_per_hour is reached" not in reasons:
                message = subscriber.next()
                assert message.topic == f"{ROOT}/health", message
                reasons = json.loads(message.payload)["reasons"]
        assert daemon.stop() == 0
