"""The page of figures quotes what its commands print, hides no failure, and goes on where it was."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
from tests.bench import figures, plots, report
from tests.bench.report import Part, Wanted

if TYPE_CHECKING:
    from pathlib import Path

TELL = (
    "import os; from tests.bench import figures; figures.record(hours=4, memory=[[1, 90.0], [2, 91.0]]); print('7 MB')"
)
WHOLE: dict[str, figures.Figures] = {
    "speed": {"models": {"siren-9.9.9": {"cpu_ms": 23.0}}, "peer_cpu_ms": 2.2},
    "motion": {"motion": {"right": 5, "wrong": 1}, "legs": {"right": 3, "another later": 1}},
    "fleet": {name: {"p50": 1.0, "p95": 2.0, "p99": 3.0} for name in ("beat_ms", "event_ms")},
    "soak": {"memory": [[0.5, 90.0], [1.0, 90.5]]},
}


def part(key: str, code: str, folder: str | None = None) -> Part:
    return Part(key.capitalize(), key, [sys.executable, "-c", code], f"make {key}", {"FIGURE": "42 ms"}, folder)


def made(monkeypatch: pytest.MonkeyPatch, *chosen: Part) -> None:
    monkeypatch.setattr(report, "parts", lambda _: list(chosen))


def test_a_page_has_machine_commit_output_and_pictures_of_every_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bar = "print('listening:  50%|#####     | 1/2'); "
    made(monkeypatch, part("one", f"import os; {bar}print(os.environ['FIGURE'])"), part("soak", TELL))
    kept = tmp_path / "figures.json"
    kept.write_text('{"fleet": {"sites": 3}, "soak": {"hours": 1}}')
    assert report.main(["--out", str(tmp_path), "--figures", str(kept)]) == 0
    page = (tmp_path / "index.md").read_text()
    assert "```\n42 ms\n```" in page
    assert "![Soak](soak.png)\n\n```\n7 MB\n```" in page
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")
    assert "commit " in page
    assert "model siren-" in page
    assert "Not measured: no recordings were given" in page
    assert "[1/2] One: make one\n  listening:" in capsys.readouterr().out
    known = json.loads(kept.read_text())
    assert (known["fleet"], known["soak"]["hours"], set(known)) == ({"sites": 3}, 4, {"fleet", "soak"})
    assert {"commit", "machine", "when", "load"} <= set(known["soak"])


def test_what_was_measured_is_not_measured_again_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = tmp_path / "counter"
    made(monkeypatch, part("one", f"open({str(counter)!r}, 'a').write('x')"), part("two", "raise SystemExit(2)"))
    words = ["--out", str(tmp_path), "--figures", str(tmp_path / "figures.json")]
    assert [report.main(words) for _ in range(2)] == [1, 1]
    assert counter.read_text() == "x"
    assert report.main([*words, "--again", "--only", "One"]) == 0
    assert counter.read_text() == "xx"
    monkeypatch.setattr(report, "_git", lambda *_: "another")
    assert report.main([*words, "--only", "One"]) == 0
    assert counter.read_text() == "xxx"


def test_a_part_that_fails_is_told_and_leaves_no_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(monkeypatch, part("one", f"{TELL}; raise SystemExit('no broker')"))
    kept = tmp_path / "figures.json"
    assert report.main(["--out", str(tmp_path), "--figures", str(kept)]) == 1
    assert "**failed** with 1\n\n```\n7 MB\nno broker\n```" in (tmp_path / "index.md").read_text()
    assert not kept.exists()


def test_a_quick_report_leaves_the_figures_of_readme_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(monkeypatch, part("soak", TELL))
    kept = tmp_path / "figures.json"
    assert report.main(["--out", str(tmp_path), "--figures", str(kept), "--quick"]) == 0
    assert "7 MB" in (tmp_path / "quick" / "index.md").read_text()
    assert not kept.exists()


def test_tables_and_pictures_of_the_evaluation_are_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / report.DETECTION
    folder.mkdir()
    (folder / "report.md").write_text("# siren-1\n\n![curves](curves.png) and [a page](https://example.org)\n")
    (folder / "report.json").write_text('{"hours_of_other_sounds": 2}')
    made(monkeypatch, part("detection", "", report.DETECTION))
    kept = tmp_path / "figures.json"
    assert report.main(["--out", str(tmp_path), "--data", str(tmp_path), "--figures", str(kept)]) == 0
    assert json.loads(kept.read_text())["detection"]["hours_of_other_sounds"] == 2
    page = (tmp_path / "index.md").read_text()
    assert "### siren-1\n\n![curves](detection/curves.png) and [a page](https://example.org)" in page
    assert "Not measured" not in page


def test_recordings_add_the_evaluation_of_what_ships_and_of_what_was_trained_without_a_set(tmp_path: Path) -> None:
    without = report.parts(Wanted(tmp_path))
    (tmp_path / "held-out" / "esc50" / "siren-1.0.0").mkdir(parents=True)
    peer = tmp_path / "yamnet.tflite"
    whole = report.parts(Wanted(tmp_path, tmp_path, peer, tmp_path / "held-out"))
    assert [each.key for each in whole] == [*(each.key for each in without), "detection", "without-esc50"]
    for each in whole[-2:]:
        assert each.words[each.words.index("--peer") + 1] == str(peer)
    assert whole[-1].words[whole[-1].words.index("--set") + 1] == "esc50"
    files = [word for each in whole for word in each.words if word.endswith(".py")]
    modules = [word for each in whole for word in each.words if word.startswith("tests.bench.")]
    assert all((report.ROOT / file).is_file() for file in files)
    assert all((report.ROOT / f"{module.replace('.', '/')}.py").is_file() for module in modules)
    assert (len(files), len(modules)) == (3, 3)
    assert len({each.key for each in whole}) == len(whole)


@pytest.mark.parametrize("key", WHOLE)
def test_every_part_with_figures_of_its_own_has_a_picture(tmp_path: Path, key: str) -> None:
    drawn = plots.draw(key, WHOLE[key], tmp_path)
    assert drawn is not None
    assert drawn.read_bytes().startswith(b"\x89PNG")
    assert plots.draw(key, {}, tmp_path) is None
    assert plots.draw("detection", WHOLE[key], tmp_path) is None


def test_figures_are_told_where_the_environment_says_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(figures.VARIABLE, raising=False)
    figures.record(a=1)
    monkeypatch.setenv(figures.VARIABLE, str(tmp_path / "told"))
    figures.record(a=1, b=2)
    figures.record(b=3)
    assert json.loads((tmp_path / "told").read_text()) == {"a": 1, "b": 3}
    assert figures.spread([1.0, 2.0, 3.0]) == {"p50": 2.0, "p95": 2.9, "p99": 2.98, "worst": 3.0}
    assert figures.spread([])["worst"] == float("inf")
