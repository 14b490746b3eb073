"""``sirend record`` beside a siren: what it keeps is read by training's own reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.e2e.conftest import Command, Daemon

from sirend.training.corpus import read_clips

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Broker
    from tests.e2e.conftest import PulseAudio

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


class Recorder(Daemon):
    """``sirend record`` as a subprocess."""

    words = ("record", "--out", "street")


def test_a_siren_is_kept_for_review_and_still_called(
    pulse: PulseAudio, broker: Broker, drive_by: Path, tmp_path: Path
) -> None:
    with (
        broker.subscribe() as subscriber,
        Recorder(Command(tmp_path, pulse.environment), f"site: main-5th\nmqtt: {{port: {broker.port}}}\n") as recorder,
    ):
        recorder.until_logged("the first window is scored")
        pulse.play(drive_by)
        recorder.until_logged("street: kept ")
        assert recorder.stop() == 0
        subscriber.until("sirend/main-5th/main/event")
    table = tmp_path / "street" / "clips.csv"
    assert ",review,nearly_called," in table.read_text()
    assert "own recording, blurred" in table.read_text()
    assert read_clips(table) == (), "nobody has listened to it yet"
    assert (tmp_path / "street").stat().st_mode & 0o077 == 0
