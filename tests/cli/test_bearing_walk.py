"""``sirend bearing``: from a recording, and from a device that plays one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pytest
import soundfile
from tests.detect.claps import claps

from sirend.audio.stream import Block, Samples
from sirend.cli import bearing_walk
from sirend.cli.main import main
from sirend.config.geometry import KNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sirend.audio.stream import Pcm

QUAD = KNOWN["respeaker-4"]
SITE = """\
site: main-5th
array: {device: "USB array", geometry: respeaker-4, heading_deg: HEADING, unknown_leg: hold}
approaches:
  - {name: north, bearing_deg: 0}
  - {name: east, bearing_deg: 90}
"""
ROUND = "0,90,180,270"


def device(pcm: Pcm) -> Pcm:
    """Return the six columns of the device, of which 0 is processed."""
    made = np.zeros((len(pcm), 6), np.float32)
    made[:, QUAD.channels] = pcm
    return made


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(SITE.replace("HEADING", "0"))
    return path


def walk(site: Path, pcm: Pcm, *more: str) -> int:
    wav = site.with_name("claps.wav")
    soundfile.write(wav, pcm, 16_000, subtype="FLOAT")
    return main(["bearing", "--config", str(site), "--wav", str(wav), *more])


def test_each_clap_is_printed_and_an_array_that_is_right_ends_with_0(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert walk(site, device(claps(QUAD, (0.0, 90.0, 180.0, 270.0))), "--expect", ROUND) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [each.partition(":")[0] for each in lines] == ["clap 1", "clap 2", "clap 3", "clap 4", "ok"]
    assert "degrees, +" in lines[1] or "degrees, -" in lines[1]
    assert "from the 90 expected" in lines[1]
    assert lines[1].endswith("dBFS")
    assert lines[4] == "ok: 4 claps agree with the array as it is configured"


def test_heading_and_channels_that_are_wrong_end_with_78(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pcm = device(claps(QUAD, (0.0, 90.0, 180.0, 270.0)))
    site.write_text(SITE.replace("HEADING", "50"))
    assert walk(site, pcm, "--expect", ROUND) == 78
    assert "the heading is off by +50 degrees: set array.heading_deg to 0" in capsys.readouterr().err
    site.write_text(SITE.replace("HEADING", "0"))
    assert walk(site, pcm[:, [0, 3, 2, 1, 4, 5]], "--expect", ROUND) == 78
    assert f"{site}: columns 1 and 3 are swapped" in capsys.readouterr().err
    assert walk(site, pcm[:, [0, 3, 2, 1, 4, 5]]) == 78
    assert "opposite each other are swapped" in capsys.readouterr().err


def test_a_dead_microphone_ends_with_69(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pcm = device(claps(QUAD, (0.0, 90.0, 180.0, 270.0)))
    pcm[:, 3] = 0.0
    assert walk(site, pcm) == 69
    assert "the microphone in column 3 does not hear the claps" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (slice(0, 1), "it has 1 columns, and the array's microphones are 1, 2, 3, 4"),
        (slice(0, 6), "3 claps were heard; 4 were expected"),
    ],
)
def test_a_recording_that_is_another_ends_with_66(
    site: Path, columns: slice, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pcm = device(claps(QUAD, (0.0, 90.0, 180.0)))
    assert walk(site, pcm[:, columns], "--expect", ROUND) == 66
    assert said in capsys.readouterr().err


def test_a_site_without_array_ends_with_78_and_a_wrong_list_with_64(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "one.yaml"
    path.write_text("site: main-5th\n")
    assert main(["bearing", "--config", str(path)]) == 78
    assert "a single microphone has no bearing" in capsys.readouterr().err
    assert main(["bearing", "--config", str(path), "--expect", "0,east"]) == 64
    assert "no list of bearings from 0 to 360" in capsys.readouterr().err


class Walk:
    """An input that someone claps beside."""

    def __init__(self, pcm: Pcm, stop: Any) -> None:  # noqa: ANN401  an event
        self._pcm, self._stop = pcm, stop

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def __iter__(self) -> Iterator[tuple[int, Block]]:
        for start in range(0, len(self._pcm), 1_600):
            if self._stop.is_set():
                return
            yield 0, Block(Samples(start), self._pcm[start : start + 1_600])


def test_the_device_is_heard_until_the_claps_are_complete_or_time_is_up(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pcm = device(claps(QUAD, (0.0, 90.0, 180.0, 270.0)))
    monkeypatch.setattr(bearing_walk, "Devices", lambda _, stop: Walk(pcm, stop))
    assert main(["bearing", "--config", str(site), "--expect", "0,90"]) == 0
    out = capsys.readouterr().out
    assert "clap once at 0, 90 degrees, in that order" in out
    assert "clap 3" not in out, "it ends when all were heard"
    assert main(["bearing", "--config", str(site), "--seconds", "0"]) == 69
    assert "0 claps were heard; clap louder and nearer" in capsys.readouterr().err
