from pathlib import Path

import pytest

from sirend.config import yamlfile
from sirend.errors import ConfigError


def _problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        yamlfile.read(path)
    assert caught.value.where == str(path)
    return caught.value.problems


def _file(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "some.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    assert yamlfile.read(_file(tmp_path, "# only a comment\n")) is None


def test_a_time_of_day_is_text_and_other_numbers_are_numbers(tmp_path: Path) -> None:
    assert yamlfile.read(_file(tmp_path, "[22:00, 1:30.5, 7, -2, 0.25, 1e3, 1.0e+3]")) == [
        "22:00",
        "1:30.5",
        7,
        -2,
        0.25,
        "1e3",
        1000.0,
    ]


def test_every_duplicate_key_is_named_with_its_line(tmp_path: Path) -> None:
    path = _file(tmp_path, "a: 1\nb: {c: 1, c: 2}\na: 3\n")
    assert sorted(_problems(path)) == [
        "line 2: `c` is there twice; keep one",
        "line 3: `a` is there twice; keep one",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [1\nb: 2\n", "line 2, column 2: not valid YAML"),
        ("a:\n\t- b\n", "line 2, column 1: not valid YAML: found character '\\t'"),
        ("a: !!python/object:os.system {}\n", "line 1, column 4: not valid YAML: could not determine a constructor"),
        ("a: 1\n---\nb: 2\n", "line 2, column 1: not valid YAML: but found another document"),
        ("a: \x07\n", "not valid YAML"),
        ("[1]: 2\n? [1]\n: 3\n", "line 1, column 1: not valid YAML"),
        ("a: 2026-99-99\n", "line 1, column 4: not valid YAML: this is no timestamp; put it in quotes"),
        ('a: !!int ""\n', "line 1, column 4: not valid YAML: this is no int"),
        ("a: [!!bool x]\n", "line 1, column 5: not valid YAML: this is no bool"),
        ("a: !!timestamp x\n", "line 1, column 4: not valid YAML: this is no timestamp"),
        ("a: !!map 5\n", "line 1, column 4: not valid YAML: expected a mapping node"),
        ("[" * 5000, "not valid YAML"),
        (b"site: \xfc\n", "is not UTF-8 text (byte 7); save it as UTF-8"),
    ],
)
def test_what_is_not_yaml_is_refused_with_its_place(tmp_path: Path, text: str | bytes, problem: str) -> None:
    (found,) = _problems(_file(tmp_path, text))
    assert found.startswith(problem)
    assert "\n" not in found


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    assert _problems(tmp_path / "none.yaml") == ("there is no such file",)
    assert _problems(tmp_path) == ("is a folder; name the file in it",)
    assert _problems(_file(tmp_path, "") / "below") == ("cannot be read: Not a directory",)
