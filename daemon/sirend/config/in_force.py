"""The configuration that was in force, over restarts, so that a file that lost a part of it is not started with.

A running daemon knows what it lost at a reload. After a power cut only the disk does: the text that was taken up last
lies in the service's state folder, and what is started is held against it.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from sirend.config import yamlfile
from sirend.config.load import examine
from sirend.config.reload import changes, weaker
from sirend.config.whole import stated
from sirend.errors import ConfigError
from sirend.host.files import read_regular
from sirend.host.outfile import replace_file

if TYPE_CHECKING:
    from sirend.config.settings import Config

_log = logging.getLogger(__name__)


def remembered_file(path: Path) -> Path | None:
    """Return where the text of the configuration ``path`` is remembered, None where there is no folder for it."""
    absolute = str(path.absolute())
    name = f"in-force-{path.stem}-{hashlib.sha256(os.fsencode(absolute)).hexdigest()[:8]}.yaml"
    if given := os.environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(given) / name
    try:
        return Path(os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()) / "sirend" / name
    except RuntimeError:  # a user without a home
        return None


class InForce:
    """Loads a configuration, and remembers the one that was taken up."""

    def __init__(self, path: Path) -> None:
        """Load the file ``path``; nothing is read yet."""
        self._path = path
        self._place = remembered_file(path)
        self._texts: deque[tuple[Config, str]] = deque(maxlen=4)

    def load(self) -> Config:
        """Return the configuration; raise ``ConfigError`` when it is wrong, or has lost a part of what was in force."""
        text = yamlfile.read_text(self._path)
        config, problems = examine(self._path, text)
        if not problems:
            problems = self._lost(config, text)
        if problems:
            raise ConfigError(str(self._path), problems)
        self._texts.append((config, text))
        return config

    def keep(self, config: Config) -> None:
        """Remember ``config``, which was loaded here and is in force now. It waits for the disk."""
        text = next((text for known, text in self._texts if known is config), None)
        if text is None or self._place is None or text == self._remembered():
            return
        try:
            self._place.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._place, text.encode(), mode=0o640, is_synced=True)
        except OSError as error:
            _log.error(
                "%s: %s; a file that is cut off would not be noticed at the next start",
                self._place,
                error.strerror or error,
            )

    def _remembered(self) -> str | None:
        """Return the text that was in force; None where none is known, or the disk does not give it."""
        try:
            return None if self._place is None else read_regular(self._place).decode()
        except (OSError, UnicodeDecodeError):
            return None

    def _lost(self, config: Config, text: str) -> list[str]:
        """Return what ``config``, written as ``text``, lacks of the configuration that was in force."""
        remembered = self._remembered()
        if remembered is None or remembered == text:
            return []
        try:
            old, _ = examine(self._path, remembered)
        except ConfigError as error:  # written by another version
            _log.warning("%s: what was in force is not known: %s", self._place, error)
            return []
        known = stated(yamlfile.parse(text, self._path))
        if lost := [key for key in weaker(old, config) if key not in known]:
            problem = (
                f"it takes away {', '.join(lost)}, which was in force at the last run; a file that was cut off looks "
                f"just like that. If it is meant, write it out, such as `{lost[0]}: null` or the value, or remove "
            )
        elif remembered.startswith(text) and any(changes(old, config)):
            problem = (
                "it is the beginning of the file that was in force at the last run, so it was cut off. If it is meant, "
                "add a line, such as `# shortened`, or remove "
            )
        else:
            return []
        return [f"{problem}{self._place}"]
