from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sirend.errors import UsageError
from sirend.training import commands
from sirend.training.corpus import Clip, Kind
from sirend.training.recipe import Recipe

RECIPE = Path(__file__).parents[2] / "models" / "recipe.yaml"


def _clip(group: str, path: str = "1.wav") -> Clip:
    return Clip(path, "a", Kind.OTHER, "x", group, "CC0", 1.0)


def _train(*words: str | Path) -> int:
    parser = argparse.ArgumentParser()
    commands.add_arguments(parser)
    return commands.main(parser.parse_args([str(word) for word in words]))


def _recordings(folder: Path) -> Path:
    soundfile.write(folder / "1.wav", np.zeros(1_600), 16_000)
    header = "path,set,class,label,group,licence,seconds"
    (folder / "clips.csv").write_text(f"{header}\n1.wav,made,other,x,1,CC0,0.1\n")
    return folder


def test_help_and_recipes_need_no_tensorflow() -> None:
    code = "import sys; from sirend.training import commands, pool, recipe; sys.exit('tensorflow' in sys.modules)"
    daemon = Path(__file__).parents[2] / "daemon"
    assert subprocess.run([sys.executable, "-c", code], cwd=daemon, timeout=120, check=False).returncode == 0


def test_a_tenth_of_the_recordings_is_kept_back_whole() -> None:
    plan = Recipe(name="siren-0.0.0", held_out=0.1)
    groups = [f"us8k/{number}" for number in range(3_000)]
    back = [commands.kept_back(_clip(group), plan) for group in groups]
    assert sum(back) == pytest.approx(300, abs=70)
    assert back == [commands.kept_back(_clip(group, "2.wav"), plan) for group in groups]


@pytest.mark.parametrize(("held_out", "kept"), [(0.0, False), (1.0, True)])
def test_none_or_all_can_be_kept_back(held_out: float, *, kept: bool) -> None:
    plan = Recipe(name="siren-0.0.0", held_out=held_out)
    assert {commands.kept_back(_clip(f"a/{number}"), plan) for number in range(100)} == {kept}


def test_what_is_kept_back_for_less_is_kept_back_for_more() -> None:
    plans = [Recipe(name="siren-0.0.0", held_out=share) for share in (0.1, 0.3)]
    clips = [_clip(f"a/{number}") for number in range(500)]
    less, more = ({clip.group for clip in clips if commands.kept_back(clip, plan)} for plan in plans)
    assert less < more


def test_a_recipe_with_a_teacher_asks_for_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give --teacher DIR; it is published as the Python package"):
        _train("--data", tmp_path, "--out", tmp_path / "out", "--recipe", RECIPE)


def test_a_set_that_is_not_there_cannot_be_left_out(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--without us8k: the recordings have the sets made"):
        _train("--data", _recordings(tmp_path), "--out", tmp_path / "out", "--without", "us8k", "--smoke")
    assert not (tmp_path / "out.work").exists()
