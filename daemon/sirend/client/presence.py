"""``availability`` as a controller reads it: whether a site is online, by whose word. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sirend.client.comebacks import Comebacks
from sirend.client.statement import Fault, StatementError
from sirend.publish.mqtt import stamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sirend.client.keyring import Keyring

MOST_RUNS = 64


def is_signed(site: str, kind: str, payload: bytes, properties: Mapping[str, str], keys: Keyring) -> bool:
    """Return whether the stamp in ``properties`` is signed for this message."""
    found = stamp.read_claim(properties)
    if found is None:
        return False
    said = stamp.claim(site, kind, payload.decode("utf-8", "replace"), *found)
    return keys.signed({**said, "kid": properties.get("kid"), "sig": properties.get("sig")})


@dataclass(slots=True)
class Presence:
    """Who said ``online`` and ``offline``, and what it is worth."""

    site: str
    keys: Keyring | None
    is_online: bool = False
    """By the last word that counts. With a key it decides on nothing: a fresh signed state is proof of life."""
    has_word: bool = False
    """Whether anything was said. A broker of several nodes may keep what was said on another one, and not repeat it."""
    _boot_id: str = ""
    _has_signed: bool = False
    _connections: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of each run, the last connection that was heard of and the last that went offline."""
    _comebacks: Comebacks = field(default_factory=Comebacks)

    def take(self, payload: bytes, properties: Mapping[str, str], now_s: float) -> str | None:
        """Take a message that came at the monotonic time ``now_s``; return the run whose calls are over by it, or None.

        Raises ``StatementError`` when it is neither online nor offline, or not worth anything.
        """
        self.has_word = True
        is_known = payload in (b"online", b"offline")
        if self.keys is None:
            found = stamp.read_claim(properties) if is_known else None
        elif is_signed(self.site, "availability", payload, properties, self.keys):
            found = stamp.read_claim(properties)
            self._has_signed = True
        elif self._has_signed:  # it has said it with a signature: whoever says it without one is somebody else
            raise StatementError(Fault.SIGNATURE, "its signature is missing or wrong")
        else:
            self.is_online = payload == b"online"
            found = None
        if not is_known and (self.keys is None or payload):
            self.is_online = False
            if payload:
                raise StatementError(Fault.MALFORMED, "it is neither online nor offline: taken as offline")
        if found is not None:
            return self._stamped(found[0], found[1], now_s, is_online=payload == b"online")
        if self.keys is None and is_known:
            self._unnamed(now_s, is_online=payload == b"online")
        return None

    def _unnamed(self, now_s: float, *, is_online: bool) -> None:
        """Take a word that names no run, as under MQTT 3.1.1."""
        if is_online:
            self._comebacks.online("", now_s)
            self.is_online = True
        elif self._comebacks.offline("", now_s):
            self.is_online = False

    def _stamped(self, boot_id: str, connection: int, now_s: float, *, is_online: bool) -> str | None:
        """Take the word of a run on one of its connections; what is older than what is known changes nothing."""
        latest, left = self._connections.get(boot_id, (-1, -1))
        if is_online and self.keys is None:
            left = min(left, connection - 1)  # a machine that was set back to a snapshot counts anew
            latest = min(latest, connection)  # and whoever would lie about it without a key needs no old number
        if is_online:
            if connection < latest or connection <= left:
                raise StatementError(Fault.REPLAYED, "it was said before")
            self._note(boot_id, connection, left)
            self._comebacks.online(boot_id, now_s)
            self._boot_id, self.is_online = boot_id, True
            return None
        if connection < latest or connection <= left:
            raise StatementError(Fault.REPLAYED, "it speaks of a connection that was replaced")
        self._note(boot_id, connection, connection)
        if not self._comebacks.offline(boot_id, now_s):
            return None
        if boot_id == self._boot_id:  # the word of an old run is not that of the one that is there now
            self.is_online = False
        return boot_id

    def _note(self, boot_id: str, latest: int, left: int) -> None:
        self._connections.pop(boot_id, None)
        self._connections[boot_id] = (latest, left)
        if len(self._connections) > MOST_RUNS:
            oldest = next(each for each in self._connections if each != self._boot_id)
            del self._connections[oldest]
