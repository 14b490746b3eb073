"""A file that was cut off lets nobody act unsigned, on its own, with nothing known of an earlier run."""

from __future__ import annotations

from pathlib import Path

import pytest

from sirend.config.load import load
from sirend.config.whole import stated
from sirend.errors import ConfigError

ACTING = """\
site: elm-st
call:
  advisory: false
  max_calls_per_hour: 20
detect:
  confirm_s: 1.5
mqtt:
  host: localhost
  sign_key_file: key
  keepalive_s: 10
journal:
  max_mb: 64
"""
LISTENING = """\
site: elm-st
listen:
  command: "true"
  command_timeout_s: 10
mqtt:
  insecure: true
  host: broker.example
  sign_key_file: key
  keepalive_s: 10
"""
CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "key").write_text("0123456789abcdef\n")
    return tmp_path / "sirend.yaml"


def _problems(file: Path, text: str) -> list[str]:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    return list(caught.value.problems)


def test_the_keys_that_are_written_out() -> None:
    content = {"site": "a", "mqtt": {"tls": {"ca_file": "x"}, "port": None}, "approaches": [{"name": "b"}]}
    assert stated(content) == {"site", "mqtt", "mqtt.tls", "mqtt.tls.ca_file", "mqtt.port", "approaches"}
    assert stated("words") == frozenset()


@pytest.mark.parametrize("whole", [ACTING, LISTENING])
def test_no_beginning_of_a_file_lets_somebody_act_unsigned(file: Path, whole: str) -> None:
    acting = 0
    for end in range(len(whole) + 1):
        file.write_text(whole[:end])
        try:
            loaded = load(file)
        except ConfigError:
            continue
        if loaded.call.advisory and (not loaded.listen.acts or loaded.mqtt.host == "127.0.0.1"):
            continue
        acting += 1
        assert loaded.mqtt.sign_key_file == file.parent / "key"
        assert whole[end - 1] == "\n"  # so no value is half one
    assert acting == whole[whole.index("sign_key_file") :].count("\n") - whole.count("journal:")


def test_a_site_that_acts_says_how_it_signs_and_ends_its_last_line(file: Path) -> None:
    acting = "site: elm-st\ncall: {advisory: false}\n"
    (unsigned,) = _problems(file, acting)
    assert unsigned == (
        "mqtt.sign_key_file is missing, and call.advisory is false: write the key's file, or null where nothing is to "
        "be signed; a file that was cut off looks just like that"
    )
    (cut,) = _problems(file, acting + "mqtt: {sign_key_file: null}")
    assert cut == (
        "the last line does not end, and call.advisory is false: was the file cut off? If it is whole, end it with "
        "Enter"
    )
    file.write_bytes(f"{acting}mqtt: {{sign_key_file: null}}\n".replace("\n", "\r\n").encode())
    assert load(file).mqtt.sign_key_file is None


def test_outputs_say_whether_they_trust_an_unsigned_word_of_another_machine(file: Path) -> None:
    acting = "site: elm-st\nlisten: {command: 'true'}\nmqtt: {insecure: true, host: broker.example%s}\n"
    (problem,) = _problems(file, acting % "")
    assert problem.startswith("mqtt.sign_key_file is missing, and listen has outputs: ")
    for text in (acting % ", sign_key_file: null", "site: elm-st\nlisten: {command: 'true'}"):
        file.write_text(text)
        assert load(file).listen.acts


def test_a_site_on_trial_may_leave_both_out(file: Path) -> None:
    file.write_text("site: elm-st\nmqtt: {port: 1884}")
    assert load(file).mqtt.port == 1884


@pytest.mark.parametrize("name", ["sirend.yaml", "junction.yaml"])
def test_the_examples_cut_off_at_any_line_are_refused_on_trial_or_signed(file: Path, name: str) -> None:
    text = (CONF / name).read_text(encoding="utf-8").replace("advisory: true ", "advisory: false")
    text = text.replace("sign_key_file: null", "sign_key_file: key ") if "sign_key_file" in text else text
    ends = {place for place, letter in enumerate(text) if letter in "\n:#"}
    for end in sorted(ends | {place + 1 for place in ends}):
        file.write_text(text[:end], encoding="utf-8")
        try:
            loaded = load(file)
        except ConfigError:
            continue
        assert loaded.call.advisory or loaded.mqtt.sign_key_file is not None
