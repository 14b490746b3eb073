"""Each command in the READMEs and CONTRIBUTING.md is run, here or where ``ELSEWHERE`` says; links lead somewhere."""

from __future__ import annotations

import json
import re
import shlex
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sirend.cli import commands
from sirend.cli.arguments import parser
from sirend.cli.examples import EXAMPLES, WHOLE
from sirend.cli.main import main
from sirend.config import load as config
from sirend.detect import bundle
from tests import readme
from tests.bench import figures
from tests.bench.tables import COLUMNS

if TYPE_CHECKING:
    from tests.conftest import Broker

ROOT = Path(__file__).parents[1]
TEXTS = {page: page.read_text(encoding="utf-8") for page in (*readme.PAGES, ROOT / "CONTRIBUTING.md")}
README = TEXTS[ROOT / "README.md"]
DOCUMENTS = "\n".join(TEXTS.values())
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
HERE = {
    "sudo CREDENTIALS_DIRECTORY=/etc/credstore ": "",
    "sudo sirend ": "sirend ",
    "/etc/sirend/sirend.yaml": "site.yaml",
    "--mqtt": "--mqtt --config site.yaml",
}
"""What the test writes for a place or a broker that only an installed machine has."""
ELSEWHERE = {
    "make demo": ("tests/e2e/test_replay.py", 'sirend("demo")'),
    "make test": (".ci/run", "exec make test"),
    "make unit": ("Makefile", "lint unit-daemon unit-training\n"),
    "make lint": ("Makefile", "lint unit-daemon unit-training\n"),
    "make test-system": ("Makefile", "tests/e2e/cabinet.py"),
    "make readme": ("tests/test_readme.py", "readme.current("),
    "make report": ("tests/bench/test_report.py", "report.main("),
    "make venv EXTRAS=completion": ("Makefile", ".ci/venv $(VENV) plot,test,train"),
    "make venv EXTRAS=pki": ("Makefile", ".ci/venv $(VENV) plot,test,train"),
    "make venv EXTRAS=plot,test": ("Makefile", ".ci/venv $(VENV) plot,test,train"),
    "make venv EXTRAS=plot,train": ("Makefile", ".ci/venv $(VENV) plot,test,train"),
    "make test-arm64": ("Makefile", "tests/e2e/arm64.py"),
    "make fuzz": ("tests/fuzz/test_parsers.py", "attack(parser"),
    "make wheels EXTRAS=web,monitor FOR=3.13-aarch64": ("tests/e2e/arm64.py", '"wheels.py"'),
    "make deb DEB_ARCH=arm64": ("Makefile", "test-system: deb"),
    "sudo EXTRAS=web,monitor apt-get install ./sirend_0.1.0_arm64.deb": (
        "tests/e2e/cabinet.py",
        '"apt-get", "install"',
    ),
    "sudo make install EXTRAS=web,monitor": ("tests/e2e/cabinet.py", '"EXTRAS=completion"'),
    "sudo make install EXTRAS=web,monitor WHEELS=build/wheels": ("tests/e2e/cabinet.py", 'f"WHEELS={WHEELS}"'),
    "sudo make uninstall": ("tests/e2e/cabinet.py", '"uninstall")'),
    "sudo systemctl enable --now sirend.service sirend-selftest.timer": ("tests/e2e/cabinet.py", '"enable"'),
    "sudo systemctl enable --now sirend-listen.service": ("tests/e2e/cabinet.py", '"--now", "--quiet", listener'),
    "sudo systemctl restart mosquitto": ("tests/conf/test_broker.py", "broker.start()"),
    "sudo conf/broker/cluster/admit site main-5th": ("tests/conf/test_cluster.py", "made.cluster.admit(role, name)"),
    "sudo conf/broker/cluster/admit controller main-5th": (
        "tests/conf/test_cluster.py",
        "made.cluster.admit(role, name)",
    ),
    "journalctl -u sirend -f": ("tests/e2e/cabinet.py", '"journalctl"'),
    "sirend devices": ("tests/e2e/test_run.py", '("devices")'),
    "sirend devices rtsp://192.0.2.20/live --credentials camera.secret": (
        "tests/e2e/test_network_microphone.py",
        'sirend("devices", server.url, "--credentials", "camera.secret")',
    ),
    "sirend monitor --config /etc/sirend/sirend.yaml": (
        "tests/observe/test_monitor.py",
        '"sirend", "monitor"',
    ),
    "sudo sirend bearing --config /etc/sirend/sirend.yaml --expect 0,90,180,270": (
        "tests/cli/test_bearing_walk.py",
        '["bearing", "--config", str(site), "--expect", "0,90"]',
    ),
    "sudo systemctl stop sirend": ("tests/e2e/cabinet.py", '"stop"'),
    "sudo sirend record --config /etc/sirend/sirend.yaml --hours 24 --out street": (
        "tests/e2e/test_record.py",
        '"record", "--out", "street"',
    ),
    "sirend record --review --out street": ("tests/web/test_review.py", "serve(street"),
    "sirend evaluate --data street": ("tests/training/test_smoke.py", '"evaluate"'),
    "sirend listen --config controller.yaml --verify": ("tests/e2e/test_listen.py", '"--verify"'),
    "sirend train --data recordings --out siren-9.0.0": ("tests/training/test_smoke.py", '"train"'),
    "sirend train --data street --out siren-9.0.0": ("tests/training/test_smoke.py", '"train"'),
    "sirend evaluate --data recordings --model siren-9.0.0 --report build/report/detection": (
        "tests/training/test_smoke.py",
        '"evaluate"',
    ),
}
"""Which test runs a command that needs a machine, a terminal or TensorFlow, and what must stand in it."""
OF_THE_SYSTEM = ("sudo apt-get ", "sudo install ", "mosquitto_sub ", "scp ", "ssh ", "cd ")
"""Beginnings of commands that are not sirend's: ``conf/test_broker`` runs those that install, the others were typed by
hand in a bare Debian root."""


def typed() -> list[str]:
    """Return the indented lines that are commands, in order, without their comments."""
    lines = re.findall(r"^ {4,}(\S.*)$", DOCUMENTS, re.MULTILINE)
    words = (*OF_THE_SYSTEM, "sudo ", "make ", "sirend ", "journalctl ", "systemctl ")
    return [re.sub(r"\s+# .*", "", line) for line in lines if line.startswith(words)]


def test_the_generated_parts_are_current() -> None:
    for page in readme.PAGES:
        assert readme.current(TEXTS[page], page) == TEXTS[page], f"{page}: run `make readme`"
    card = readme.card().read_text(encoding="utf-8")
    assert readme.current(card, readme.card()) == card, "run `make readme`"
    measured = json.loads(figures.COMMITTED.read_text(encoding="utf-8"))["detection"]["model"]
    name = bundle.load(bundle.find(None)).name
    # A model that no report has measured yet has a card of its own; no other's figures may pass for its own.
    for part in ("detection", "scenes"):
        assert (f"<!-- generated by `make readme`: {part} -->" in card) is (measured == name)
    assert "<!-- generated by `make readme`: left out -->" in card
    assert measured != name or f"\n{name}; " in card


def test_every_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broker: Broker) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    (tmp_path / "siren-9.0.0").symlink_to(bundle.find(None))
    (tmp_path / "events.jsonl").touch()
    (tmp_path / "site.yaml").write_text(
        f"site: main-5th\nmqtt: {{port: {broker.port}}}\njournal: {{path: events.jsonl}}\n"
    )
    ran = []
    with broker.subscribe("sirend/main-5th/main/event") as subscriber:
        for line in typed():
            if line in ELSEWHERE or line.startswith(OF_THE_SYSTEM):
                continue
            for place, here in HERE.items():
                line = line.replace(place, here)  # noqa: PLW2901
            command, _, output = line.partition(" > ")
            words = shlex.split(command)
            assert words[0] == "sirend", f"{line}: no test runs it"
            with pytest.MonkeyPatch.context() as patch:
                file = (tmp_path / (output or "printed")).open("w", encoding="utf-8")
                patch.setattr("sys.stdout", file)
                with file:
                    assert main(words[1:]) == 0, line
            ran.append(words[1])
        states = [json.loads(message.payload)["state"] for message in subscriber.take(2)]
    assert states == ["approaching", "clear"]  # the quick start ends in an event on a broker
    assert main(["selftest", "--config", "conf/junction.yaml", "--no-mqtt"]) == 0
    assert (tmp_path / "street.png").read_bytes().startswith(b"\x89PNG")
    completion = (tmp_path / "sirend.bash").read_text()
    assert "complete -" in completion
    assert {"init", "--renew", "--smoke", "--soundscape-hours"} <= set(re.findall(r"[a-z-]+", completion))
    assert (tmp_path / "fleet" / "site" / "main-5th.pem").is_file()
    assert {"simulate", "replay", "check", "selftest", "events", "schema", "pki", "completion"} <= set(ran)


@pytest.mark.parametrize(("line", "where"), ELSEWHERE.items())
def test_what_is_run_elsewhere_is_run_there(line: str, where: tuple[str, str]) -> None:
    file, text = where
    assert line in typed()
    assert text in (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("line", [line for line in ELSEWHERE if line.removeprefix("sudo ").startswith("sirend ")])
def test_what_is_run_elsewhere_is_a_command_line_as_it_stands(line: str) -> None:
    """There it is run with other words: one that lacked a word that is needed was found by whoever typed it."""
    words = shlex.split(line.removeprefix("sudo "))[1:]
    assert parser(words).parse_args(words).command is not None


def test_every_configuration_that_is_shown_is_one(tmp_path: Path) -> None:
    blocks = re.findall(r"^\n((?: {4}.*\n)+)", DOCUMENTS, re.MULTILINE)
    shown = [textwrap.dedent(block) for block in blocks if block.startswith(("    site:", "    audio:"))]
    assert len(shown) == 5
    files = ("broker-ca.pem", "controller.pem", "controller.key", "main-5th.sign-key", "community", "camera.secret")
    for name in (*files, "main-5th.pem", "sirend.mqtt-key", "sirend.sign-key"):
        (tmp_path / name).write_text("secret-enough-for-a-key\n")
    for text in shown:
        (tmp_path / "sirend.yaml").write_text(text)
        assert config.load(tmp_path / "sirend.yaml").site == "main-5th"
    junction = config.load(ROOT / "conf" / "junction.yaml")
    (tmp_path / "sirend.yaml").write_text(next(text for text in shown if "channels: 4" in text))
    assert config.load(tmp_path / "sirend.yaml") == junction


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", MAKEFILE, re.MULTILINE))
    named = set(re.findall(r"(?:^ {4,}|`)(?:sudo )?make ([a-z0-9-]+)", DOCUMENTS, re.MULTILINE))
    assert named
    assert named <= targets
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert set(phony.split()) == targets


def test_every_command_that_is_named_exists() -> None:
    named = set(re.findall(r"`sirend ([a-z]+)\b(?! id)", DOCUMENTS))
    assert named <= set(EXAMPLES)
    assert set(EXAMPLES) == set(re.findall(r"^\| `sirend ([a-z]+)` \|", README, re.MULTILINE))


@pytest.mark.parametrize("command", ["", *EXAMPLES])
def test_the_examples_of_the_help_are_command_lines(command: str) -> None:
    text = (EXAMPLES[command] if command else WHOLE).replace("  sudo sirend ", "  sirend ")
    lines = [line for line in text.splitlines() if line.startswith("  sirend ")]
    shown = [shlex.split(re.split(r" {2,}| > ", line.strip())[0])[1:] for line in lines]
    assert not command or command in [words[0] for words in shown]
    for words in shown:
        parsed = parser(words).parse_args(words)
        assert parsed.command is not None


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for file, reference in re.findall(r"\]\(([^)]+)\)|^\[[a-z]+\]: (\S+)$", TEXTS[page], re.MULTILINE):
        target, _, heading = (file or reference).partition("#")
        if "//" in target:
            continue
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in [re.sub(r"[^a-z0-9 -]", "", each.lower()).replace(" ", "-") for each in headings], heading


def test_the_first_page_is_short() -> None:
    assert len(README.splitlines()) <= 220


def test_tests_that_the_table_of_faults_names_exist() -> None:
    _, _, table = TEXTS[ROOT / "tests" / "README.md"].partition("## What it does about each fault")
    table, _, _ = table.partition("\n## ")
    rows = re.findall(r"^\|.*\| ([^|]+) \|$", table, re.MULTILINE)[2:]
    assert rows
    for name in re.findall(r"`([a-z0-9_/]+)`", re.sub(r"\([^)]*\)", "", " ".join(rows))):  # in brackets: for -k
        path = f"e2e/{name}" if name == "cabinet" else name
        assert (ROOT / "tests" / f"{path}.py").is_file(), name


def test_extras_that_are_named_exist() -> None:
    known = set(re.findall(r"^([a-z]+) = \[", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"extra `([a-z]+)`", DOCUMENTS)) | set(
        ",".join(re.findall(r"EXTRAS=([a-z,]+)", DOCUMENTS)).split(",")
    )
    assert {"web", "monitor", "metrics", "plot", "ntcip", "gpio", "pki", "completion", "train"} <= named <= known


def test_lines_fit_but_for_rows_of_tables() -> None:
    assert [line for line in DOCUMENTS.splitlines() if len(line) > COLUMNS and not line.startswith("|")] == []


def test_the_completion_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 64
    assert capsys.readouterr().err.endswith(
        "needs shtab: sudo make install EXTRAS=completion, or make venv EXTRAS=completion\n"
    )
    assert commands.SHELLS == ("bash", "zsh")
