"""A configuration that was cut off between two runs, or while one goes on: nothing runs with less than before."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import TypeAlias

    from tests.conftest import Broker
    from tests.e2e.conftest import Command, Daemon, PulseAudio

    Run: TypeAlias = Callable[[str, Mapping[str, str]], Daemon]

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
KEY = "sign-secret-0123456\n"


def test_a_site_that_acts_is_not_started_with_a_file_that_lost_its_signing_or_its_end(
    run: Run, pulse: PulseAudio, broker: Broker, state_directory: Path, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text(KEY)
    whole = (
        f"site: main-5th\ncall:\n  advisory: false\nmqtt:\n  port: {broker.port}\n  sign_key_file: key\n"
        "detect:\n  profile: strict\n  hop_s: 0.5\n"
    )
    beginning = whole[: whole.index("  hop_s")]
    daemon = run(whole, pulse.environment)
    daemon.until_logged("the first window is scored")
    while not list(state_directory.glob("in-force-sirend-*.yaml")):
        time.sleep(0.01)
    daemon.reload(beginning)
    daemon.until_logged("the configuration was not reloaded, the old one stays in force: ")
    assert daemon.stop() == 0
    for cut, words in (
        (beginning, "it is the beginning of the file that was in force at the last run"),
        (whole[: whole.index("  sign_key")], "mqtt.sign_key_file is missing, and call.advisory is false"),
        (whole[: whole.index("detect")], "it takes away detect.profile, which was in force at the last run"),
        (whole[: whole.index("ct\n  hop_s")], "detect.profile is 'stri'"),
        ("site: main-5th\n", "it takes away mqtt.sign_key_file, detect.profile, which was in force at the last run"),
    ):
        refused = run(cut, pulse.environment)
        assert refused.wait() == 78
        assert words in refused.log.read_text()
    again = run(whole, pulse.environment)
    again.until_logged("the first window is scored")
    assert again.stop() == 0


def test_a_listener_is_not_started_with_a_file_that_lost_its_signing(
    sirend: Command, broker: Broker, state_directory: Path
) -> None:
    (sirend.folder / "key").write_text(KEY)
    file = sirend.folder / "listen.yaml"
    signed = f"site: main-5th\nmqtt:\n  port: {broker.port}\n  sign_key_file: key\n"
    file.write_text(signed)
    listening = subprocess.Popen(
        [*sirend.words, "listen", "--config", file], cwd=sirend.folder, env=sirend.variables, stdout=subprocess.DEVNULL
    )
    while not list(state_directory.glob("in-force-listen-*.yaml")):
        time.sleep(0.01)
    listening.terminate()
    assert listening.wait(60.0) == 0
    file.write_text(signed[: signed.index("  sign_key")])
    refused = sirend("listen", "--config", file)
    assert (refused.returncode, refused.stdout) == (78, "")
    assert "it takes away mqtt.sign_key_file, which was in force at the last run" in refused.stderr
