from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from sirend.cli.main import main
from sirend.config.geometry import KNOWN
from sirend.simulate.array_scene import render_at_array
from sirend.simulate.scene import Scene
from sirend.simulate.street import Air, DriveBy, drive_by

if TYPE_CHECKING:
    from pathlib import Path

SHORT = Scene(siren="hilo", profile="de", start_m=40.0, speed_kmh=50.0, snr_db=20.0, seed=3)


def test_delays_between_microphones_are_exact_to_a_thousandth_of_a_sample() -> None:
    rate, hz = 16_000, 500.0
    ways = [DriveBy(60.0, 0.0, 8.0, ground_reflection=0.0), DriveBy(60.0 - 0.0323, 0.0, 8.0, ground_reflection=0.0)]
    since_s = float(ways[0].emission_s(np.zeros(1), Air())[0]) - 0.01
    source = np.sin(2 * np.pi * hz * np.arange(3 * rate) / rate).astype(np.float32)
    heard = [drive_by(source, way, rate, samples=2 * rate, since_s=since_s, absorbing=False)[0] for way in ways]
    turn = np.exp(-2j * np.pi * hz * np.arange(rate) / rate)
    phases = [np.angle(np.sum(each[rate // 2 : rate // 2 + rate] * turn)) for each in heard]
    expected_s = float(ways[0].distance_m(np.zeros(1))[0] - ways[1].distance_m(np.zeros(1))[0]) / Air().sound_m_s
    measured_s = ((phases[1] - phases[0]) % (2 * np.pi)) / (2 * np.pi * hz)
    assert measured_s * rate == pytest.approx(expected_s * rate, abs=1e-3)


def test_the_same_scene_gives_the_same_samples_in_the_columns_of_the_device() -> None:
    array = KNOWN["respeaker-4"]
    once, again = (render_at_array(SHORT, array, bearing_deg=90.0) for _ in range(2))
    assert np.array_equal(once.pcm, again.pcm)
    assert once.pcm.shape[1] == 6
    microphones = once.pcm[:, list(array.channels)]
    assert np.allclose(once.pcm[:, 0], microphones.mean(axis=1), atol=1e-6)
    assert once.truth["from_deg"] == 90.0


def test_the_bearing_begins_where_it_comes_from_and_ends_opposite() -> None:
    truth = render_at_array(SHORT, KNOWN["respeaker-4"], bearing_deg=90.0).truth
    assert truth["bearing_deg"][0] == pytest.approx(90.0, abs=12.0)
    assert truth["bearing_deg"][-1] == pytest.approx(270.0, abs=13.0)
    assert len(truth["bearing_deg"]) == len(truth["time_s"]) == len(truth["snr_db"])


def test_the_command_writes_an_array(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drive = ["--start-m", "30", "--speed-kmh", "60", "--snr-db", "10"]
    out = tmp_path / "array.wav"
    assert main(["simulate", str(out), "--array", "uma-8", "--bearing-deg", "45", "--houses", *drive]) == 0
    pcm, _ = soundfile.read(out)
    assert pcm.shape[1] == 8
    truth = json.loads(out.with_suffix(".json").read_text())
    assert (truth["from_deg"], truth["houses_m"]) == (45.0, [14.0, -12.0])
    assert main(["simulate", str(out), "--bearing-deg", "45", *drive]) == 64
    assert "mean nothing without --array" in capsys.readouterr().err
    assert main(["simulate", str(out), "--array", "uma-8", "--approaches", *drive]) == 64
