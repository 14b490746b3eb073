from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sirend.config.listen_settings import ListenConfig, NtcipConfig, Preempt, Relay
from sirend.config.load import load
from sirend.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

LEGS = """
site: main-5th
audio: {channels: 2}
approaches: [{name: north, channel: 0}, {name: east, channel: 1}]
"""


def read(tmp_path: Path, text: str) -> ListenConfig:
    (tmp_path / "c.yaml").write_text(LEGS + text)
    return load(tmp_path / "c.yaml").listen


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, text)
    return list(raised.value.problems)


def test_by_default_nothing_moves(tmp_path: Path) -> None:
    assert read(tmp_path, "") == ListenConfig()
    assert not ListenConfig().acts


@pytest.mark.parametrize(
    "settings",
    [ListenConfig(command="true"), ListenConfig(relays=(Relay(),)), ListenConfig(ntcip=NtcipConfig())],
    ids=["command", "relay", "ntcip"],
)
def test_each_output_moves_something(settings: ListenConfig) -> None:
    assert settings.acts


def test_every_key_is_read_and_files_are_relative_to_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("community", "auth", "credentials/priv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    assert read(
        tmp_path,
        """
listen:
  rehearsal: true
  ack: false
  command: notify
  command_timeout_s: 3
  relays: [{approach: east, pin: 4, active_high: false}]
  ntcip:
    host: cabinet
    port: 1161
    version: v3
    community_file: community
    user: sirend
    auth: sha256
    auth_file: auth
    priv_file: priv
    timeout_s: 0.5
    retries: 2
    backup_s: 9
    preempts: [{approach: north, number: 2}]
""",
    ) == ListenConfig(
        rehearsal=True,
        ack=False,
        command="notify",
        command_timeout_s=3.0,
        relays=(Relay("east", 4, active_high=False),),
        ntcip=NtcipConfig(
            host="cabinet",
            port=1161,
            version="v3",
            community_file=tmp_path / "community",
            user="sirend",
            auth="sha256",
            auth_file=tmp_path / "auth",
            priv_file=tmp_path / "credentials" / "priv",
            timeout_s=0.5,
            retries=2,
            backup_s=9,
            preempts=(Preempt("north", 2),),
        ),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("relays: [{approach: west, pin: 4}]", "listen.relays[0].approach is 'west': the site has north, east"),
        (
            "relays: [{approach: north, pin: 4}, {approach: east, pin: 4}]",
            "listen.relays[1].pin is 4: it is there twice",
        ),
        ("relays: [{approach: north}]", "listen.relays[0].pin is missing: write a whole number from 0 to 27"),
        (
            "ntcip: {community_file: key, preempts: [{approach: north}]}",
            "listen.ntcip.preempts[0].number is missing: write a whole number from 1 to 255",
        ),
        (
            "ntcip: {community_file: key, timeout_s: 0, preempts: [{approach: north, number: 3}]}",
            "listen.ntcip.timeout_s",
        ),
        ("ntcip: {community_file: key, retries: 11, preempts: [{approach: north, number: 3}]}", "listen.ntcip.retries"),
        (
            "ntcip: {community_file: key, timeout_s: 2, retries: 2, preempts: [{approach: north, number: 3}]}",
            "listen.ntcip.backup_s is 5: with this timeout_s and retries a question takes up to 6 s",
        ),
        ("relays: [{approach: north, pin: 28}]", "listen.relays[0].pin is 28: allowed is a whole number from 0 to 27"),
        ("ntcip: {community_file: key}", "listen.ntcip.preempts is empty: say which preempt serves which approach"),
        (
            "ntcip: {community_file: key, preempts: [{approach: main, number: 1}]}",
            "listen.ntcip.preempts[0].approach is 'main': the site has north, east",
        ),
        (
            "ntcip: {community_file: key, preempts: [{approach: north, number: 3}, {approach: east, number: 3}]}",
            "listen.ntcip.preempts[1].number is 3: it is there twice",
        ),
        (
            "ntcip: {preempts: [{approach: north, number: 3}]}",
            "listen.ntcip.version is v2c: community_file must be set",
        ),
        (
            "ntcip: {version: v3, user: sirend, preempts: [{approach: north, number: 3}]}",
            "listen.ntcip.version is v3: user and auth_file must be set",
        ),
        (
            "ntcip: {community_file: none, preempts: [{approach: north, number: 3}]}",
            "listen.ntcip.community_file is 'none': there is no file ",
        ),
        (
            "command_timeout_s: 10 s",
            "listen.command_timeout_s is '10 s': allowed is a number from 1 to 300 s; it ",
        ),
    ],
)
def test_each_mistake_is_told(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "key").write_text("community\n")
    (found,) = problems(tmp_path, f"listen: {{{text}}}")
    assert found.startswith(problem)
