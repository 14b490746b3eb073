"""What was in force at the last run is not lost at the next start, were the file cut off in between."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sirend.config.in_force import InForce, remembered_file
from sirend.config.load import load
from sirend.config.reload import KEPT, LIMITS
from sirend.errors import ConfigError

if TYPE_CHECKING:
    from sirend.config.settings import Config

WHOLE = """\
site: elm-st
call:
  advisory: false
  max_presence_s: 30
  inhibit:
    - {days: [sat], from: 22:00, to: 06:00}
mqtt:
  sign_key_file: key
  host: broker.example
  tls: {ca_file: ca.pem, cert_file: site.pem, key_file: site.key}
approaches:
  - {name: north}
journal:
  path: events.jsonl
home_assistant:
  enabled: true
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path / 'state'}:/other")
    for name in ("key", "ca.pem", "site.pem", "site.key"):
        (tmp_path / name).write_text("0123456789abcdef\n")
    return tmp_path / "sirend.yaml"


def _run(file: Path, text: str) -> Config:
    """Start with a file of ``text`` as the daemon does; return what is in force then."""
    file.write_text(text)
    in_force = InForce(file)
    config = in_force.load()
    in_force.keep(config)
    return config


def _refusal(file: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        _run(file, text)
    (problem,) = caught.value.problems
    return problem


def test_every_beginning_of_a_file_that_was_in_force_is_refused_or_means_the_same(file: Path) -> None:
    whole = _run(file, WHOLE)
    started = []
    for end in range(len(WHOLE)):
        try:
            started.append(_run(file, WHOLE[:end]))
        except ConfigError:
            continue
    assert started == []
    assert _run(file, WHOLE) == whole
    assert _run(file, WHOLE + "# a comment\n") == whole
    assert _run(file, WHOLE) == whole  # nothing but a comment was lost


def test_without_what_was_in_force_most_of_them_would_start(file: Path) -> None:
    file.write_text(WHOLE[: WHOLE.index("journal")])
    assert load(file).journal.path is None


def test_a_file_that_lost_its_signing_says_how_to_confirm_it(file: Path) -> None:
    _run(file, WHOLE)
    lost = WHOLE.replace("  sign_key_file: key\n", "").replace("advisory: false", "advisory: true")
    problem = _refusal(file, lost)
    assert problem == (
        "it takes away mqtt.sign_key_file, which was in force at the last run; a file that was cut off looks just like "
        "that. If it is meant, write it out, such as `mqtt.sign_key_file: null` or the value, or remove "
        f"{remembered_file(file)}"
    )
    confirmed = lost.replace("mqtt:\n", "mqtt:\n  sign_key_file: null\n")
    assert _run(file, confirmed).mqtt.sign_key_file is None
    assert _run(file, lost).mqtt.sign_key_file is None  # it is in force no longer


@pytest.mark.parametrize(
    ("gone", "key"),
    [
        ("  inhibit:\n    - {days: [sat], from: 22:00, to: 06:00}\n", "call.inhibit"),
        ("  max_presence_s: 30\n", "call.max_presence_s"),
        ("journal:\n  path: events.jsonl\n", "journal.path"),
    ],
)
def test_what_protects_does_not_vanish_over_a_restart(file: Path, gone: str, key: str) -> None:
    assert key in (*KEPT, *LIMITS)
    _run(file, WHOLE)
    assert _refusal(file, WHOLE.replace(gone, "")).startswith(f"it takes away {key}, which was in force")


def test_a_beginning_that_is_meant_takes_one_more_line(file: Path) -> None:
    _run(file, WHOLE)
    beginning = WHOLE[: WHOLE.index("home_assistant")]
    problem = _refusal(file, beginning)
    assert problem.startswith("it is the beginning of the file that was in force at the last run, so it was cut off. ")
    assert not _run(file, beginning + "# shortened\n").home_assistant.enabled


def test_a_refused_file_is_not_what_is_in_force(file: Path) -> None:
    file.write_text(WHOLE)
    in_force = InForce(file)
    first = in_force.load()
    in_force.keep(first)
    file.write_text(WHOLE.replace("advisory: false", "advisory: true"))
    in_force.load()  # read again, but not taken up
    in_force.keep(first)
    remembered = remembered_file(file)
    assert remembered is not None
    assert remembered.read_text() == WHOLE
    assert remembered.stat().st_mode & 0o777 == 0o640


def test_each_file_has_a_memory_of_its_own(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert remembered_file(file) != remembered_file(file.parent / "other" / "sirend.yaml")
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setenv("XDG_STATE_HOME", "/home/me/state")
    found = remembered_file(Path("/etc/sirend/sirend.yaml"))
    assert found is not None
    assert (found.parent, found.name.startswith("in-force-sirend-")) == (Path("/home/me/state/sirend"), True)


@pytest.mark.parametrize("content", [b"", b"\xff", b"site: [", b"was: of another version\n"])
def test_a_memory_that_says_nothing_holds_nobody_up(file: Path, content: bytes) -> None:
    remembered = remembered_file(file)
    assert remembered is not None
    remembered.parent.mkdir()
    remembered.write_bytes(content)
    assert _run(file, WHOLE).site == "elm-st"
    assert remembered.read_text() == WHOLE


def test_a_memory_that_cannot_be_kept_is_logged(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    (file.parent / "state").write_text("no folder")
    monkeypatch.setenv("STATE_DIRECTORY", str(file.parent / "state"))
    assert _run(file, WHOLE).site == "elm-st"
    assert caplog.messages[0].endswith("a file that is cut off would not be noticed at the next start")
