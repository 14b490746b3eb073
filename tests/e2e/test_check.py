"""``sirend check`` and the microphones, which it opens when it is asked to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.e2e.conftest import Command

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import PulseAudio

pytestmark = pytest.mark.system


def test_devices_are_opened_on_demand_and_said_to_be_overlooked_otherwise(pulse: PulseAudio, tmp_path: Path) -> None:
    command = Command(tmp_path, pulse.environment)
    file = tmp_path / "sirend.yaml"
    file.write_text("site: main-5th\n")
    there = command("check", "--config", "sirend.yaml", "--devices")
    assert there.returncode == 0, there.stderr
    assert "opened: 'default'" in there.stdout
    assert "microphone" not in there.stdout
    file.write_text("site: main-5th\naudio: {device: no-such}\n")
    plain = command("check", "--config", "sirend.yaml")
    assert (plain.returncode, plain.stderr) == (0, "")
    assert plain.stdout.splitlines()[1].startswith("ADVISORY ONLY: ")
    assert "not looked at: whether the microphone is there (sirend check --devices), the broker" in plain.stdout
    missing = command("check", "--config", "sirend.yaml", "--devices")
    assert missing.returncode == 69
    assert "audio.device 'no-such' fits no input" in missing.stderr
