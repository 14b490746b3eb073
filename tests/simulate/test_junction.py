"""A junction of four legs: its physics, and whether the right leg is called. `make drives` runs more drives."""

import json
import os
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.bench import figures
from tests.simulate.crossings import crossing

from sirend.audio.stream import Block, Samples
from sirend.call.clock import ReplayClock
from sirend.call.scribe import Scribe
from sirend.cli import arguments
from sirend.cli import main as cli
from sirend.config.settings import Approach, AudioConfig, Config
from sirend.detect import bundle
from sirend.detect.bundle import Bundle
from sirend.detect.classifier import Classifier
from sirend.pipeline import Stages, detect
from sirend.simulate.junction import LEGS, render_at_junction
from sirend.simulate.levels import RATE_HZ
from sirend.simulate.scene import Scene, write_scene
from sirend.simulate.street import KMH

DRIVES = int(os.environ.get("SIREND_DRIVES", "20"))
SITE = Config(
    audio=AudioConfig(channels=4),
    approaches=tuple(Approach(leg, i, bearing) for i, (leg, bearing) in enumerate(LEGS.items())),
)


def _called(model: Bundle, ear: Classifier, scene: Scene, leg: str) -> list[str]:
    """Return the legs that were called, in order, through the whole pipeline."""
    scribe = Scribe(
        site="main-5th", boot_id="replay", mode="replay", model=model.name, clock=ReplayClock(), valid_for_s=5.0
    )
    stages = Stages.of(SITE, model, ear, scribe, channels=range(len(LEGS)))
    events = detect([Block(Samples(0), render_at_junction(scene, leg=leg).pcm)], stages)
    return [event.approach for event in events if not event.refresh and event.type == "emergency_approaching"]


def test_the_right_leg_is_called_and_no_other() -> None:
    model = bundle.load(bundle.find(None))
    ear = Classifier(model, len(LEGS))
    found: Counter[str] = Counter()
    for seed in range(DRIVES):
        snr_db = float(np.random.default_rng(seed + 1000).uniform(0.0, 30.0))
        scene, leg = crossing(np.random.default_rng(seed), seed, snr_db)
        called = _called(model, ear, scene, leg)
        found["right" if called[:1] == [leg] else "wrong" if called else "none"] += 1
        found["another later"] += called[1:] != []
    sys.stdout.write(f"\nleg called over {DRIVES} drive-bys at a junction, SNR 0 to 30 dB: {dict(found)}\n")
    figures.record(junction_drives=DRIVES, legs=dict(found))
    # .95 until siren-2.0.0, which hears real sirens better in real streets and faint synthetic ones worse. siren-2.4.0
    # calls 189 of 200 on their leg, 2 on another and none on a second; of the first 20, those of `make test`, 18 and
    # none.
    assert found["right"] >= 0.85 * DRIVES
    assert found["wrong"] <= 0.01 * DRIVES
    assert found["another later"] <= 0.01 * DRIVES


@pytest.mark.parametrize("leg", LEGS)
def test_the_leg_that_it_comes_by_hears_it_first_and_the_opposite_one_last(leg: str) -> None:
    truth = render_at_junction(Scene(start_m=150.0, speed_kmh=50.0, snr_db=30.0, pass_m=3.0), leg=leg).truth
    opposite = list(LEGS)[(list(LEGS).index(leg) + 2) % 4]
    snr_db = {name: np.array(each["snr_db"]) for name, each in truth["approaches"].items()}
    pass_s = truth["closest_s"]
    before, after = round(10 * (pass_s - 3.0)), round(10 * (pass_s + 5.0))
    assert max(snr_db, key=lambda name: snr_db[name][before]) == leg
    assert snr_db[leg][before] > max(snr_db[name][before] for name in LEGS if name != leg) + 10.0
    assert max(snr_db, key=lambda name: snr_db[name][after]) == opposite
    assert snr_db[leg][round(10 * pass_s)] == pytest.approx(30.0, abs=4.0)


def test_microphones_hear_one_siren_each_by_its_own_way() -> None:
    scene = Scene(start_m=60.0, speed_kmh=40.0, snr_db=60.0, pass_m=3.0)
    rendered = render_at_junction(scene, leg="north")
    assert rendered.pcm.shape == (round(scene.duration_s * RATE_HZ), 4)
    north, south = rendered.pcm[RATE_HZ : 3 * RATE_HZ, 0], rendered.pcm[RATE_HZ : 3 * RATE_HZ, 2]
    lags = np.correlate(north, south[2000:-2000], "valid")
    delay = 2000 - int(np.argmax(np.abs(lags)))
    assert delay / RATE_HZ * 340.0 == pytest.approx(24.0, abs=2.0)  # the masts stand 24 m apart along the way


def test_the_file_has_a_channel_a_leg_and_the_truth_beside_it(tmp_path: Path) -> None:
    scene = Scene(start_m=30.0, speed_kmh=60.0, seed=3)
    write_scene(scene, tmp_path / "direct.wav", partial(render_at_junction, leg="west"))
    words = ["--start-m", "30", "--speed-kmh", "60", "--seed", "3", "--approaches", "--leg", "west"]
    assert cli.main(["simulate", str(tmp_path / "out.wav"), *words]) == 0
    assert (tmp_path / "out.wav").read_bytes() == (tmp_path / "direct.wav").read_bytes()
    assert soundfile.info(tmp_path / "out.wav").channels == 4
    truth = json.loads((tmp_path / "out.json").read_text())
    assert (truth["schema"], truth["leg"]) == ("sirend/junction-truth/1", "west")
    assert {name: each["channel"] for name, each in truth["approaches"].items()} == {
        "north": 0,
        "east": 1,
        "south": 2,
        "west": 3,
    }


def test_a_junction_has_levels_buildings_and_a_stop_line_too() -> None:
    scene = Scene(start_m=150.0, speed_kmh=50.0, pass_m=3.0, in_sight_m=80.0, stop_line_m=5.0)
    truth = render_at_junction(scene, leg="east").truth
    east = truth["approaches"]["east"]
    assert truth["stop_line_s"] == pytest.approx(155.0 / (50.0 * KMH), abs=1e-3)
    # 112 dB at 4.2 m, of which the cone takes up to 20 dB when it is abreast.
    assert 92.0 < east["level_db"][round(10 * truth["closest_s"])] < 114.0
    before, after = (np.array(east["level_db"])[[20, 30]], np.array(east["level_db"])[[60, 70]])
    assert after.min() - before.max() > 10.0
    assert truth["approaches"]["west"]["first_audible_s"] > east["first_audible_s"]


@pytest.mark.parametrize(
    ("levels", "said"), [(["--siren-db", "110"], "--siren-db"), (["--street-db", "60"], "--street-db")]
)
def test_a_ratio_and_a_level_contradict_each_other(
    tmp_path: Path, levels: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["simulate", str(tmp_path / "out.wav"), "--snr-db", "5", *levels]) == 64
    assert f"--snr-db and {said} contradict each other" in capsys.readouterr().err


def test_a_leg_needs_a_junction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["simulate", str(tmp_path / "out.wav"), "--leg", "west"]) == 64
    assert capsys.readouterr().err == "sirend: error: --leg west means nothing without --approaches\n"


def test_the_command_line_knows_the_legs() -> None:
    assert tuple(LEGS) == arguments.LEGS
