"""How a running daemon gets a new configuration without waiting for the disk that it lies on."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Self

from sirend.config.secrets_in_use import SecretsInForce
from sirend.errors import ConfigError, SirendError
from sirend.host.background_thread import Background

if TYPE_CHECKING:
    from collections.abc import Callable

    from sirend.config.settings import Config

_log = logging.getLogger(__name__)


class Rereading:
    """How a running daemon gets a new configuration, inside its ``with`` block: a thread waits for the disk."""

    def __init__(self, read: Callable[[], Config], keep: Callable[[Config], None] | None = None) -> None:
        """Read by ``read``, which raises ``ConfigError`` when the file is wrong; ``keep`` gets what is in force."""
        self._read = read
        self._keep = keep
        self._is_asked = False
        self._secrets = SecretsInForce()
        self._came: deque[Config | ConfigError] = deque(maxlen=1)
        self._in_force: deque[Config] = deque(maxlen=1)
        self._background: Background[None] = Background("sirend-reload", self._work, most=1)

    def ask(self) -> None:
        """Have the file read, from any thread; being asked again before it was taken up is the same request."""
        self._is_asked = True
        self._background.put(None)

    def take(self) -> Config | ConfigError | None:
        """Return what was read since the last call, or what is wrong with it; None when nothing was."""
        return self._came.popleft() if self._came else None

    def taken_up(self, config: Config) -> None:
        """Have ``config``, as it was read, kept as the one that is in force; return at once."""
        self._in_force.append(config)
        self._background.put(None)  # where one waits already, it will find this

    def __enter__(self) -> Self:
        """Be ready to read."""
        self._background.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop reading."""
        self._background.__exit__()

    def _work(self, _: None) -> None:
        if self._in_force:
            config = self._in_force.popleft()
            self._secrets.begin(config)
            if self._keep is not None:
                self._keep(config)
        if self._is_asked:
            self._is_asked = False
            self._read_again()

    def _read_again(self) -> None:
        try:
            config = self._read()
            if changed := self._secrets.changed(config):
                _log.warning("what is in the file needs a restart to take effect: %s", ", ".join(changed))
            self._came.append(config)
        except ConfigError as error:
            self._came.append(error)
        except SirendError as error:
            self._came.append(ConfigError("the configuration", [str(error)]))
