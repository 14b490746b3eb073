"""The page of figures quotes what its commands print, and hides no failure."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tests.bench import report

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def part(name: str, code: str) -> report.Part:
    return report.Part(name, [sys.executable, "-c", code], f"make {name}", {"FIGURE": "42 ms"})


def test_a_page_has_machine_commit_and_the_output_of_every_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [part("one", "import os; print(os.environ['FIGURE'])"), part("two", "print('7 MB')")]
    monkeypatch.setattr(report, "parts", lambda *_: made)
    assert report.main(["--out", str(tmp_path)]) == 0
    page = (tmp_path / "index.md").read_text()
    assert "```\n42 ms\n```" in page
    assert "```\n7 MB\n```" in page
    assert "commit " in page
    assert "model siren-" in page
    assert "Not measured: no recordings were given" in page


def test_a_part_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "parts", lambda *_: [part("one", "raise SystemExit('no broker')")])
    assert report.main(["--out", str(tmp_path)]) == 1
    assert "**failed** with 1\n\n```\nno broker\n```" in (tmp_path / "index.md").read_text()


def test_tables_and_pictures_of_the_evaluation_are_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / report.DETECTION
    folder.mkdir()
    (folder / "report.md").write_text("# siren-1\n\n![curves](curves.png) and [a page](https://example.org)\n")
    monkeypatch.setattr(report, "parts", lambda *_: [part("Detection", "")])
    assert report.main(["--out", str(tmp_path), "--data", str(tmp_path)]) == 0
    page = (tmp_path / "index.md").read_text()
    assert "### siren-1\n\n![curves](detection/curves.png) and [a page](https://example.org)" in page
    assert "Not measured" not in page


def test_recordings_add_the_evaluation_and_every_file_that_is_run_is_there(tmp_path: Path) -> None:
    without = report.parts(None, None, tmp_path)
    whole = report.parts(tmp_path, tmp_path / "yamnet.tflite", tmp_path)
    assert [each.name for each in whole] == [*(each.name for each in without), "Detection"]
    assert whole[-1].words[-2:] == ["--peer", str(tmp_path / "yamnet.tflite")]
    files = [word for each in whole for word in each.words if word.endswith(".py")]
    assert len(files) == 5
    assert all((report.ROOT / file).is_file() for file in files)
