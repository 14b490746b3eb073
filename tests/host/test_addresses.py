from __future__ import annotations

import gc
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from sirend.host.addresses import LOOKUP_S, Addresses

if TYPE_CHECKING:
    from collections.abc import Iterator


class NameServer:
    """Answers as it is told to."""

    def __init__(self) -> None:
        self.places: list[str] = []
        self.problem: OSError | None = None
        self.asked = 0
        self.answers = threading.Event()
        self.answers.set()

    def __call__(self, _host: str, port: int, **_: object) -> list[object]:
        self.asked += 1
        self.answers.wait(60.0)
        if self.problem is not None:
            raise self.problem
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (place, port)) for place in self.places]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    server = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server)
    yield server
    server.answers.set()


def places(addresses: Addresses) -> list[object]:
    return [place[0] for _, place in addresses.find()]


def test_a_name_is_looked_up_anew_each_time(names: NameServer) -> None:
    addresses = Addresses("broker.example", 1883)
    names.places = ["192.0.2.1"]
    assert places(addresses) == ["192.0.2.1"]
    names.places = ["192.0.2.2"]
    assert places(addresses) == ["192.0.2.2"]


@pytest.mark.parametrize("is_silent", [True, False])
def test_what_was_known_is_taken_where_nobody_can_say_now(
    names: NameServer, is_silent: bool, caplog: pytest.LogCaptureFixture
) -> None:
    addresses = Addresses("broker.example", 1883)
    names.places = ["192.0.2.1"]
    assert places(addresses) == ["192.0.2.1"]
    if is_silent:
        names.answers.clear()
    else:
        names.problem = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    assert places(addresses) == ["192.0.2.1"]
    why = "the name server does not answer" if is_silent else "Temporary failure in name resolution"
    assert f"broker.example: {why}; taking the address that it had before" in caplog.text
    began = time.monotonic()
    for _ in range(100):
        assert places(addresses) == ["192.0.2.1"]
    assert time.monotonic() - began < LOOKUP_S
    assert len(caplog.records) == 1
    assert not is_silent or names.asked == 2  # one thread waits, not a hundred


def test_a_name_that_was_never_known_is_an_error_within_seconds_and_a_late_answer_is_of_use(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sirend.host.addresses.LOOKUP_S", 0.1)
    addresses = Addresses("broker.example", 1883)
    names.places = ["192.0.2.1"]
    names.answers.clear()
    with pytest.raises(TimeoutError, match="the name server does not answer"):
        addresses.find()
    names.answers.set()
    time.sleep(0.2)
    names.answers.clear()
    assert places(addresses) == ["192.0.2.1"]


def test_the_next_address_is_tried_and_the_one_that_answered_is_first_from_then_on(names: NameServer) -> None:
    with socket.create_server(("127.0.0.3", 0)) as server:
        addresses = Addresses("broker.example", server.getsockname()[1])
        names.places = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
        for _ in range(2):
            with addresses.connect() as sock:
                assert sock.getpeername()[0] == "127.0.0.3"
            assert places(addresses)[0] == "127.0.0.3"
    with pytest.raises(ConnectionRefusedError):
        addresses.connect()


def test_those_that_answered_and_were_no_good_come_last(names: NameServer) -> None:
    addresses = Addresses("broker.example", 1883)
    names.places = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    tried = []
    for _ in range(4):
        tried.append(places(addresses)[0])
        addresses.doubt()
    assert tried == [*names.places, "192.0.2.1"]
    names.places.append("192.0.2.4")
    assert places(addresses) == ["192.0.2.2", "192.0.2.4", "192.0.2.3", "192.0.2.1"]


def test_of_hundreds_of_addresses_eight_are_tried_at_a_time_and_each_has_its_turn(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = Addresses("broker.example", 1883)
    names.places = [f"192.0.2.{number}" for number in range(1, 101)]
    tried: list[str] = []

    def refuse(_sock: socket.socket, address: tuple[str, int]) -> None:
        tried.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr("sirend.host.addresses.socket.socket.connect", refuse)
    for _ in range(100):
        before = len(tried)
        with pytest.raises(ConnectionRefusedError):
            addresses.connect()
        assert len(tried) - before == 8
        addresses.doubt()
    assert set(tried) == set(names.places)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_real_name_and_an_address_are_found(host: str) -> None:
    assert (socket.AF_INET, ("127.0.0.1", 1883)) in Addresses(host, 1883).find()


@pytest.mark.parametrize("host", ["nobody.invalid", "a" * 64 + ".example", "..", "%"])
def test_what_is_no_name_is_an_error(host: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011  in the words of the system
        Addresses(host, 1883).find()


def test_no_thread_is_started_for_a_question_after_the_first_and_none_is_left_behind(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no memory is left for it, `Thread.start` waits for ever for a thread that never comes about."""
    before = threading.enumerate()
    addresses = Addresses("broker.example", 1883)
    names.places = ["192.0.2.1"]
    assert places(addresses) == ["192.0.2.1"]
    [thread] = set(threading.enumerate()) - set(before)

    def hang(_thread: threading.Thread) -> None:
        pytest.fail("a thread is started")

    monkeypatch.setattr(threading.Thread, "start", hang)
    names.places = ["192.0.2.2"]
    assert places(addresses) == ["192.0.2.2"]
    del addresses
    gc.collect()
    thread.join(60.0)
    assert not thread.is_alive()


def test_a_question_without_memory_is_an_error_and_the_next_is_answered(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = Addresses("broker.example", 1883)

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", fail)
        with pytest.raises(OSError, match="no memory is left to look it up"):
            addresses.find()
    names.places = ["192.0.2.2"]
    assert places(addresses) == ["192.0.2.2"]
