from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sirend.config.load import load
from sirend.config.reload import KEPT, LIMITS, NARROWING, RELOADABLE, SWITCHES, changes, merge, weaker
from sirend.config.settings import AudioConfig, CallConfig, Config, DetectConfig, Inhibit, MqttConfig, TlsConfig
from sirend.errors import ConfigError

OLD = Config()


@pytest.mark.parametrize(
    ("new", "keys"),
    [
        (OLD, []),
        (replace(OLD, site="other"), ["site"]),
        (replace(OLD, audio=AudioConfig(stall_s=2.0), mqtt=MqttConfig(port=1)), ["audio.stall_s", "mqtt.port"]),
        (replace(OLD, mqtt=MqttConfig(tls=TlsConfig())), ["mqtt.tls"]),
        (replace(OLD, call=CallConfig(inhibit=(Inhibit(),))), ["call.inhibit"]),
    ],
)
def test_changed_keys_are_named(new: Config, keys: list[str]) -> None:
    assert list(changes(OLD, new)) == keys


@given(st.floats(1.0, 300.0), st.integers(1, 720), st.floats(0.0, 10.0), st.integers(1, 65535), st.floats(0.01, 0.99))
def test_what_can_be_taken_up_is_and_nothing_else(
    duration_s: float, calls: int, confirm_s: float, port: int, enter: float
) -> None:
    new = replace(
        OLD,
        call=CallConfig(min_duration_s=duration_s, max_calls_per_hour=calls, advisory=True),
        detect=DetectConfig(confirm_s=confirm_s, enter=enter),
        mqtt=MqttConfig(port=port),
    )
    merged, taken, left = merge(OLD, new)
    assert set(taken) <= RELOADABLE
    assert set(taken) | set(left) == set(changes(OLD, new))
    assert sorted(changes(OLD, merged)) == sorted(taken)
    assert sorted(changes(merged, new)) == sorted(left)
    assert "detect.enter" in left


PROTECTED = """\
site: elm-st
call:
  max_presence_s: 30
  max_calls_per_hour: 6
  valid_for_s: 4
  rearm_gap_s: 9
  departed_s: 4
  stationary_s: 40
  inhibit:
    - {days: [sat], from: 22:00, to: 06:00}
    - {days: [sun]}
detect:
  confirm_s: 1.5
  enter: 0.99
  exit: 0.5
  profile: strict
  tones: [wail, yelp, unknown]
journal:
  path: events.jsonl
mqtt:
  host: broker.example
  username: elm-st
  password_file: password
  sign_key_file: key
  tls:
    ca_file: ca.pem
    cert_file: site.pem
    key_file: site.key
web:
  enabled: true
  token_file: token
  tls: {cert_file: page.pem, key_file: page.key}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("etc")
    for name in ("password", "key", "ca.pem", "site.pem", "site.key", "token", "page.pem", "page.key"):
        (made / name).write_text("0123456789abcdef\n")
    return made


def _read(folder: Path, text: str) -> Config:
    (folder / "c.yaml").write_text(text)
    return load(folder / "c.yaml")


def _without(key: str) -> str:
    """Return the file without ``key``, and without what cannot be there without it."""
    content = yaml.safe_load(PROTECTED.replace("22:00", "'22:00'").replace("06:00", "'06:00'"))
    *sections, name = key.split(".")
    place = content
    for section in sections:
        place = place[section]
    place.pop(name)
    if key == "detect.enter":
        place.pop("exit")
    if name == "cert_file":
        place.pop("key_file")
    if sections == ["web"]:
        content["web"].pop("enabled")
    if key == "mqtt.tls":
        content["mqtt"]["host"] = "localhost"
    return str(yaml.safe_dump(content, default_flow_style=True))


@pytest.mark.parametrize("key", [*KEPT, *NARROWING, *LIMITS])
def test_a_reload_takes_no_protection_away(folder: Path, key: str) -> None:
    old, new = _read(folder, PROTECTED), _read(folder, _without(key))
    assert weaker(old, new) == [key]
    with pytest.raises(ConfigError, match=f"it takes away {key}; .*: restart sirend if it is meant"):
        merge(old, new)
    assert weaker(new, old) == []


@pytest.mark.parametrize("key", SWITCHES)
def test_a_reload_turns_no_protection_off(folder: Path, key: str) -> None:
    section, name = key.split(".")
    rest = "mqtt: {sign_key_file: null}\n" if key == "call.advisory" else ""
    words = (str(on).lower() for on in (SWITCHES[key], not SWITCHES[key]))
    texts = (f"site: elm-st\n{section}: {{{name}: {word}}}\n{rest}" for word in words)
    old, new = (_read(folder, text) for text in texts)
    assert (weaker(old, new), weaker(new, old)) == ([key], [])


def test_an_entry_of_inhibit_that_is_lost_is_a_loss_and_one_that_is_changed_is_none(folder: Path) -> None:
    old = _read(folder, PROTECTED)
    assert weaker(old, _read(folder, PROTECTED.replace("    - {days: [sun]}\n", ""))) == ["call.inhibit"]
    assert weaker(old, _read(folder, PROTECTED.replace("[sun]", "[mon]"))) == []


def test_limits_may_be_changed(folder: Path) -> None:
    changed = _read(folder, PROTECTED.replace("max_presence_s: 30", "max_presence_s: 45"))
    assert merge(_read(folder, PROTECTED), changed)[1] == ["call.max_presence_s"]


def test_no_part_of_a_file_that_was_cut_off_is_taken_up(folder: Path) -> None:
    """Each prefix is refused when it is read, or when it is taken up, or lacks nothing that protects."""
    old = _read(folder, PROTECTED)
    count = 0
    for end in range(len(PROTECTED)):
        try:
            new = _read(folder, PROTECTED[:end])
        except ConfigError:
            continue
        count += 1
        assert new.call.advisory  # so no controller acts, should it be started with that
        if weaker(old, new):
            with pytest.raises(ConfigError):
                merge(old, new)
        else:
            assert replace(new, web=old.web) == old
    assert 0 < count < len(PROTECTED) / 3


@settings(max_examples=30)
@given(st.data())
def test_a_prefix_of_the_shipped_file_is_refused_or_a_site_on_trial(folder: Path, data: st.DataObject) -> None:
    text = (Path(__file__).parents[2] / "conf" / "sirend.yaml").read_text(encoding="utf-8")
    end = data.draw(st.integers(0, len(text)))
    try:
        new = _read(folder, text[:end])
    except ConfigError:
        return
    assert new.call.advisory
    assert "\nsite: " in text[:end]
