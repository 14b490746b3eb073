"""Signatures of messages: HMAC-SHA256 over canonical JSON, and the names of keys. It depends on nothing."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

LEAST_KEY_BYTES = 16
"""Whoever sees signed messages can try keys on them in peace; RFC 2104 discourages short ones."""
_KEY_ID = b"sirend key id"


def canonical(payload: dict[str, Any]) -> str:
    """Return JSON that has one form only: keys sorted, no white space, ASCII. Signatures are made over it."""
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), allow_nan=False)


def key_problem(key: bytes) -> str | None:
    """Return why ``key`` must not sign anything, or None; nothing of it is told but its length."""
    if len(key) >= LEAST_KEY_BYTES:
        return None
    return f"the key has {len(key)} bytes, {LEAST_KEY_BYTES} are the least; make one with `sirend pki key FILE`"


def key_id(key: bytes) -> str:
    """Return the name by which events speak of ``key``: 8 hex digits made from it, which do not give it away."""
    return hmac.new(key, _KEY_ID, hashlib.sha256).hexdigest()[:8]


def is_authentic(payload: dict[str, Any], key: bytes) -> bool:
    """Return whether ``payload``, a decoded event, carries the signature that ``key`` gives it."""
    unsigned = {name: value for name, value in payload.items() if name != "sig"}
    return hmac.compare_digest(str(payload.get("sig", "")).encode(), signature(unsigned, key).encode())


def signature(unsigned: dict[str, Any], key: bytes) -> str:
    """Return the HMAC-SHA256 of ``unsigned``, a message without its ``sig``, by ``key``, in hex."""
    return hmac.new(key, canonical(unsigned).encode(), hashlib.sha256).hexdigest()
