"""Real recordings, where there are any: a siren is called, ten minutes of street without one are not."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import TypeAlias

    from tests.conftest import Broker
    from tests.e2e.conftest import Command, Daemon, PulseAudio

    Run: TypeAlias = Callable[[str, Mapping[str, str]], Daemon]

pytestmark = [pytest.mark.recordings, pytest.mark.system, pytest.mark.timeout(600)]
Pcm = npt.NDArray[np.float32]
EVENT = "sirend/main-5th/main/event"


def clips(recordings: Path, set_name: str, label: str, count: int) -> Pcm:
    """Return clips of a set and label, spread evenly over all there are, joined: float32[n] at 16 kHz."""
    with (recordings / "clips.csv").open(encoding="utf-8", newline="") as table:
        rows = [row for row in csv.DictReader(table) if (row["set"], row["label"]) == (set_name, label)]
    chosen = [rows[index * len(rows) // count] for index in range(count)]
    pieces = []
    for row in chosen:
        pcm, rate_hz = soundfile.read(recordings / row["path"], dtype="float32", always_2d=True)
        assert rate_hz == 16_000
        pieces.append(pcm[:, 0])
    return np.concatenate(pieces)


@pytest.fixture(scope="module")
def siren(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a WAV of 9 s of traffic, 12 s of a real siren, and 9 s of traffic."""
    path = tmp_path_factory.mktemp("siren") / "siren.wav"
    traffic = clips(recordings, "kaggle_sirens", "traffic", 3)
    heard = np.tile(clips(recordings, "kaggle_sirens", "siren", 1), 4)
    soundfile.write(path, np.concatenate((traffic, heard, traffic)), 16_000)
    return path


def test_a_real_siren_reaches_a_subscriber_by_replay(sirend: Command, broker: Broker, siren: Path) -> None:
    (sirend.folder / "c.yaml").write_text(f"site: main-5th\nmqtt: {{port: {broker.port}}}\n")
    with broker.subscribe(EVENT) as subscriber:
        assert sirend("replay", "--config", "c.yaml", "--mqtt", siren).returncode == 0
        events = [json.loads(message.payload) for message in subscriber.take(2)]
    assert [event["type"] for event in events] == ["emergency_approaching", "emergency_cleared"]
    assert 9.0 < events[0]["sample"] / 16_000 < 13.0


def test_a_real_siren_reaches_a_subscriber_by_microphone(
    run: Run, pulse: PulseAudio, broker: Broker, siren: Path
) -> None:
    with broker.subscribe(EVENT) as subscriber:
        daemon = run(f"site: main-5th\nmqtt: {{port: {broker.port}}}\n", pulse.environment)
        daemon.until_logged("the first window is scored")
        pulse.play(siren)
        events = [json.loads(message.payload) for message in subscriber.take(2)]
        assert daemon.stop() == 0
    assert [event["type"] for event in events] == ["emergency_approaching", "emergency_cleared"]


def test_ten_minutes_of_street_give_no_call(sirend: Command, recordings: Path) -> None:
    labels = ("street_music", "drilling", "children_playing")
    street = np.concatenate([clips(recordings, "us8k", label, 55) for label in labels])
    assert len(street) > 600 * 16_000
    soundfile.write(sirend.folder / "street.flac", street, 16_000)
    done = sirend("replay", "street.flac")
    assert done.returncode == 0
    assert done.stderr.startswith("sirend: street.flac: no call; the highest score is ")
    assert done.stdout.count('"type":"emergency_approaching"') == 0
