from __future__ import annotations

import hashlib
import hmac
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from sirend.call.clock import ReplayClock
from sirend.call.scribe import Scribe
from sirend.client import Keyring
from sirend.config.secrets import sign_key
from sirend.errors import ConfigError
from sirend.signing import LEAST_KEY_BYTES, is_authentic, key_id

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW, OTHER = b"0123456789abcdef-old", b"0123456789abcdef-new", b"0123456789abcdef-other"


def signed(key: bytes) -> dict[str, Any]:
    """Return some fields with a signature made by ``key`` without the help of sirend."""
    kid = hmac.new(key, b"sirend key id", hashlib.sha256).hexdigest()[:8]
    unsigned = {"seq": 7, "name": "é", "kid": kid}
    text = json.dumps(unsigned, sort_keys=True, separators=(",", ":"))
    return {**unsigned, "sig": hmac.new(key, text.encode(), hashlib.sha256).hexdigest()}


def test_two_keys_are_valid_while_the_old_one_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    for lines, valid in (
        (OLD + b"\n", {OLD}),
        (OLD + b"\r\n" + NEW + b"\r\n", {OLD, NEW}),
        (NEW + b"\n" + OLD, {OLD, NEW}),
        (NEW, {NEW}),
    ):
        file.write_bytes(lines)
        ring = Keyring.read(file)
        assert {key for key in (OLD, NEW, OTHER) if ring.signed(signed(key))} == valid


@pytest.mark.parametrize("length", [1, 15, 16, 64])
def test_a_key_is_long_enough_or_no_key_on_either_side(tmp_path: Path, length: int) -> None:
    key, file = b"k" * length, tmp_path / "key"
    file.write_bytes(key + b"\n")
    run = partial(Scribe, site="s", boot_id="b", mode="live", model="m", clock=ReplayClock(), valid_for_s=5.0)
    for use in (
        lambda: Keyring.of(key),
        lambda: Keyring.read(file),
        lambda: sign_key(file),
        partial(run, sign_key=key),
    ):
        if length >= LEAST_KEY_BYTES:
            assert use() is not None
            continue
        with pytest.raises((ValueError, ConfigError)) as told:
            use()
        assert f"the key has {length} bytes, 16 are the least" in str(told.value)


def test_a_signature_counts_only_under_the_name_of_its_key() -> None:
    ring = Keyring.of(OLD, NEW)
    assert not ring.signed({**signed(OLD), "kid": key_id(NEW)})
    assert not ring.signed({name: value for name, value in signed(OLD).items() if name != "kid"})
    assert not ring.signed({**signed(OLD), "kid": [1]})
    assert is_authentic(signed(OLD), OLD)


def test_a_number_without_a_json_form_is_nobodys() -> None:
    assert not Keyring.of(OLD).signed({**signed(OLD), "confidence": float("inf")})


def test_a_nest_that_is_too_deep_to_be_written_is_nobodys() -> None:
    """Where reading it just fits on the stack, writing it for the signature does not; `make fuzz` found it."""
    nest: list[object] = []
    for _ in range(20_000):
        nest = [nest]
    assert not Keyring.of(OLD).signed({**signed(OLD), "deep": nest})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the secret's first line is empty"),
        (b"\nsecond", "the secret's first line is empty"),
        (b"a\nb\nc\n", "has 3 keys; 2 are enough, the new and the old one"),
        (b"fifteen-bytes-k", "the key has 15 bytes, 16 are the least; make one with `sirend pki key FILE`"),
        (OLD + b"\nshort\n", "the key has 5 bytes, 16 are the least; make one with `sirend pki key FILE`"),
    ],
)
def test_a_file_of_keys_has_one_or_two(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "keys").write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        Keyring.read(tmp_path / "keys")
    assert raised.value.problems == (problem,)


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the secret cannot be read: No such file or directory"):
        Keyring.read(tmp_path / "keys")


def test_no_key_is_ever_printed() -> None:
    assert "0123456789" not in repr(Keyring.of(OLD))
