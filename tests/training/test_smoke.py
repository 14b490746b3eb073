"""``sirend train --smoke`` and ``sirend evaluate`` on a corpus that the test makes itself."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sirend.detect import bundle as bundles
from sirend.simulate.synthesis import synthesise
from sirend.simulate.variation import random_tone
from sirend.training import confusers

RATE_HZ = 16_000


def make_corpus(folder: Path, clips: int = 16) -> None:
    rng = np.random.default_rng(0)
    with (folder / "clips.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["path", "set", "class", "label", "group", "licence", "seconds"])
        for number in range(clips):
            is_siren = number % 2 == 0
            tone = random_tone(rng)
            pcm = synthesise(tone, 3 * RATE_HZ, RATE_HZ, rng) if is_siren else confusers.draw_confuser(rng, 3 * RATE_HZ)
            soundfile.write(folder / f"{number}.wav", 0.3 * pcm, RATE_HZ)
            kind, label = ("emergency", "siren") if is_siren else ("other", "confuser")
            table.writerow([f"{number}.wav", "made", kind, label, f"g{number}", "CC0", 3.0])


def sirend(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sirend", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)


@pytest.mark.training
@pytest.mark.timeout(1_200)
def test_a_folder_of_clips_becomes_a_model_that_can_be_evaluated(tmp_path: Path) -> None:
    make_corpus(tmp_path)
    out = tmp_path / "siren-9.0.0"
    trained = sirend("train", "--data", tmp_path, "--out", out, "--smoke")
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout == f"wrote {out}\n"
    first, ours = bundles.load(out), bundles.load(bundles.find(None))
    assert first.name.startswith("siren-9.0.0@")
    assert first.streaming.wake is not None
    assert ours.streaming.wake is not None
    assert first.streaming.wake.over <= ours.streaming.wake.over
    same = replace(first.streaming, wake=ours.streaming.wake)
    assert same == ours.streaming, "another head on the backbone that ships"
    assert first.digest != ours.digest
    assert (first.operating, first.strict, first.calibration) == (ours.operating, ours.strict, ours.calibration)
    log = [json.loads(line) for line in (tmp_path / "siren-9.0.0.work" / "head" / "log.jsonl").read_text().splitlines()]
    assert [each["step"] for each in log] == [1]
    said = json.loads((out / "training.json").read_text())
    assert (said["episodes"], said["episodes_kept_back"], said["sets"]) == (40, 4, ["made"])
    assert 0.5 < said["right_of_kept_back"] <= 1.0
    assert 0.5 < said["right_of_kept_back_before"] <= 1.0

    again = sirend("train", "--data", tmp_path, "--out", out, "--smoke")
    assert again.returncode == 0, again.stderr
    assert bundles.load(out).digest == first.digest, "a finished training that is started again changes nothing"

    (tmp_path / "site.yaml").write_text(f"site: main-5th\ndetect: {{model: {out}}}\n")
    checked = sirend("check", "--config", tmp_path / "site.yaml")
    assert checked.returncode == 0, checked.stderr
    assert f"model {first.name}: digests verified, 113 golden windows give the same scores here" in checked.stdout
    replayed = sirend("replay", "--model", out, tmp_path / "0.wav")
    assert replayed.returncode == 0, replayed.stderr

    report = tmp_path / "report"
    judged = sirend(
        "evaluate", "--data", tmp_path / "clips.csv", "--model", out, "--mixtures", "2",
        "--soundscape-hours", "0.05", "--drive-bys", "0", "--report", report,
    )  # fmt: skip
    assert judged.returncode == 0, judged.stderr
    card = json.loads((report / "report.json").read_text())
    assert card["clips"] == {"siren": 8, "other": 8}
    assert card["soundscape"]["sirend"]["sirens"] <= 3
    assert "![DET and PR curves](curves.png)" in (report / "report.md").read_text()
    assert (report / "curves.png").is_file()
    assert card["hours_of_other_sounds"] == pytest.approx(8 * 3 / 3600, abs=1e-3)


def test_a_folder_without_clips_is_named(tmp_path: Path) -> None:
    done = sirend("train", "--data", tmp_path, "--out", tmp_path / "siren-9.0.0")
    assert done.returncode == 66
    assert "clips.csv" in done.stderr
