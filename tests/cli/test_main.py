from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

import sirend
from sirend.call import schemas
from sirend.cli import commands
from sirend.cli.arguments import parser
from sirend.cli.main import main
from sirend.errors import ConfigError, DeviceError, InputError, UsageError
from sirend.host.log import Lines
from sirend.simulate.sirens import TONES

if TYPE_CHECKING:
    import argparse
    from pathlib import Path


def failing(error: BaseException) -> object:
    def command(_args: argparse.Namespace) -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (UsageError("so not"), 64, ["so not"]),
        (InputError("a.wav: bad\nb.wav: worse"), 66, ["a.wav: bad", "b.wav: worse"]),
        (DeviceError("no microphone"), 69, ["no microphone"]),
        (ConfigError("c.yaml", ["one.", "two."]), 78, ["c.yaml: one.", "c.yaml: two."]),
        (KeyboardInterrupt(), 130, []),
        (BrokenPipeError(), 0, []),
    ],
)
def test_errors_become_lines_and_exit_codes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    lines: list[str],
) -> None:
    monkeypatch.setattr(commands, "devices", failing(error))
    assert main(["devices"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [f"sirend: error: {line}" for line in lines]


def test_a_bug_shows_its_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(commands, "devices", failing(ZeroDivisionError("oh")))
    assert main(["devices"]) == 70
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-2:] == [
        "ZeroDivisionError: oh",
        "sirend: error: this is a bug in sirend; please report the lines above",
    ]


def test_the_log_goes_to_stderr_in_one_line_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(_args: argparse.Namespace) -> int:
        logging.getLogger("sirend.somewhere").warning("%s is odd", "this")
        return 0

    monkeypatch.setattr(commands, "devices", command)
    assert main(["devices"]) == 0
    assert capsys.readouterr().err == "sirend: warning: this is odd\n"


def test_what_is_said_of_a_recording_comes_after_what_was_warned_of_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write = tmp_path / "a.wav", Lines._put_through  # noqa: SLF001
    soundfile.write(path, np.zeros(64_000), 16_000, "PCM_16")
    path.write_bytes(path.read_bytes()[:100_000])

    def slowly(lines: Lines, text: str) -> None:
        time.sleep(0.5)
        write(lines, text)

    monkeypatch.setattr(Lines, "_put_through", slowly)
    assert main(["replay", "--scores", str(tmp_path / "s.csv"), str(path)]) == 0
    warning, answer = capfd.readouterr().err.splitlines()
    assert warning.startswith(f"sirend: warning: {path}: it is cut short")
    assert answer.startswith(f"sirend: {path}: no call; the highest score is ")


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"sirend {sirend.__version__}\n"


ONE_THREAD = """
import os, sys
from sirend.cli import main
main.main = lambda: print(os.environ["OMP_NUM_THREADS"], "numpy" in sys.modules) or 0
main.command()
"""


@pytest.mark.parametrize(("given", "threads"), [({}, "1"), ({"OMP_NUM_THREADS": "3"}, "3")])
def test_numpy_has_one_thread_unless_the_environment_says_otherwise(given: dict[str, str], threads: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    words = [sys.executable, "-c", ONE_THREAD]
    done = subprocess.run(words, env={**environment, **given}, capture_output=True, text=True, check=True)
    assert done.stdout == f"{threads} False\n"


@pytest.mark.parametrize("what", ["event", "health", "ack"])
def test_schemas_are_printed(capsys: pytest.CaptureFixture[str], what: str) -> None:
    assert main(["schema", what]) == 0
    expected = {"event": schemas.event_schema, "health": schemas.health_schema, "ack": schemas.ack_schema}[what]()
    assert json.loads(capsys.readouterr().out) == expected


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-22T21:03:00Z", datetime(2026, 11, 22, 21, 3, tzinfo=UTC)),
        ("2026-11-22 22:03:00+01:00", datetime(2026, 11, 22, 21, 3, tzinfo=UTC)),
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=UTC)),
    ],
)
def test_a_start_is_taken_in_any_zone(text: str, moment: datetime) -> None:
    assert parser().parse_args(["replay", "--start", text, "a.wav"]).start == moment


def test_recordings_count_from_1970_by_default() -> None:
    assert parser().parse_args(["replay", "a.wav"]).start == datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--review"], 66, "there is no clips.csv; sirend record --config FILE --out {} keeps a set there"),
        (["--config", "none.yaml"], 78, "none.yaml: there is no such file"),
    ],
)
def test_a_set_that_is_not_begun_leaves_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    """An empty folder was made, and shown for review, where its name was mistyped."""
    folder = tmp_path / "stret"
    assert main(["record", *words, "--out", str(folder)]) == code
    assert said.format(folder) in capsys.readouterr().err
    assert not folder.exists()


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_training_commands_name_the_extra_when_it_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    for name in ("sirend.training.train", "sirend.training.evaluate"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main([command]) == 64
    assert capsys.readouterr().err.endswith("make venv EXTRAS=train\n")


def test_help_of_the_whole_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    for command in [
        "run",
        "replay",
        "simulate",
        "check",
        "devices",
        "listen",
        "demo",
        "train",
        "evaluate",
        "schema",
        "pki",
    ]:
        assert f"\n    {command} " in shown


@pytest.mark.parametrize("option", ["--events", "--scores", "--plot"])
def test_no_output_replaces_a_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    wav = tmp_path / "a.wav"
    wav.write_bytes(b"precious")
    assert main(["replay", option, str(tmp_path / "." / "a.wav"), str(wav)]) == 64
    assert "is named twice" in capsys.readouterr().err
    assert wav.read_bytes() == b"precious"


def test_no_output_replaces_what_else_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A simulation over its own background destroyed that."""
    street, config = tmp_path / "a.wav", tmp_path / "c.yaml"
    for path in (street, config):
        path.write_bytes(b"precious")
    assert main(["simulate", str(street), "--background", str(tmp_path / "." / "a.wav")]) == 64
    assert main(["replay", "--config", str(config), "--scores", str(config), str(street)]) == 64
    assert capsys.readouterr().err.count("is named twice") == 2
    assert street.read_bytes() == config.read_bytes() == b"precious"


@pytest.mark.parametrize("option", ["--events", "--scores", "--plot"])
def test_a_name_that_is_too_long_is_no_bug(tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    recording = tmp_path / "a.wav"
    soundfile.write(recording, np.zeros(48_000), 16_000)
    assert main(["replay", option, str(tmp_path / ("x" * 300 + ".png")), str(recording)]) == DeviceError.exit_code
    assert "File name too long" in capsys.readouterr().err


def test_the_help_of_simulate_names_every_country(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["simulate", "--help"])
    (named,) = re.findall(r"country: ([a-z, \n]+?) \(default", capsys.readouterr().out)
    assert sorted(re.findall(r"\b[a-z]{2}\b", named.replace(" or ", ", "))) == sorted({profile for profile, _ in TONES})


def test_the_help_of_each_option_that_takes_a_value_says_what_holds_without_it() -> None:
    (known,) = (action for action in vars(parser())["_actions"] if isinstance(action.choices, dict))
    assert isinstance(known.choices, dict)
    silent = [
        f"{name} {option.option_strings[0]}"
        for name, command in known.choices.items()
        for option in vars(command)["_actions"]
        if option.option_strings and option.nargs != 0 and not option.required and "default" not in str(option.help)
    ]
    assert silent == []


def test_a_fault_handler_in_c_is_left_as_it_is() -> None:
    """Of PYTHONFAULTHANDLER the interpreter knows no handler that could be put back."""
    code = "import sys; from sirend.cli.main import main; sys.exit(main(['schema', 'event']))"
    ended = subprocess.run([sys.executable, "-X", "faulthandler", "-c", code], capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
