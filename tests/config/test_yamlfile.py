import math
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirend.config import yamlfile
from sirend.config.secrets import secret
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
        1000.0,
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
        ('a: !!int "1_0"\n', "line 1, column 4: not valid YAML: this is no int; put it in quotes"),
        ("a: !!float 1:30\n", "line 1, column 4: not valid YAML: this is no float; put it in quotes"),
        ("a: !!null x\n", "line 1, column 4: not valid YAML: this is no null"),
        ("a: [!!bool yes]\n", "line 1, column 5: not valid YAML: this is no bool"),
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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[0o17, 0x1F, -7, +7, -0, 1e3, 1E-2, .5, 5., -.5]", [15, 31, -7, 7, 0, 1000.0, 0.01, 0.5, 5.0, -0.5]),
        (
            "[.inf, -.INF, 0o18, 0O17, 0b1, 1_000, 1.0_0]",
            [math.inf, -math.inf, "0o18", "0O17", "0b1", "1_000", "1.0_0"],
        ),
        (
            "[true, False, TRUE, tRUE, yes, No, on, OFF, y, n]",
            [True, False, True, "tRUE", "yes", "No", "on", "OFF", "y", "n"],
        ),
        ("[null, ~, Null, NULL, nULL, NaN, inf]", [None, None, None, None, "nULL", "NaN", "inf"]),
        (
            "[2026-11-28, 2026-99-99, 1:30, 190:20:30, =, 0x]",
            ["2026-11-28", "2026-99-99", "1:30", "190:20:30", "=", "0x"],
        ),
        ("{on: 1, 1: 2, no: 3}", {"on": 1, 1: 2, "no": 3}),
        ("['017', \"010\", !!str 010]", ["017", "010", "010"]),
        ("a: &x {b: 1}\nc: {<<: *x, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
    ],
)
def test_words_mean_what_yaml_1_2_says(tmp_path: Path, text: str, value: object) -> None:
    assert yamlfile.read(_file(tmp_path, text)) == value


@pytest.mark.parametrize(
    ("word", "plain"),
    [("017", "17"), ("010", "10"), ("044100", "44100"), ("-08", "-8"), ("00", "0"), ("01.50", "1.50")],
)
@pytest.mark.parametrize("form", ["a: {}", "a: [{}]", "{}: a", "a: !!float {}"])
def test_a_number_with_a_leading_zero_is_refused_whatever_it_means(
    tmp_path: Path, form: str, word: str, plain: str
) -> None:
    assert _problems(_file(tmp_path, form.format(word) + "\n")) == (
        (
            f"line 1: {word} has a leading zero, which some programs take for octal; write {plain}, or put it in "
            "quotes if it is meant as text"
        ),
    )


@given(st.integers(-(10**20), 10**20) | st.floats(allow_nan=False))
def test_every_number_is_read_as_it_is_written(tmp_path_factory: pytest.TempPathFactory, number: float) -> None:
    path = tmp_path_factory.getbasetemp() / "number.yaml"
    path.write_text(str(number).replace("inf", ".inf"))
    assert yamlfile.read(path) == number


def test_every_key_without_a_value_is_named_with_its_line(tmp_path: Path) -> None:
    assert sorted(_problems(_file(tmp_path, "a:\nb: {c: , d: 1}\ne: null\nf: ''\n"))) == [
        "line 1: `a:` has no value; give it one, write null, or leave the key out",
        "line 2: `c:` has no value; give it one, write null, or leave the key out",
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ["a0: &a0 {x: 1}", *(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}], k{i}: 1}}" for i in range(1, 12))],
        ["x: " + "[" * 500_000],
        [f"- {{name: a{i}}}" for i in range(100_000)],
    ],
    ids=["merged", "deep", "long"],
)
def test_what_would_take_a_night_to_read_is_refused_in_seconds(tmp_path: Path, lines: list[str]) -> None:
    path = _file(tmp_path, "\n".join(lines) + "\n")
    began_s = time.process_time()
    assert len(_problems(path)) == 1
    assert time.process_time() - began_s < 30.0


def test_a_file_without_end_is_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"#" * 1_000_001)
    assert _problems(tmp_path / "c.yaml") == ("has more than 1000000 bytes; no configuration has",)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    """A pipe that nobody writes to was waited for without end, and with it each reload from then on."""
    os.mkfifo(tmp_path / "pipe")
    path = tmp_path / "pipe" if kind == "pipe" else Path("/dev/zero")
    assert _problems(path) == ("cannot be read: it is no regular file",)
    with pytest.raises(ConfigError, match="the secret cannot be read: it is no regular file"):
        secret(path)


@pytest.mark.parametrize("character", ["\x85", "\u2028", "\u2029"])
def test_no_comment_hides_a_key_behind_a_line_break_that_nobody_sees(tmp_path: Path, character: str) -> None:
    (problem,) = _problems(_file(tmp_path, f"site: a\n# a comment{character}call: {{advisory: false}}\n"))
    assert problem.startswith(f"line 2: not valid YAML: the character U+{ord(character):04X} is no line break")


@pytest.mark.parametrize("text", [r'"a\0b"', r'"\x00"', r'"\ud800"', r'"\udfff"', r'{"a\0": 1}', r'["\0"]'])
def test_what_is_no_text_is_refused_wherever_it_stands(tmp_path: Path, text: str) -> None:
    (problem,) = _problems(_file(tmp_path, f"a: {text}\n"))
    assert "an escape in it stands for what is no text" in problem
