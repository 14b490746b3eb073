import os
import platform
import re
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

import sirend
from sirend.errors import ConfigError, DeviceError

ROOT = Path(__file__).parent.parent


def test_the_version_is_the_newest_of_the_changelog() -> None:
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == sirend.__version__


@pytest.mark.parametrize(("name", "command"), [("sirend", "run"), ("sirend-listen", "listen")])
def test_the_units_restart_what_hangs_and_leave_down_what_is_misconfigured(name: str, command: str) -> None:
    unit = ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # keys of a unit are case sensitive
    unit.read(ROOT / "systemd" / f"{name}.service")
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) > 0
    assert service["Restart"] == "always"
    assert str(ConfigError.exit_code) in service["RestartPreventExitStatus"].split()
    assert str(DeviceError.exit_code) not in service["RestartPreventExitStatus"].split()
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert service["User"] not in {"", "root"}
    assert f"sirend {command} --config" in service["ExecStart"]


@pytest.mark.system
@pytest.mark.parametrize(("name", "most"), [("sirend", 1.4), ("sirend-selftest", 1.3), ("sirend-listen", 1.2)])
def test_the_sandbox_of_a_unit_is_as_tight_as_the_readme_says(name: str, most: float) -> None:
    words = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(ROOT / "systemd" / f"{name}.service")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    (exposure,) = re.findall(rf"Overall exposure level for {name}.service: ([0-9.]+) ", done.stdout)
    assert float(exposure) <= most


def test_what_is_installed_is_taken_away_again_and_only_the_operator_switches_it_on() -> None:
    install, uninstall = ((ROOT / "systemd" / name).read_text() for name in ("install", "uninstall"))
    for unit in sorted((ROOT / "systemd").glob("sirend*.*")):
        assert f" {unit.name}" in install
        assert f" {unit.name}" in uninstall
    assert not re.search(r"^ *systemctl .*enable --now", install, re.MULTILINE)


def test_a_purge_takes_the_same_whichever_way_it_was_installed() -> None:
    by_make, by_package = (
        re.findall(r"^ *rm -rf (/etc/sirend .*)$", (ROOT / "systemd" / name).read_text(), re.MULTILINE)
        for name in ("uninstall", "package")
    )
    assert len(by_make) == 1
    assert by_make == by_package


def test_the_secrets_that_the_readme_names_are_handed_to_daemon_and_self_test() -> None:
    named = set(re.findall(r"`(sirend\.(?:mqtt|sign|web)-[a-z]+)`", (ROOT / "systemd" / "README.md").read_text()))
    assert {"sirend.mqtt-password", "sirend.web-token"} <= named
    for unit in ("sirend", "sirend-selftest"):
        lines = (ROOT / "systemd" / f"{unit}.service").read_text().splitlines()
        assert {line.removeprefix("LoadCredential=") for line in lines if line.startswith("LoadCredential=")} == named


def test_a_virtual_environment_from_elsewhere_is_made_anew(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    venv.mkdir()
    (venv / ".installed-plot").touch()

    def make() -> subprocess.CompletedProcess[str]:
        words = [str(ROOT / ".ci" / "venv"), str(venv), "plot"]
        return subprocess.run(
            words, cwd=ROOT, env={**os.environ, "PYTHON": "false"}, capture_output=True, text=True, check=False
        )

    (venv / ".made-for").write_text(f"{ROOT} on {platform.machine()}\n")
    assert (make().returncode, venv.exists()) == (0, True)
    (venv / ".made-for").write_text("somewhere else\n")
    done = make()
    assert done.stdout == f"{venv} was made for somewhere else; making it anew\n"
    assert (done.returncode, venv.exists()) == (1, False)


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "exec make test"
    assert "make test" in (ROOT / "README.md").read_text()


def test_only_the_agreed_names_stand_at_the_top() -> None:
    agreed = {
        "daemon", "models", "conf", "systemd", "tests", "pyproject.toml", "README.md", "LICENSE", "NOTICE",
        "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "build", "dist", "demo-out",
    }  # fmt: skip
    assert {path.name for path in ROOT.iterdir() if not path.name.startswith(".")} <= agreed
