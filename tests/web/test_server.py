from __future__ import annotations

import http.client
import json
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import pytest
from tests.conftest import PATIENCE_S, free_port
from tests.observe.test_snapshot import events, feed, setup
from tests.selftest.test_runner import Bench, serve

from sirend.config.settings import ServerTlsConfig, WebConfig
from sirend.errors import ConfigError
from sirend.evidence.clip import name_of
from sirend.observe.snapshot import View
from sirend.web.auth import is_loopback_host, is_of_this_page
from sirend.web.feed import QUEUED, Archive, Viewer
from sirend.web.server import MOST_VIEWERS, SCRIPTS

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Answer:
    """What the server said to one request."""

    status: int
    policy: str
    text: str


def ask(port: int, path: str = "/", method: str = "GET", **headers: str) -> Answer:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as connection:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return Answer(
            answer.status, answer.getheader("Content-Security-Policy") or "", answer.read().decode(errors="replace")
        )


class Reader:
    """Reads a stream message by message."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)

    def __enter__(self) -> Self:
        self._connection.request("GET", "/api/stream")
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200
        return self

    def __exit__(self, *_: object) -> None:
        self._answer.close()
        self._connection.close()

    def until(self, kind: str) -> Any:  # noqa: ANN401
        while True:
            line = self._answer.readline().decode()
            assert line, "the stream ended"
            if line == f"event: {kind}\n":
                return json.loads(self._answer.readline().decode().removeprefix("data: "))


def test_a_viewer_gets_what_stands_and_then_what_happens() -> None:
    view, port = View(setup("north", "south")), free_port()
    feed(view, 3)
    with serve(WebConfig(enabled=True, port=port), view) as web, Reader(port) as reader:
        assert web.problem is None
        assert reader.until("about")["site"] == "main-5th"
        assert reader.until("health") == {}
        assert reader.until("events") == []
        moments = reader.until("moments") or reader.until("moments")
        assert [moment["seq"] for moment in moments] == [1, 2, 3]
        feed(view, 2, first=4)
        seen = reader.until("moments")
        while seen[-1]["seq"] < 5:
            seen += reader.until("moments")
        assert [moment["seq"] for moment in seen] == [4, 5]
        view.health = {"state": "ok"}
        assert reader.until("health") == {"state": "ok"}


def test_nobody_is_waited_for_at_the_end() -> None:
    view, port = View(setup()), free_port()
    with ExitStack() as open_streams:
        with serve(WebConfig(enabled=True, port=port), view):
            open_streams.enter_context(Reader(port))
            began = time.monotonic()
        assert time.monotonic() - began < 5.0
    with pytest.raises(OSError, match="refused"):
        ask(port)


def test_the_page_comes_from_the_package_and_forbids_strangers() -> None:
    port = free_port()
    with serve(WebConfig(enabled=True, port=port), View(setup())):
        for path in ("/", "/page.css", "/uplot.css", *(f"/{name}.js" for name in SCRIPTS)):
            answer = ask(port, path)
            assert answer.status == 200
            assert "default-src 'self'" in answer.policy
            assert "http" not in answer.text.replace("/*! https://github.com/leeoniya/uPlot (v1.6.32) */", "")
        assert ask(port, Host=f"evil.example:{port}").status == 403
        assert ask(port, "/api/stream", Host="192.168.0.7").status == 403
        assert ask(port, "/../gate.py").status == 404


def test_a_call_has_its_picture_once_it_is_drawn(tmp_path: Path) -> None:
    view, port = View(setup()), free_port()
    (event,) = events(1)
    view.add_event(event)
    name = f"{name_of(event)}.png"
    with serve(WebConfig(enabled=True, port=port), view, Archive(tmp_path)) as web, Reader(port) as reader:
        assert web.problem is None
        assert reader.until("calls")[0]["kept"] == []
        assert ask(port, f"/clips/{name}").status == 404
        (tmp_path / name).write_bytes(b"\x89PNG")
        assert reader.until("calls")[0]["kept"] == ["png"]
        assert ask(port, f"/clips/{name}").status == 200
        (tmp_path / "secret.txt").write_text("x")
        assert ask(port, "/clips/secret.txt").status == 404
        assert ask(port, "/clips/..%2fsecret.txt").status == 404


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("localhost:8080", True),
        ("127.0.0.1", True),
        ("127.8.9.1:80", True),
        ("[::1]:8080", True),
        ("localhost.evil.example", False),
        ("10.0.0.1", False),
        ("", False),
    ],
)
def test_only_this_machines_own_names_count(host: str, is_own: bool) -> None:
    assert is_loopback_host(host) is is_own


def test_more_pages_than_the_daemon_bears_are_refused() -> None:
    port = free_port()
    with serve(WebConfig(enabled=True, port=port), View(setup())), ExitStack() as readers:
        for _ in range(MOST_VIEWERS):
            readers.enter_context(Reader(port)).until("about")
        assert ask(port, "/api/stream").status == 503


def test_a_slow_viewer_loses_the_oldest_and_it_is_counted() -> None:
    viewer = Viewer()
    assert sum(viewer.offer(str(number)) for number in range(QUEUED + 5)) == 5
    assert viewer.queue.get_nowait() == "5"


def test_a_port_that_is_taken_is_a_problem_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    config = WebConfig(enabled=True, port=free_port())
    with serve(config, View(setup())), serve(config, View(setup())) as second:
        assert second.problem is not None
        assert second.problem.startswith(f"web: 127.0.0.1:{config.port} cannot be listened on: ")
    assert caplog.messages == [f"{second.problem}; detection goes on without"]


def test_what_is_missing_is_told_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "page.pem"
    broken.write_text("no certificate")
    with pytest.raises(ConfigError, match=r"web.tls: certificate and key cannot be used"):
        serve(WebConfig(enabled=True, tls=ServerTlsConfig(broken, broken)), View(setup()))
    with pytest.raises(ConfigError, match=r"the secret cannot be read"):
        serve(WebConfig(enabled=True, token_file=tmp_path / "none"), View(setup()))
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ConfigError, match=r"sudo make install EXTRAS=web, or make venv EXTRAS=web"):
        serve(WebConfig(enabled=True), View(setup()))


def test_a_self_test_is_begun_by_the_page_alone_and_told_to_all_who_look() -> None:
    port, bench, view = free_port(), Bench(), View(setup())
    path = "/api/selftest"
    with serve(WebConfig(enabled=True, port=port), view, bench=bench) as web, Reader(port) as reader:
        assert web.problem is None
        assert reader.until("selftest") == {"running": False, "result": None}
        assert ask(port, path).status == 405
        assert ask(port, path, "POST", Host=f"evil.example:{port}").status == 403
        assert ask(port, path, "POST", Origin="https://evil.example").status == 403
        assert ask(port, path, "POST", Origin="null").status == 403
        assert ask(port, path, "POST", Sec_Fetch_Site="cross-site").status == 403
        assert bench.asked == []
        assert ask(port, path, "POST", Origin=f"http://127.0.0.1:{port}", Sec_Fetch_Site="same-origin").status == 202
        assert reader.until("selftest") == {"running": True, "result": None}
        again = ask(port, path, "POST")
        assert (again.status, again.text) == (429, "A self-test is running already.")
        bench.give({"passed": True, "problem": None})
        assert reader.until("selftest") == {"running": False, "result": {"passed": True, "problem": None}}
        assert view.selftest == {"passed": True, "problem": None}
    assert len(bench.asked) == 1


@pytest.mark.parametrize(
    ("headers", "is_own"),
    [
        ({}, True),
        ({"Origin": "http://localhost:8080"}, True),
        ({"Origin": "https://localhost:8080", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "http://localhost:8081"}, False),
        ({"Origin": "http://localhost:8080", "Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
    ],
)
def test_what_another_page_sends_is_told_apart(headers: dict[str, str], is_own: bool) -> None:
    assert is_of_this_page(headers, "localhost:8080") is is_own
