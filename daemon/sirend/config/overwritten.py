"""Files that a configuration has the daemon write, and that are somebody else's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from sirend.config.settings import Config

KEPT = ("", ".1", ".day")
"""Behind the journal's name: the journal, the one before it, and the page's day."""


def overwritten(config: Config, path: Path) -> list[str]:
    """Return a problem where the journal is written over a file that ``config``, read from ``path``, is read from.

    A journal is appended to, and in the end renamed: a key would be gone, and the configuration no YAML any more.
    """
    journal, tls, served, ntcip = config.journal.path, config.mqtt.tls, config.web.tls, config.listen.ntcip
    if journal is None:
        return []
    read = {
        "the configuration itself": path,
        "mqtt.sign_key_file": config.mqtt.sign_key_file,
        "mqtt.password_file": config.mqtt.password_file,
        "web.token_file": config.web.token_file,
        "audio.credentials_file": config.audio.credentials_file,
        "audio.authority_file": config.audio.authority_file,
    }
    for part, files in (("mqtt.tls", tls), ("web.tls", served), ("listen.ntcip", ntcip)):
        names = [] if files is None else [name for name in type(files).__slots__ if name.endswith("_file")]
        read |= {f"{part}.{name}": getattr(files, name) for name in names}
    written = {os.path.realpath(f"{journal}{ending}") for ending in KEPT}
    return [
        f"journal.path is {str(journal)!r}: it would be written over {what}"
        for what, file in read.items()
        if file is not None and os.path.realpath(file) in written
    ]
