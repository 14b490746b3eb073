"""Passwords and keys, which stand in the first lines of files, never in the configuration itself."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from sirend.errors import ConfigError
from sirend.host.files import read_regular
from sirend.signing import key_problem

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 1_000_000
"""More than any file of keys has."""


def secret_lines(path: Path) -> list[bytes]:
    """Return the lines of the file ``path``; raise ``ConfigError`` when it cannot be read, or its first line is empty.

    The mark that some editors put before UTF-8 is no part of a secret; text of 16 bits is refused.
    """
    try:
        content = read_regular(path, MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(str(path), [f"the secret cannot be read: {error.strerror}"]) from None
    if len(content) > MOST_BYTES:
        raise ConfigError(str(path), [f"the secret cannot be used: its file has more than {MOST_BYTES} bytes"])
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and b"\0" in content:
        raise ConfigError(str(path), ["the secret is text of 16 bits a letter; save it as plain text, or as UTF-8"])
    lines = [line.rstrip(b"\r") for line in content.removeprefix(codecs.BOM_UTF8).split(b"\n")]
    if not lines[0]:
        raise ConfigError(str(path), ["the secret's first line is empty"])
    return lines


def secret(path: Path) -> bytes:
    """Return the first line of the file ``path``, for passwords and keys; raise ``ConfigError`` when there is none."""
    return secret_lines(path)[0]


def sign_key(path: Path) -> bytes:
    """Return the key in the first line of the file ``path``; raise ``ConfigError`` when it lacks or is too short."""
    key = secret(path)
    if (problem := key_problem(key)) is not None:
        raise ConfigError(str(path), [problem])
    return key
