from __future__ import annotations

import argparse
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sirend.errors import InputError, UsageError
from sirend.training import recipe, train

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
    code = "import sys; from sirend.training import train, recipe; sys.exit('tensorflow' in sys.modules)"
    daemon = Path(__file__).parents[2] / "daemon"
    assert subprocess.run([sys.executable, "-c", code], cwd=daemon, timeout=120, check=False).returncode == 0


def test_a_recipe_with_a_teacher_asks_for_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"give --teacher DIR \(the Python package"):
        _train("--data", tmp_path, "--out", tmp_path / "out", "--recipe", RECIPE)


def test_weights_that_no_recipe_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no recipe names these weights; give --recipe FILE too"):
        _train("--data", tmp_path, "--out", tmp_path / "siren-9.0.0", "--teacher", tmp_path)


def test_without_a_recipe_a_bundle_is_named_like_its_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a bundle is named like its folder, siren-<a>.<b>.<c>, such as siren-9.0.0"):
        _train("--data", tmp_path, "--out", tmp_path / "mine")
    plan, ours = train.own_recipe(tmp_path / "siren-9.8.7"), recipe.load_recipe(RECIPE)
    assert plan == replace(ours, name="siren-9.8.7", licences=None, teacher=None)


def test_recordings_that_the_recipe_does_not_allow_are_as_if_they_were_not_there(tmp_path: Path) -> None:
    words = re.sub(r"^(- .*\n)+", "- no such licence\n", RECIPE.read_text(), flags=re.MULTILINE)
    (tmp_path / "recipe.yaml").write_text(re.sub(r"^teacher:\n(  .*\n)+", "", words, flags=re.MULTILINE))
    with pytest.raises(InputError, match="no clip has a licence that the recipe allows"):
        _train("--data", _recordings(tmp_path), "--out", tmp_path / "out", "--recipe", tmp_path / "recipe.yaml")


def test_a_set_that_is_not_there_cannot_be_left_out(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--without us8k: the recordings have the sets made"):
        _train("--data", _recordings(tmp_path), "--out", tmp_path / "siren-9.0.0", "--without", "us8k", "--smoke")
    assert not (tmp_path / "siren-9.0.0.work").exists()
