"""The keys that a consumer trusts: one, or two while the old one is being replaced."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from sirend.config.secrets import secret_lines
from sirend.errors import ConfigError
from sirend.signing import is_authentic, key_id, key_problem

if TYPE_CHECKING:
    from pathlib import Path

MOST_KEYS = 2
"""More would mean that nobody knows which keys are out there."""


@dataclass(frozen=True, slots=True)
class Keyring:
    """HMAC-SHA256 keys by the identifier that events name them by."""

    _keys: dict[str, bytes] = field(repr=False)

    @classmethod
    def of(cls, *keys: bytes) -> Self:
        """Return a ring of ``keys``; raise ``ValueError`` when one is too short to be trusted."""
        for key in keys:
            if (problem := key_problem(key)) is not None:
                raise ValueError(problem)
        return cls({key_id(key): key for key in keys})

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the keys in the lines of the file ``path``, the first of which a daemon signs with.

        To replace a key: put the new one into the second line at the consumers, then into the first line at the daemon
        and restart it, then take the old one away. Raises ``ConfigError`` when there is no key, too many, or a short
        one.
        """
        found = [line for line in secret_lines(path) if line]
        if len(found) > MOST_KEYS:
            raise ConfigError(str(path), [f"has {len(found)} keys; {MOST_KEYS} are enough, the new and the old one"])
        try:
            return cls.of(*found)
        except ValueError as error:
            raise ConfigError(str(path), [str(error)]) from None

    def vouches_for(self, raw: bytes) -> bool:
        """Return whether ``raw``, a message in canonical form, is signed; cheap, for a flood is sorted out by it.

        False says nothing of a message that somebody wrote in another form.
        """
        head, _, rest = raw.partition(b',"sig":"')
        _, _, named = raw.partition(b'"kid":"')
        key = self._keys.get(named[:8].decode("ascii", "replace"))
        if key is None or rest[64:65] != b'"':
            return False
        made = hmac.digest(key, head + rest[65:], "sha256").hex().encode()
        return hmac.compare_digest(made, rest[:64])

    def signed(self, payload: dict[str, Any]) -> bool:
        """Return whether one of the keys signed ``payload``, the one it names."""
        key = self._keys.get(str(payload.get("kid")))
        try:
            return key is not None and is_authentic(payload, key)
        except (ValueError, RecursionError):  # a number without a form in JSON, or too deep a nest: nobody signs that
            return False
