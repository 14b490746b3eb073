from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sirend.cli.check import ADVISORY, check_file
from sirend.detect import bundle
from sirend.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a copy of the bundle that ships."""
    return shutil.copytree(bundle.find(None), tmp_path / "model")


def write(folder: Path, text: str) -> Path:
    (folder / "c.yaml").write_text(text)
    return folder / "c.yaml"


def test_a_sound_configuration_is_summed_up(tmp_path: Path) -> None:
    newest = bundle.load(bundle.find(None))
    with np.load(newest.path / "golden.npz", allow_pickle=False) as golden:
        windows = len(golden["score"])
    lines = check_file(
        write(
            tmp_path,
            "site: elm-st\naudio: {device: USB, channels: 2}\n"
            "approaches: [{name: north, channel: 1}, {name: south, channel: 0}]\n"
            "detect: {enter: 0.7, exit: 0.3, confirm_s: 1.5, release_s: 4}\nmqtt: {prefix: city}\n",
        )
    )
    assert lines == [
        ADVISORY,
        "site elm-st: north (channel 1), south (channel 0) of the input 'USB'",
        "broker 127.0.0.1:1883, not encrypted, not signed, topics city/elm-st/...",
        f"model {newest.name}: digests verified, {windows} golden windows give the same scores here",
        "balanced: a siren is heard from 0.7 and gone below 0.3; confirmed after 1.5 s, released after 4 s",
        (
            "not looked at: whether the microphone is there (sirend check --devices), the broker, the disk; "
            "sirend doctor tries what a site needs"
        ),
    ]


@pytest.mark.parametrize(
    ("tones", "more"), [("wail, unknown", ""), ("wail", "; one whose kind is never certain does not call")]
)
def test_sirens_that_must_not_call_are_told(tmp_path: Path, tones: str, more: str) -> None:
    lines = check_file(write(tmp_path, f"site: elm-st\ndetect: {{tones: [{tones}]}}\n"))
    assert f"only these kinds of siren call: {tones}{more}" in lines


def test_a_site_whose_trial_is_over_is_not_called_advisory(tmp_path: Path) -> None:
    text = "site: elm-st\ncall: {advisory: false}\nmqtt: {sign_key_file: null}\n"
    assert check_file(write(tmp_path, text))[0].startswith("site elm-st: ")


def test_what_a_listener_would_do_is_told_and_its_secrets_are_read(tmp_path: Path, model: Path) -> None:
    assert model.name == "model"
    text = """
site: main-5th
detect: {model: model}
listen:
  rehearsal: true
  command: "true"
  relays: [{pin: 17}]
  ntcip: {host: 192.0.2.7, community_file: community, preempts: [{number: 3}]}
"""
    (tmp_path / "community").write_text("public\n")
    assert check_file(write(tmp_path, text))[3] == (
        "sirend listen: runs a command; GPIO 17 for main; controller 192.0.2.7:161 by SNMP v2c: preempt 3 for main; "
        "also in advisory and replayed calls (rehearsal)"
    )
    (tmp_path / "community").write_text("\n")
    with pytest.raises(ConfigError) as caught:
        check_file(write(tmp_path, text))
    assert caught.value.problems == (f"{tmp_path / 'community'}: the secret's first line is empty",)


EXTRAS = {
    "prometheus_client": "metrics.enabled: prometheus-client is missing: sudo make install EXTRAS=metrics, or make ",
    "aiohttp": "web.enabled: aiohttp is missing: sudo make install EXTRAS=web, or make venv EXTRAS=web",
    "matplotlib": "clips.enabled: matplotlib is missing: sudo make install EXTRAS=plot, or make venv EXTRAS=plot",
    "gpiozero": "listen.relays: gpiozero is missing: sudo make install EXTRAS=gpio, or make venv EXTRAS=gpio",
    "pysnmp": "listen.ntcip: pysnmp is missing: sudo make install EXTRAS=ntcip, or make venv EXTRAS=ntcip",
}


def test_every_missing_secret_extra_and_model_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
site: elm-st
detect: {model: nowhere, hop: 1}
mqtt: {username: elm-st, password_file: no-password, sign_key_file: no-key}
web: {enabled: true, token_file: short}
metrics: {enabled: true}
clips: {enabled: true, path: clips}
listen:
  relays: [{pin: 17}]
  ntcip: {community_file: no-community, preempts: [{number: 3}]}
"""
    (tmp_path / "short").touch()
    for module in EXTRAS:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError) as caught:
        check_file(write(tmp_path, text))
    told = caught.value.problems
    expected = [
        "detect.hop is not a key",
        "listen.ntcip.community_file is 'no-community': there is no file",
        "mqtt.password_file is 'no-password': there is no file",
        "mqtt.sign_key_file is 'no-key': there is no file",
        *EXTRAS.values(),
        f"{tmp_path / 'short'}: the secret's first line is empty",
        f"{tmp_path / 'nowhere'}: ",
    ]
    assert len(told) == len(expected), told
    assert [line for line in expected if not any(each.startswith(line) for each in told)] == []


def test_problems_of_secrets_thresholds_and_model_are_told_together(tmp_path: Path, model: Path) -> None:
    (tmp_path / "key").touch()
    file = write(
        tmp_path, "site: main-5th\ndetect: {model: model, enter: 0.2, exit: null}\nmqtt: {sign_key_file: key}\n"
    )
    with pytest.raises(ConfigError) as caught:
        check_file(file)
    assert caught.value.where == str(file)
    secret, thresholds = caught.value.problems
    assert secret == f"{tmp_path / 'key'}: the secret's first line is empty"
    assert thresholds.startswith("detect: exit ")
    (model / "manifest.json").unlink()
    with pytest.raises(ConfigError) as caught:
        check_file(file)
    assert caught.value.problems[1] == f"{model}: this is no model bundle: it has no file manifest.json"


def test_page_metrics_and_clips_are_summed_up(tmp_path: Path) -> None:
    lines = check_file(
        write(
            tmp_path,
            "site: main-5th\nweb: {enabled: true}\nmetrics: {enabled: true}\n"
            "clips: {enabled: true, path: c, max_mb: 9}\n",
        )
    )
    assert lines[3:6] == [
        "page at http://127.0.0.1:8080/, for everyone on this machine",
        "metrics at http://127.0.0.1:9464/metrics",
        f"audio of calls in {tmp_path / 'c'}, up to 9 MB and 7 days",
    ]
    assert not (tmp_path / "c").exists()


def test_a_page_that_cannot_be_served_is_told_once(tmp_path: Path) -> None:
    for name in ("token", "page.pem"):
        (tmp_path / name).touch()
    (tmp_path / "good").write_text("open sesame\n")
    web = "enabled: true, tls: {cert_file: page.pem, key_file: page.pem}"
    with pytest.raises(ConfigError) as caught:
        check_file(write(tmp_path, f"site: main-5th\nweb: {{{web}, token_file: token}}\n"))
    assert caught.value.problems == (f"{tmp_path / 'token'}: the secret's first line is empty",)
    with pytest.raises(ConfigError) as caught:
        check_file(write(tmp_path, f"site: main-5th\nweb: {{{web}, token_file: good}}\n"))
    (problem,) = caught.value.problems
    assert problem.startswith("web.tls: certificate and key cannot be used")


def test_certificates_that_the_daemon_could_not_use_are_found(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    with pytest.raises(ConfigError) as caught:
        check_file(write(tmp_path, "site: main-5th\nmqtt: {tls: {ca_file: empty.pem}}\n"))
    (problem,) = caught.value.problems
    assert problem.startswith("mqtt.tls: the certificates cannot be used")


@pytest.mark.parametrize("what", ["features", "score"])
def test_a_machine_that_computes_something_else_is_noticed(tmp_path: Path, model: Path, what: str) -> None:
    with np.load(model / "golden.npz") as saved:
        golden = dict(saved)
    golden[what] = golden[what] + 0.5
    np.savez_compressed(model / "golden.npz", **golden)
    with pytest.raises(ConfigError) as caught:
        check_file(write(tmp_path, "site: main-5th\ndetect: {model: model}\n"))
    name = {"features": "features", "score": "scores"}[what]
    assert f"golden.npz: {name} differ by " in caught.value.problems[0]


def test_golden_windows_that_cannot_be_read_are_told(tmp_path: Path, model: Path) -> None:
    (model / "golden.npz").write_text("gold")
    with pytest.raises(ConfigError) as caught:
        check_file(write(tmp_path, "site: main-5th\ndetect: {model: model}\n"))
    assert "golden.npz: the golden windows cannot be read: " in caught.value.problems[0]


def test_a_model_without_golden_windows_is_tried_all_the_same(tmp_path: Path, model: Path) -> None:
    manifest = json.loads((model / "manifest.json").read_text())
    manifest.pop("golden", None)
    (model / "manifest.json").write_text(json.dumps(manifest))
    (model / "golden.npz").unlink()
    lines = check_file(write(tmp_path, "site: main-5th\ndetect: {model: model}\n"))
    assert lines[3] == f"model {bundle.load(model).name}: digests verified"
