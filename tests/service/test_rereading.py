from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sirend.config.load import load
from sirend.errors import ConfigError
from sirend.service.rereading import Rereading

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from sirend.config.settings import Config


def read_again(rereading: Rereading) -> Config | ConfigError:
    """Return what becomes of being asked."""
    rereading.ask()
    until = time.monotonic() + 60.0
    while (found := rereading.take()) is None:
        assert time.monotonic() < until
        time.sleep(0.005)
    return found


def test_a_key_that_cannot_be_used_is_refused_and_another_one_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An emptied key passed a reload, and the next start ended with 78; another one was taken for nothing new."""
    key, path = tmp_path / "key", tmp_path / "c.yaml"
    key.write_text("0123456789abcdef\n")
    path.write_text("site: a\nmqtt: {sign_key_file: key}\n")
    config = load(path)
    with Rereading(lambda: load(path)) as rereading:
        rereading.taken_up(config)
        assert read_again(rereading) == config
        key.write_text("")
        refused = read_again(rereading)
        assert isinstance(refused, ConfigError)
        assert str(refused) == f"the new configuration: {key}: the secret's first line is empty"
        assert caplog.messages == []
        key.write_text("fedcba9876543210\n")
        assert read_again(rereading) == config
        assert caplog.messages == ["what is in the file needs a restart to take effect: mqtt.sign_key_file"]
        key.write_text("0123456789abcdef\n# and a word\n")
        assert read_again(rereading) == config
        assert len(caplog.messages) == 1
