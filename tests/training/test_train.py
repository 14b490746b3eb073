from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sirend.errors import InputError, UsageError
from sirend.training import train

RECIPE = Path(__file__).parents[2] / "models" / "recipe.yaml"


def _train(*words: str | Path) -> int:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    return train.main(parser.parse_args([str(word) for word in words]))


def _recordings(folder: Path) -> Path:
    soundfile.write(folder / "1.wav", np.zeros(1_600), 16_000)
    header = "path,set,class,label,group,licence,seconds"
    (folder / "clips.csv").write_text(f"{header}\n1.wav,made,other,x,1,CC0,0.1\n")
    return folder


def test_help_and_recipes_need_no_tensorflow() -> None:
    code = "import sys; from sirend.training import train, pool, recipe; sys.exit('tensorflow' in sys.modules)"
    daemon = Path(__file__).parents[2] / "daemon"
    assert subprocess.run([sys.executable, "-c", code], cwd=daemon, timeout=120, check=False).returncode == 0


def test_a_recipe_with_a_teacher_asks_for_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give --teacher DIR; it is published as the Python package"):
        _train("--data", tmp_path, "--out", tmp_path / "out", "--recipe", RECIPE)


def test_recordings_that_the_recipe_does_not_allow_are_as_if_they_were_not_there(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("name: siren-1.2.3\nlicences: [no such licence]\n")
    with pytest.raises(InputError, match="no clip has a licence that the recipe allows"):
        _train("--data", _recordings(tmp_path), "--out", tmp_path / "out", "--recipe", recipe)


def test_a_set_that_is_not_there_cannot_be_left_out(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--without us8k: the recordings have the sets made"):
        _train("--data", _recordings(tmp_path), "--out", tmp_path / "out", "--without", "us8k", "--smoke")
    assert not (tmp_path / "out.work").exists()
