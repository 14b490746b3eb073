from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sirend.cli.doctor import host
from sirend.cli.doctor.finding import Grade
from sirend.config.settings import ClipsConfig, Config, JournalConfig
from sirend.detect import bundle
from sirend.detect.classifier import Classifier

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("milli", "grade"), [("51200", "ok"), ("74000", "warning"), ("81000", "FAULT"), ("warm", "not tried")]
)
def test_a_hot_processor_is_told_before_it_slows_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, milli: str, grade: str
) -> None:
    monkeypatch.setattr(host, "THERMAL", tmp_path / "temp")
    (tmp_path / "temp").write_text(f"{milli}\n")
    assert host.temperature().grade == grade


@pytest.mark.parametrize(
    ("said", "grade", "part"),
    [
        ("throttled=0x0", "ok", "never"),
        ("throttled=0x50005", "FAULT", "the voltage is too low now"),
        ("throttled=0x50000", "warning", "the processor was slowed down since the start"),
        ("no", "not tried", "does not answer"),
    ],
)
def test_a_raspberry_pi_tells_of_its_power(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, grade: str, part: str
) -> None:
    program = tmp_path / "vcgencmd"
    program.write_text(f"#!/bin/sh\necho {said}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = host.throttling()
    assert found.grade == grade
    assert part in found.text


def test_the_kernel_is_asked_about_the_clock() -> None:
    found = host.clock()
    assert found.grade in (Grade.OK, Grade.WARNING, Grade.SKIPPED)
    assert "synchronised" in found.text


def test_disks_have_room_or_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(
        journal=JournalConfig(path=tmp_path / "events.jsonl"), clips=ClipsConfig(enabled=True, path=tmp_path / "none")
    )
    journal, clips = host.disks(config)
    assert journal.text.startswith("journal: ")
    assert f"MB free at {tmp_path}" in journal.text
    assert f"{tmp_path / 'none'} is missing" in clips.text
    monkeypatch.setattr(host, "LEAST_FREE_MB", 10**9)
    assert next(iter(host.disks(config))).grade is Grade.FAULT
    assert list(host.disks(Config())) == []


def test_the_models_speed_is_held_against_the_hop(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = bundle.load(bundle.find(None))
    found = host.speed(Config(), loaded)
    assert "of the 250 until the next" in found.text
    times = iter(range(100))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(times)))
    slow = host.speed(Config(), loaded)
    assert slow.grade is Grade.FAULT
    assert "takes 1000 ms of the 250" in slow.text


def test_the_model_is_timed_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[bundle.Bundle] = []

    def classifier(model: bundle.Bundle, approaches: int) -> Classifier:
        timed.append(model)
        return Classifier(model, approaches)

    monkeypatch.setattr(host, "Classifier", classifier)
    loaded = bundle.load(bundle.find(None))
    host.speed(Config(), loaded)
    assert loaded.streaming.wake is not None
    assert [model.streaming.wake for model in timed] == [None]
