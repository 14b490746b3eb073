import dataclasses
import re
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sirend.audio.stream import Samples, to_samples
from sirend.call.machine import State, step
from sirend.call.rules import Rules
from sirend.config import fields as keys
from sirend.config import listen_settings, settings
from sirend.config.load import load, repetition_s
from sirend.config.secrets import secret, secret_lines
from sirend.config.settings import (
    Approach,
    ArbitrationConfig,
    ArrayConfig,
    AudioConfig,
    Config,
    DetectConfig,
    Inhibit,
    MqttConfig,
    TlsConfig,
)
from sirend.detect.tracker import Track
from sirend.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "conf" / "sirend.yaml"


def _load(tmp_path: Path, text: str) -> Config:
    """Load a file of ``text``, which names a site unless it speaks of one."""
    path = tmp_path / "sirend.yaml"
    path.write_text(text if "site" in text or text.startswith("[") else f"site: main-5th\n{text}", encoding="utf-8")
    return load(path)


def _problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, text)
    return list(caught.value.problems)


def _all_keys() -> set[str]:
    kinds = [kind for kind in vars(settings).values() if dataclasses.is_dataclass(kind)]
    return {name for kind in kinds if isinstance(kind, type) for name in keys.names(kind)}


def test_the_shipped_file_holds_the_defaults() -> None:
    assert load(SHIPPED) == Config() == load(None)


def _names(node: object) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(_names, node))
    return set(node) | set().union(*map(_names, node.values())) if isinstance(node, dict) else set()


def test_the_shipped_file_names_every_key() -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    within_null = {"ca_file", "cert_file", "key_file", "days", "from", "to", "geometry", "heading_deg", "unknown_leg"}
    assert _names(yaml.safe_load(text)) == _all_keys() - within_null
    assert [name for name in within_null if f"{name}:" not in text] == []


def test_the_shipped_file_has_one_commented_key_a_line() -> None:
    for line in SHIPPED.read_text(encoding="utf-8").splitlines():
        assert re.fullmatch(r"|\w+:|approaches: +# .+|[ -]*\w+: [^#{]+ # .+| *#.*", line), line


def test_every_key_is_read_by_someone() -> None:
    """No key that nobody reads: each name is an attribute that a module other than those that declare it looks at."""
    package = SHIPPED.parents[1] / "daemon" / "sirend"
    declaring = {package / "config" / name for name in ("settings.py", "listen_settings.py", "fields.py")}
    text = "".join(path.read_text() for path in package.rglob("*.py") if path not in declaring)
    kinds = [each for module in (settings, listen_settings) for each in vars(module).values() if isinstance(each, type)]
    own = {"from_min", "to_min", "days"}  # of an inhibit, which judges by itself: Inhibit.covers
    named = {field.name for kind in filter(dataclasses.is_dataclass, kinds) for field in dataclasses.fields(kind)} - own
    assert {"hop_s", "backup_s", "margin_db", "keep"} <= named
    assert {name for name in named if not re.search(rf"\.{name}\b", text)} == set()
    assert re.search(r"\.covers\(", text)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "null\n", "~"])
def test_an_empty_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match="is empty: it must name the site at least, site: NAME"):
        load(tmp_path / "c.yaml")


def test_every_file_names_its_site(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("mqtt: {port: 1884}\nadio: {}\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "c.yaml")
    assert caught.value.problems == (
        "adio is not a key that sirend knows; did you mean `audio`?",
        "site is missing: write 1 to 64 of the characters a-z, 0-9 and -",
    )


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    assert _load(tmp_path, "site: main-5th\nmqtt: {tls: null}\nweb: {}\n") == Config()
    assert _load(tmp_path, "site: other").call.advisory  # a new site is on trial


@pytest.mark.parametrize("hop_cs", range(5, 201))
def test_a_state_stays_valid_for_two_of_its_true_repetitions_whatever_the_hop(tmp_path: Path, hop_cs: int) -> None:
    """The machine, in samples, says how often it repeats a state; ``load`` must know it for every hop."""
    hop = Samples(160 * hop_cs)
    rules = Rules(0.7, 0.3, Samples(0), Samples(0), Samples(0), to_samples(900.0), Samples(0), 20)
    state, said = State(), list[int]()
    for end in range(0, 16_000 * 12, hop):
        track = Track(Samples(end), "main", 0.99, Samples(0), -20.0)
        state, transition = step(rules, state, track)
        said += [] if transition is None else [transition.at]
    ((gap, *_),) = [sorted({later - sooner for sooner, later in pairwise(said)})]
    assert repetition_s(hop_cs / 100.0) == gap / 16_000
    least = max(2.0, 2.0 * gap / 16_000)
    file = tmp_path / "c.yaml"
    file.write_text(f"site: a\ndetect: {{hop_s: {hop_cs / 100.0}}}\ncall: {{valid_for_s: {least}}}\n")
    assert load(file).call.valid_for_s == least
    if least > 2.0:
        file.write_text(f"site: a\ndetect: {{hop_s: {hop_cs / 100.0}}}\ncall: {{valid_for_s: {least - 0.01:.2f}}}\n")
        with pytest.raises(ConfigError, match=r"call\.valid_for_s is .* must stay valid for twice that"):
            load(file)


def test_every_value_is_read(tmp_path: Path) -> None:
    loaded = _load(
        tmp_path,
        """
        site: a-1
        audio: {device: "USB mic: front", channels: 4, rate: 48000, stall_s: 2}
        approaches:
          - {name: north, channel: 3, bearing_deg: 12.5, priority: 2}
          - {name: south, channel: 1}
        detect: {model: models/x, hop_s: 0.5, profile: strict, enter: 0.8, exit: 0.3, confirm_s: null, release_s: 1,
                 tones: [wail, unknown], sparing: true}
        call: {min_duration_s: 1, max_presence_s: 30, rearm_gap_s: 9, max_calls_per_hour: 3, valid_for_s: 4,
               advisory: true, departed_s: 3, stationary_s: 45, inhibit: [{days: [sat], from: 22:00, to: "06:30"}, {}]}
        arbitration: {mode: parallel, margin_db: 3, settle_s: 0.5, hold_s: 20}
        mqtt: {host: "::1", port: 8883, client_id: me, username: u, prefix: city/west, insecure: true, keepalive_s: 30}
        journal: {path: /var/lib/sirend/events.jsonl, max_mb: 2}
        """,
    )
    assert (loaded.site, loaded.audio.device, loaded.audio.rate) == ("a-1", "USB mic: front", 48_000)
    assert loaded.approaches == (Approach("north", 3, 12.5, 2), Approach("south", 1))
    assert loaded.detect == DetectConfig(
        tmp_path / "models/x",
        0.5,
        "strict",
        sparing=True,
        enter=0.8,
        exit=0.3,
        release_s=1.0,
        tones=("wail", "unknown"),
    )
    assert loaded.call.inhibit == (Inhibit(("sat",), 22 * 60, 6 * 60 + 30), Inhibit())
    assert dataclasses.astuple(loaded.call)[:-1] == (1.0, 30.0, 9.0, 3, 4.0, True, 3.0, 45.0)
    assert loaded.arbitration == ArbitrationConfig("parallel", 3.0, 0.5, 20.0)
    assert loaded.mqtt == MqttConfig(
        host="::1", port=8883, client_id="me", username="u", prefix="city/west", insecure=True, keepalive_s=30
    )
    assert loaded.journal.path == Path("/var/lib/sirend/events.jsonl")


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    assert _problems(
        tmp_path,
        """
        site: Main St
        adio: {}
        audio: {channels: two}
        detect: {hop: 1, exit: 0.9, enter: 0.5}
        web: {enabled: true, bind: 0.0.0.0}
        call: {min_duration_s: 100}
        """,
    ) == [
        "site is 'Main St': allowed is 1 to 64 of the characters a-z, 0-9 and -",
        "adio is not a key that sirend knows; did you mean `audio`?",
        "audio.channels is 'two': allowed is a whole number from 1 to 64",
        "detect.hop is not a key that sirend knows; did you mean `hop_s`?",
        "detect.exit is 0.9: it must lie below detect.enter, 0.5",
        "call.max_presence_s is 60: it must reach call.min_duration_s, 100 s",
        (
            "web.bind is '0.0.0.0': others than this machine may look only with a token and encrypted; "
            "set web.token_file and web.tls, or web.bind: 127.0.0.1"
        ),
    ]


HOP = "a number from 0.05 to 2 s in steps of 0.01"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1]", "the file is [1]: allowed is a mapping with the keys site, audio, approaches"),
        ("audio: 5", "audio is 5: allowed is a mapping with the keys device, channels, rate, stall_s, dbfs_of_94_db"),
        ("site: 7", "site is 7: allowed is 1 to 64 of the characters a-z, 0-9 and - (put it in quotes if it"),
        ("site: null", "site is null: allowed is 1 to 64"),
        ("approaches: 0x" + "f" * 5000, "approaches is a number of thousands of digits: allowed is a list of"),
        ("site: &a [*a]", "site is [[[[[[[...]]]]]]]: allowed"),
        ("site: " + "a" * 99, "site is '" + "a" * 58 + "…: allowed"),
        ("zzz: 1", "zzz is not a key that sirend knows; known here: site, audio, approaches"),
        ("detect: {hop_s: 250 ms}", f"detect.hop_s is '250 ms': allowed is {HOP}; it counts seconds, without a unit: "),
        ("detect: {hop_s: 0.25s}", f"detect.hop_s is '0.25s': allowed is {HOP}; it counts seconds, without a unit: "),
        ("detect: {hop_s: .5.s}", f"detect.hop_s is '.5.s': allowed is {HOP}"),
        ("detect: {hop_s: true}", f"detect.hop_s is true: allowed is {HOP}"),
        ("detect: {hop_s: null}", f"detect.hop_s is null: allowed is {HOP}"),
        ("detect: {hop_s: 0.255}", f"detect.hop_s is 0.255: allowed is {HOP}"),
        ("detect: {hop_s: 0.04}", f"detect.hop_s is 0.04: allowed is {HOP}"),
        ("detect: {hop_s: 2.01}", f"detect.hop_s is 2.01: allowed is {HOP}"),
        ("detect: {hop_s: .nan}", f"detect.hop_s is nan: allowed is {HOP}"),
        ("detect: {profile: strikt}", "detect.profile is 'strikt': allowed is balanced or strict"),
        ("detect: {hop_s: .inf}", f"detect.hop_s is inf: allowed is {HOP}"),
        ("detect: {confirm_s: 1 min}", "detect.confirm_s is '1 min': allowed is a number from 0 to 10 s, or null; it "),
        (
            "detect: {tones: [wail, foghorn]}",
            "detect.tones is ['wail', 'foghorn']: allowed is a list of wail, yelp, hilo",
        ),
        ("detect: {tones: []}", "detect.tones is []: allowed is a list of wail, yelp, hilo"),
        ("detect: {enter: 1}", "detect.enter is 1: allowed is a number from 0.01 to 0.99, or null"),
        ("detect: {model: 5}", "detect.model is 5: allowed is the name of a file or folder, or null"),
        ("call: {max_calls_per_hour: 2.0}", "call.max_calls_per_hour is 2.0: allowed is a whole number from 1 to 720"),
        ("call: {advisory: 1}", "call.advisory is 1: allowed is true or false"),
        ("call: {inhibit: {}}", "call.inhibit is {}: allowed is a list of {days, from, to}"),
        (
            "call: {inhibit: [{from: 1320}]}",
            "call.inhibit[0].from is 1320: allowed is a time of day from 00:00 to 24:0",
        ),
        ("call: {inhibit: [{to: 24:01}]}", "call.inhibit[0].to is '24:01': allowed is a time of day"),
        ("call: {inhibit: [{days: [so]}]}", "call.inhibit[0].days is ['so']: allowed is a list of mon, tue, wed"),
        (
            "call: {valid_for_s: 3}\ndetect: {hop_s: 2}",
            "call.valid_for_s is 3: a state is repeated every 2 s with this",
        ),
        ("audio: {rate: fast}", "audio.rate is 'fast': allowed is a whole number from 8000 to 192000 Hz, or auto"),
        ("audio: {rate: null}", "audio.rate is null: allowed is a whole number from 8000 to 192000 Hz, or auto"),
        (
            "audio: {device: 2}",
            "audio.device is 2: allowed is the name of an input that `sirend devices` lists, or rtsp://HOST/PATH (put",
        ),
        ("approaches: []", "approaches is empty: name at least one"),
        ("approaches: {name: a}", "approaches is {'name': 'a'}: allowed is a list of approaches"),
        ("approaches: [a]", "approaches[0] is 'a': allowed is a mapping with the keys name, channel"),
        ("approaches: [{name: a/b}]", "approaches[0].name is 'a/b': allowed is 1 to 64 of the characters"),
        ("approaches: [{channel: 1}]", "approaches[0].channel is 1: with audio.channels 1 allowed is 0 to 0"),
        ("mqtt: {prefix: a/#}", "mqtt.prefix is 'a/#': allowed is topic levels"),
        ("mqtt: {host: 10.0.0.5}", "mqtt.host is '10.0.0.5': a plain connection leaves this machine"),
        ("mqtt: {insecure: true, host: 'broker:8883'}", "mqtt.host is 'broker:8883': the port belongs into mqtt.port"),
        ("mqtt: {tls: true}", "mqtt.tls is true: allowed is a mapping with the keys ca_file, cert_file, key_file"),
        ("mqtt: {sign_key_file: none.key}", "mqtt.sign_key_file is 'none.key': there is no file "),
        ("mqtt: {tls: {ca_file: no.pem}}", "mqtt.tls.ca_file is 'no.pem': there is no file "),
        ("metrics: {enabled: 1}", "metrics.enabled is 1: allowed is true or false"),
        ("web: {token_file: no.token}", "web.token_file is 'no.token': there is no file "),
        ("web: {tls: {cert_file: no.pem, key_file: sirend.yaml}}", "web.tls.cert_file is 'no.pem': there is no file "),
        ("web: {tls: {}}", "web.tls needs both of cert_file and key_file"),
        ("web: {enabled: true, bind: 10.0.0.5}", "web.bind is '10.0.0.5': others than this machine may look only"),
        ("clips: {enabled: 1}", "clips.enabled is 1: allowed is true or false"),
        ("clips: {enabled: true}", "clips.enabled is true: name the folder for them in clips.path"),
        ("clips: {keep: video}", "clips.keep is 'video': allowed is audio or features"),
    ],
)
def test_each_mistake_is_told_with_key_value_and_what_is_allowed(tmp_path: Path, text: str, problem: str) -> None:
    (found,) = _problems(tmp_path, text)
    assert found.startswith(problem)


def test_lists_of_lists_of_lists_are_quoted_in_a_moment(tmp_path: Path) -> None:
    lists = ["&a0 [1]", *(f"&a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 10))]
    (problem,) = _problems(tmp_path, f"site: [{', '.join(lists)}]")
    assert len(problem) < 200


def test_a_unit_is_converted_in_the_advice(tmp_path: Path) -> None:
    for text, advice in (("250 ms", "0.25"), ("1.5 s", "1.5"), ("2min", "120"), ("1 h", "3600")):
        assert _problems(tmp_path, f"detect: {{hop_s: {text}}}")[0].endswith(f"without a unit: write {advice}")


def test_a_secret_in_the_wrong_key_is_not_repeated(tmp_path: Path) -> None:
    assert _problems(tmp_path, "mqtt: {password: geheim}") == [
        "mqtt.password is not a key that sirend knows; did you mean `password_file`?"
    ]


def test_two_approaches_share_neither_name_nor_channel(tmp_path: Path) -> None:
    assert _problems(tmp_path, "approaches: [{name: a}, {name: a}]") == [
        "approaches[1].name is 'a': approaches[0] has it already",
        "approaches[1].channel is 0: approaches[0] has it already",
    ]


def test_approaches_with_a_device_each_may_have_channels_of_the_same_number(tmp_path: Path) -> None:
    several = "approaches: [{name: a}, {name: b, device: 'usb:1-1.2'}, {name: c, device: x, channel: 5}]"
    loaded = _load(tmp_path, several)
    assert [approach.device for approach in loaded.approaches] == [None, "usb:1-1.2", "x"]
    assert _problems(tmp_path, "approaches: [{name: a, device: default}, {name: b}, {name: c, device: ''}]") == [
        f"approaches[2].device is '': allowed is {settings.INPUT_ALLOWED}, or null",
        "approaches[1].channel is 0: approaches[0] has it already",
        "approaches[2].channel is 0: approaches[0] has it already",
    ]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_plain_mqtt_is_allowed_on_this_machine(tmp_path: Path, host: str) -> None:
    assert _load(tmp_path, f"mqtt: {{host: '{host}'}}").mqtt.host == host


def test_plain_mqtt_elsewhere_needs_tls_or_consent(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    assert _load(tmp_path, "mqtt: {host: broker.example, insecure: true}").mqtt.insecure is True
    loaded = _load(tmp_path, "mqtt: {host: broker.example, tls: {ca_file: ca.pem}}")
    assert loaded.mqtt.tls == TlsConfig(ca_file=tmp_path / "ca.pem")
    assert _load(tmp_path, "mqtt: {host: broker.example, tls: {}}").mqtt.tls == TlsConfig()


def test_credentials_come_in_pairs(tmp_path: Path) -> None:
    for name in ("pw", "cert.pem"):
        (tmp_path / name).touch()
    assert _problems(tmp_path, "mqtt: {password_file: pw, tls: {cert_file: cert.pem}}") == [
        "mqtt.password_file is set: mqtt.username must be set as well",
        "mqtt.tls needs both of cert_file and key_file, or neither",
    ]


@pytest.mark.parametrize("journal", ["pw", "sirend.yaml", "link", "./sub/../pw"])
def test_a_journal_is_not_written_over_what_the_configuration_is_read_from(tmp_path: Path, journal: str) -> None:
    """A journal on the key's file was appended to it, and would have been renamed with it in the end."""
    (tmp_path / "pw").write_text("secret\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to("pw")
    (problem,) = _problems(tmp_path, f"mqtt: {{username: a, password_file: pw}}\njournal: {{path: '{journal}'}}")
    what = "the configuration itself" if journal == "sirend.yaml" else "mqtt.password_file"
    assert problem.endswith(f"it would be written over {what}")


def test_page_and_metrics_need_a_port_each(tmp_path: Path) -> None:
    both = "web: {{enabled: true, port: {}}}\nmetrics: {{enabled: true, port: {}}}"
    assert _problems(tmp_path, both.format(9000, 9000)) == ["metrics.port is 9000: web.port has it already"]
    assert _load(tmp_path, both.format(9000, 9001)).web.port == 9000


@pytest.mark.parametrize("key", ["mqtt", "home_assistant"])
def test_a_prefix_is_no_longer_than_a_topic_may_be(tmp_path: Path, key: str) -> None:
    """One of 66,000 characters passed, and no connection came about, "by a bug"."""
    (problem,) = _problems(tmp_path, f"{key}: {{prefix: {'a' * 201}}}")
    assert "up to 200 characters in all" in problem
    _load(tmp_path, f"{key}: {{prefix: {'a' * 200}}}")


def test_file_names_are_relative_to_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "pw").write_text("x")
    monkeypatch.chdir(tmp_path)
    Path("etc/c.yaml").write_text("site: a\nmqtt: {username: u, password_file: pw}\njournal: {path: ../log/e.jsonl}\n")
    loaded = load(Path("etc/c.yaml"))
    assert loaded.mqtt.password_file == tmp_path / "etc" / "pw"
    assert loaded.journal.path == tmp_path / "etc" / ".." / "log" / "e.jsonl"


def test_a_bare_name_of_a_secret_may_be_a_systemd_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "pw").write_text("x")
    (tmp_path / "key").write_text("y")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    (tmp_path / "cert.pem").touch()
    tls = "{cert_file: cert.pem, key_file: pw}"
    loaded = _load(tmp_path, f"mqtt: {{username: u, password_file: pw, sign_key_file: key, tls: {tls}}}")
    assert loaded.mqtt.password_file == credentials / "pw"
    assert loaded.mqtt.tls == TlsConfig(cert_file=tmp_path / "cert.pem", key_file=credentials / "pw")
    assert loaded.mqtt.sign_key_file == tmp_path / "key"


def test_an_onlooker_needs_no_secret_of_the_daemon(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").touch()
    file = tmp_path / "sirend.yaml"
    file.write_text(
        "site: a\nmqtt: {sign_key_file: sirend.sign-key, tls: {cert_file: cert.pem, key_file: sirend.mqtt-key}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert [problem.split(" ")[0] for problem in caught.value.problems] == ["mqtt.tls.key_file", "mqtt.sign_key_file"]
    assert all(
        problem.endswith("for a systemd credential set CREDENTIALS_DIRECTORY=/etc/credstore")
        for problem in caught.value.problems
    )
    assert load(file, for_onlooker=True).mqtt.sign_key_file == tmp_path / "sirend.sign-key"
    (tmp_path / "cert.pem").unlink()
    with pytest.raises(ConfigError, match=r"'cert\.pem': there is no file"):
        load(file, for_onlooker=True)


def test_a_secret_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "pw"
    path.write_bytes(b"s3cret \r\nmore\n")
    assert secret(path) == b"s3cret "
    for content in (b"", b"\nx"):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="first line is empty"):
            secret(path)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        secret(tmp_path / "none")


@pytest.mark.parametrize("read", [secret, lambda path: secret_lines(path)[0]])
def test_a_mark_of_the_editor_is_no_part_of_a_secret(tmp_path: Path, read: Callable[[Path], bytes]) -> None:
    path = tmp_path / "pw"
    path.write_bytes(b"\xef\xbb\xbfs3cret\r\nmore\n")
    assert read(path) == b"s3cret"
    path.write_bytes(b"\xef\xbb\xbf\n")
    with pytest.raises(ConfigError, match="first line is empty"):
        read(path)
    for coding in ("utf-16-le", "utf-16-be"):
        path.write_bytes("\ufeffs3cret\n".encode(coding))
        with pytest.raises(ConfigError, match="text of 16 bits a letter; save it as plain text") as caught:
            read(path)
        assert "s3cret" not in str(caught.value)


def test_a_missing_credential_is_sought_where_the_service_has_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/sirend.service")
    assert _problems(tmp_path, "mqtt: {sign_key_file: sirend.sign-key}") == [
        (
            f"mqtt.sign_key_file is 'sirend.sign-key': there is no file {tmp_path / 'sirend.sign-key'}, and no "
            "credential /run/credentials/sirend.service/sirend.sign-key; the service gets it from "
            "/etc/credstore/sirend.sign-key"
        )
    ]


def test_inhibit_covers_a_part_of_the_week() -> None:
    day = Inhibit(("mon",), 8 * 60, 9 * 60)
    assert [day.covers(datetime(2026, 11, 23, *at)) for at in ((7, 59), (8, 0), (8, 59), (9, 0))] == [  # noqa: DTZ001
        False,
        True,
        True,
        False,
    ]
    assert not day.covers(datetime(2026, 11, 24, 8, 30))  # noqa: DTZ001  a Tuesday


def test_inhibit_over_midnight_belongs_to_the_day_it_begins_on() -> None:
    night = Inhibit(("sun",), 22 * 60, 6 * 60)
    sunday, monday = (2026, 11, 22), (2026, 11, 23)
    assert night.covers(datetime(*sunday, 22, 0))  # noqa: DTZ001
    assert night.covers(datetime(*monday, 5, 59))  # noqa: DTZ001
    assert not night.covers(datetime(*monday, 6, 0))  # noqa: DTZ001
    assert not night.covers(datetime(*sunday, 5, 0))  # noqa: DTZ001


def test_inhibit_without_times_covers_the_whole_day() -> None:
    assert all(Inhibit().covers(datetime(2026, 11, 22, hour, 59)) for hour in range(24))  # noqa: DTZ001


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(_all_keys())), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(keys.names(Config)), _values, max_size=5))
def test_whatever_stands_in_the_file_is_read_or_refused_in_one_line_each(content: dict[str, Any]) -> None:
    problems: list[str] = []
    read = keys.read_mapping(Config, yaml.safe_load(yaml.safe_dump(content)), "", problems)
    assert isinstance(read, Config)
    assert all("\n" not in problem and re.match(r"[a-z_\[\].0-9]+ is ", problem) for problem in problems)


@pytest.mark.parametrize("key", ["web: {token_file: %s}", "mqtt: {tls: {ca_file: %s}}", "mqtt: {password_file: %s}"])
def test_a_name_that_is_too_long_names_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    file = tmp_path / "sirend.yaml"
    file.write_text("site: a\n" + key % ("x" * 300))
    with pytest.raises(ConfigError, match="there is no file"):
        load(file)


def test_a_network_microphone_has_its_password_in_a_file(tmp_path: Path) -> None:
    (wrong,) = _problems(tmp_path, "audio: {device: 'rtsp://guest:secret@192.0.2.20/live'}")
    assert wrong == (
        "audio.device has a name or password in it, which is shown wherever the device is named: put NAME:PASSWORD "
        "into a file and its name into audio.credentials_file"
    )
    (wrong_file,) = _problems(tmp_path, "audio: {device: 'rtsp://192.0.2.20/live', credentials_file: camera.secret}")
    assert wrong_file.startswith("audio.credentials_file is 'camera.secret': there is no file")


LEGS = """
approaches:
  - {name: north, bearing_deg: 0, width_deg: 90}
  - {name: east, bearing_deg: 90}
  - {name: main}
"""


def test_an_array_is_one_device_with_as_many_channels_as_its_microphones(tmp_path: Path) -> None:
    loaded = _load(tmp_path, LEGS + 'array: {device: "USB array", heading_deg: 30}\n')
    assert loaded.audio == AudioConfig(device="USB array", channels=5)
    assert loaded.array == ArrayConfig(device="USB array", heading_deg=30.0)
    own = _load(tmp_path, LEGS + "array: {geometry: [[0, 0], [0.06, 0], [0, 0.06]]}\n")
    assert own.array is not None
    assert own.array.geometry == ((0.0, 0.0), (0.06, 0.0), (0.0, 0.06))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LEGS + "array: {geometry: respeaker4}\n", "did you mean `respeaker-4`?"),
        (LEGS + "array: {geometry: [[0, 0], [0.05, 0], [0.1, 0]]}\n", "array.geometry: its microphones lie in a line"),
        (LEGS + "array: {geometry: [[0, 0], [5, 0], [0, 5]]}\n", "are its places in metres?"),
        ("array: {}\n", "no approach has a bearing_deg"),
        (
            LEGS.replace("width_deg: 90", "width_deg: 150") + "array: {}\n",
            "approaches north and east overlap: 90 degrees",
        ),
        (LEGS.replace("  - {name: main}\n", "") + "array: {}\n", "add an approach called main"),
        (LEGS + "  - {name: west}\narray: {}\n", "approaches west: bearing_deg is missing"),
        (LEGS.replace("bearing_deg: 90", "bearing_deg: 90, device: other") + "array: {}\n", "an array is one device"),
    ],
)
def test_an_array_that_cannot_tell_the_legs_is_refused(tmp_path: Path, text: str, words: str) -> None:
    assert [problem for problem in _problems(tmp_path, text) if words in problem]
