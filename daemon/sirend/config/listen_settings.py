"""What can be configured of ``sirend listen``: the section ``listen`` of the configuration."""
# ruff: noqa: RUF009  every key is a call of ``fields``, which returns a dataclass field

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003  the reader of the file looks the types up
from typing import TYPE_CHECKING

from sirend.config import fields

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_NAME = r"[a-z0-9-]{1,64}"
_NAME_ALLOWED = "the name of an approach"


@dataclass(frozen=True, slots=True)
class Relay:
    """A GPIO line that is on while an approach calls."""

    approach: str = fields.text("main", _NAME, _NAME_ALLOWED)
    """Whose calls."""
    pin: int = fields.number(17, 0, 27, "", whole=True, required=True)
    """Line, in Broadcom's numbering."""
    active_high: bool = fields.switch(default=True)
    """Whether on is the high level."""


@dataclass(frozen=True, slots=True)
class Preempt:
    """Which preempt of the controller serves an approach."""

    approach: str = fields.text("main", _NAME, _NAME_ALLOWED)
    """Whose calls."""
    number: int = fields.number(1, 1, 255, "", whole=True, required=True)
    """Row of the controller's ``preemptTable``."""


@dataclass(frozen=True, slots=True)
class NtcipConfig:
    """An NTCIP 1202 signal controller, reached over SNMP."""

    host: str = fields.text("127.0.0.1", r"[A-Za-z0-9._:%-]{1,253}", "a host name or address")
    """Its SNMP agent."""
    port: int = fields.number(161, 1, 65535, "", whole=True)
    """UDP port."""
    version: str = fields.text("v2c", r"v1|v2c|v3", "v1, v2c or v3")
    """SNMP version."""
    community_file: Path | None = fields.path()
    """File, or name of a systemd credential, with the community of v1 and v2c."""
    user: str | None = fields.text(None, r"[\x21-\x7e]{1,32}", "1 to 32 printable characters", optional=True)
    """User of v3."""
    auth: str = fields.text("sha", r"sha|sha256", "sha or sha256")
    """How messages of v3 are authenticated."""
    auth_file: Path | None = fields.path()
    """File, or name of a systemd credential, with the user's authentication password."""
    priv_file: Path | None = fields.path()
    """The same with the password for AES-128."""
    timeout_s: float = fields.number(1.0, 0.1, 30.0, "s")
    """How long an answer may take."""
    retries: int = fields.number(1, 0, 10, "", whole=True)
    """How often a question is sent again when it did not come in that time."""
    backup_s: int | None = fields.number(5, 2, 3600, "s", whole=True, optional=True)
    """Greatest ``unitBackupTime`` of a controller that is called; None does not ask for it."""
    preempts: tuple[Preempt, ...] = fields.several(Preempt, (), "{approach, number}")
    """What serves whom."""


@dataclass(frozen=True, slots=True)
class ListenConfig:
    """What ``sirend listen`` does with a call besides printing it."""

    rehearsal: bool = fields.switch()
    """Act on advisory and replayed calls too."""
    ack: bool = fields.switch(default=True)
    """Publish what was done on the topic ``ack``."""
    command: str | None = fields.text(None, r"\S(.|\n)*", "a command for /bin/sh", optional=True)
    """Run at each change."""
    command_timeout_s: float = fields.number(10.0, 1.0, 300.0, "s")
    """The command is killed after so long."""
    relays: tuple[Relay, ...] = fields.several(Relay, (), "{approach, pin, active_high}")
    """GPIO lines."""
    ntcip: NtcipConfig | None = fields.section(NtcipConfig, optional=True)
    """The controller."""

    @property
    def acts(self) -> bool:
        """Whether anything moves when a call comes."""
        return bool(self.command or self.relays or self.ntcip)


def with_files(listen: ListenConfig, of_secret: Callable[[Path | None, str], Path | None]) -> ListenConfig:
    """Return ``listen`` with every file name made absolute by ``of_secret``, a function of name and key."""
    if listen.ntcip is None:
        return listen
    names = ("community_file", "auth_file", "priv_file")
    files = {name: of_secret(getattr(listen.ntcip, name), f"listen.ntcip.{name}") for name in names}
    return dataclasses.replace(listen, ntcip=dataclasses.replace(listen.ntcip, **files))  # type: ignore[arg-type]


def listen_contradictions(listen: ListenConfig, approaches: Sequence[str]) -> list[str]:
    """Return a problem for each key that does not fit the others or the ``approaches`` of the site."""
    mapped = [(f"listen.relays[{i}].approach", relay.approach) for i, relay in enumerate(listen.relays)]
    pins = [relay.pin for relay in listen.relays]
    problems = [f"listen.relays[{i}].pin is {pin}: it is there twice" for i, pin in enumerate(pins) if pin in pins[:i]]
    ntcip = listen.ntcip
    if ntcip is not None:
        mapped += [(f"listen.ntcip.preempts[{i}].approach", each.approach) for i, each in enumerate(ntcip.preempts)]
        numbers = [each.number for each in ntcip.preempts]
        problems += [
            f"listen.ntcip.preempts[{i}].number is {number}: it is there twice"
            for i, number in enumerate(numbers)
            if number in numbers[:i]
        ]
        if not ntcip.preempts:
            problems.append("listen.ntcip.preempts is empty: say which preempt serves which approach")
        asking_s = ntcip.timeout_s * (1 + ntcip.retries)
        if ntcip.backup_s is not None and asking_s >= ntcip.backup_s:
            problems.append(
                f"listen.ntcip.backup_s is {ntcip.backup_s}: with this timeout_s and retries a question takes up to "
                f"{asking_s:g} s, and the controller must hear the next one within that time"
            )
        if ntcip.version == "v3" and (ntcip.user is None or ntcip.auth_file is None):
            problems.append("listen.ntcip.version is v3: user and auth_file must be set")
        if ntcip.version != "v3" and ntcip.community_file is None:
            problems.append(f"listen.ntcip.version is {ntcip.version}: community_file must be set")
    known = ", ".join(approaches)
    problems += [f"{key} is {name!r}: the site has {known}" for key, name in mapped if name not in approaches]
    return problems
