"""A name in DNS that a test makes up."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


def resolve(
    monkeypatch: pytest.MonkeyPatch, name: str, *addresses: str, before: Callable[[], object] = lambda: None
) -> None:
    """Let ``name`` stand for ``addresses``, in this order; whoever asks for it calls ``before``."""
    known = socket.getaddrinfo

    def lookup(host: str, *words: Any, **options: Any) -> Any:  # noqa: ANN401  as it is
        if host != name:
            return known(host, *words, **options)
        before()
        return [each for address in addresses for each in known(address, *words, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
