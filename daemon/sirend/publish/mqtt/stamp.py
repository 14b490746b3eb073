"""Who says a message that is no event: the run of the daemon and its connection, signed where there is a key.

``availability`` must stay ``online`` or ``offline``, so it travels beside the payload, as user properties of MQTT 5:
``boot_id``, ``connection`` and, with a key, ``kid`` and ``sig``. An ``offline`` can thus speak for its own run and its
own connection only. The signature is made over canonical JSON of ``claim``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sirend.signing import key_id, signature

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = "sirend/stamp/1"


def claim(site: str, kind: str, payload: str, boot_id: str, connection: int) -> dict[str, Any]:
    """Return what is signed; ``kind`` is the topic's last level, ``connection`` counts the attempts of the run."""
    return {
        "schema": SCHEMA,
        "site": site,
        "kind": kind,
        "payload": payload,
        "boot_id": boot_id,
        "connection": connection,
    }


@dataclass(frozen=True, slots=True)
class Stamp:
    """Makes the user properties of the messages of one run."""

    site: str
    boot_id: str
    key: bytes | None = field(default=None, repr=False)

    def properties(self, kind: str, payload: bytes, connection: int) -> tuple[tuple[str, str], ...]:
        """Return names and values for a message of ``kind`` on the given connection."""
        said = (("boot_id", self.boot_id), ("connection", str(connection)))
        if self.key is None:
            return said
        kid = key_id(self.key)
        about = {**claim(self.site, kind, payload.decode(), self.boot_id, connection), "kid": kid}
        return (*said, ("kid", kid), ("sig", signature(about, self.key)))


def read_claim(properties: Mapping[str, str]) -> tuple[str, int] | None:
    """Return run and connection that a message claims, or None when it claims nothing readable."""
    boot_id, connection = properties.get("boot_id", ""), properties.get("connection", "")
    if not boot_id or not connection.isascii() or not connection.isdecimal() or len(connection) > 9:  # noqa: PLR2004
        return None
    return boot_id, int(connection)
