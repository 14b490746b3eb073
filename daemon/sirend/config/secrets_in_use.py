"""The secrets that a configuration names: whether each can be used, and whether it is still the one in force."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sirend.config.secrets import secret, sign_key
from sirend.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from sirend.config.settings import Config

SIGN_KEY = "mqtt.sign_key_file"
READ_ONCE = (SIGN_KEY, "web.token_file")
"""Those of which a running daemon keeps what was in the file when it began."""


@dataclass(frozen=True, slots=True)
class Secret:
    """The file of a secret, as a key of the configuration names it."""

    key: str
    file: Path | None

    def problem(self) -> str | None:
        """Return why it cannot be used; None when it can, or is not named."""
        try:
            self.value()
        except ConfigError as error:
            return str(error)
        return None

    def value(self) -> bytes:
        """Return the secret, empty where none is named; raise ``ConfigError`` when it cannot be used."""
        if self.file is None:
            return b""
        return sign_key(self.file) if self.key == SIGN_KEY else secret(self.file)


def secrets_of(config: Config) -> list[Secret]:
    """Return those that the daemon reads."""
    return [
        Secret("mqtt.password_file", config.mqtt.password_file),
        Secret("web.token_file", config.web.token_file),
        Secret("audio.credentials_file", config.audio.credentials_file),
        Secret(SIGN_KEY, config.mqtt.sign_key_file),
    ]


class SecretsInForce:
    """Tells which secrets became others since a daemon began with them. It keeps none, only their digests."""

    def __init__(self) -> None:
        """Begin without any."""
        self._digests: dict[str, bytes] = {}

    def begin(self, config: Config) -> None:
        """Remember those of ``config``, unless there are some already."""
        if not self._digests:
            self._digests = {each.key: _digest(each) for each in secrets_of(config) if each.problem() is None}

    def changed(self, config: Config) -> list[str]:
        """Return the keys whose secret is another now and takes a restart.

        Raises ``ConfigError`` when one of ``config`` cannot be used: with it the daemon would not start again.
        """
        secrets = secrets_of(config)
        if problems := [problem for each in secrets if (problem := each.problem()) is not None]:
            raise ConfigError("the new configuration", problems)
        return [each.key for each in secrets if each.key in READ_ONCE and self._is_other(each)]

    def _is_other(self, secret_now: Secret) -> bool:
        before = self._digests.get(secret_now.key)
        return before is not None and before != _digest(secret_now)


def _digest(each: Secret) -> bytes:
    return hashlib.sha256(each.value()).digest()
