"""``sirend doctor`` on a computer with a microphone and a broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.conftest import free_port
from tests.e2e.conftest import Command

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Broker
    from tests.e2e.conftest import PulseAudio

pytestmark = pytest.mark.system


def test_a_site_that_is_well_and_one_that_is_not(pulse: PulseAudio, broker: Broker, tmp_path: Path) -> None:
    file = tmp_path / "sirend.yaml"
    file.write_text(f"site: main-5th\nmqtt: {{port: {broker.port}}}\njournal: {{path: events.jsonl}}\n")
    command = Command(tmp_path, pulse.environment)
    night = command("doctor", "--config", "sirend.yaml", "--stopped")
    assert "very quiet, unless it is night" in night.stdout
    pulse.still()
    pulse.murmur(level_dbfs=-45.0)
    well = command("doctor", "--config", "sirend.yaml", "--stopped")
    lines = well.stdout.splitlines()
    assert well.returncode == 0, well.stdout + well.stderr
    assert any(line.startswith("ok") and "main: level " in line for line in lines)
    assert any("until the next" in line for line in lines)
    assert lines[-1].startswith(tuple("123456789"))
    file.write_text(f"site: main-5th\nmqtt: {{port: {free_port()}}}\naudio: {{device: no-such}}\n")
    ill = command("doctor", "--config", "sirend.yaml")
    assert ill.returncode == 69
    assert ill.stdout.count("FAULT") == 3, ill.stdout
    assert "2 faults; the lines above say what to do" in ill.stderr
    file.write_text("site: main-5th\nmqtt: {prot: 1}\n")
    wrong = command("doctor", "--config", "sirend.yaml")
    assert wrong.returncode == 78
    assert "did you mean" in wrong.stdout
