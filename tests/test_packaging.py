import re
from configparser import ConfigParser
from pathlib import Path

import sirend
from sirend.errors import ConfigError, DeviceError

ROOT = Path(__file__).parent.parent


def test_the_version_is_the_newest_of_the_changelog() -> None:
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == sirend.__version__


def test_the_unit_restarts_what_hangs_and_leaves_down_what_is_misconfigured() -> None:
    unit = ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # keys of a unit are case sensitive
    unit.read(ROOT / "systemd" / "sirend.service")
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) > 0
    assert service["Restart"] == "always"
    assert str(ConfigError.exit_code) in service["RestartPreventExitStatus"].split()
    assert str(DeviceError.exit_code) not in service["RestartPreventExitStatus"].split()
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert service["User"] not in {"", "root"}
    assert "sirend run --config" in service["ExecStart"]


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "exec make test"
    assert "make test" in (ROOT / "README.md").read_text()


def test_only_the_agreed_names_stand_at_the_top() -> None:
    agreed = {
        "daemon", "models", "conf", "systemd", "tests", "pyproject.toml", "README.md", "LICENSE", "NOTICE",
        "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "build", "dist", "demo-out",
    }  # fmt: skip
    assert {path.name for path in ROOT.iterdir() if not path.name.startswith(".")} <= agreed
