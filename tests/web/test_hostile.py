"""Requests that no browser sends, before any login."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.conftest import PATIENCE_S, free_port
from tests.observe.test_snapshot import setup
from tests.selftest.test_runner import serve
from tests.web.test_server import ask

from sirend.config.settings import WebConfig
from sirend.observe.snapshot import View

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = b"Host: localhost\r\n"
TEST = b"POST /api/selftest HTTP/1.1\r\nContent-Length: 0\r\n" + HOST
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


def post_login(head: bytes, body: bytes) -> bytes:
    return b"POST /login HTTP/1.1\r\n" + HOST + head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def get(*head: bytes, path: bytes = b"/api/stream") -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\n" + b"".join(head) + b"Connection: close\r\n\r\n"


REQUESTS = {
    "host, open bracket": get(b"Host: [\r\n"),
    "host, no address in brackets": get(b"Host: [::1::]:x\r\n"),
    "host, bytes": get(b"Host: \xff\xfe\r\n"),
    "host, none": b"GET / HTTP/1.0\r\n\r\n",
    "host, two": get(HOST, b"Host: evil.example\r\n"),
    "origin, open bracket": b"POST /api/selftest HTTP/1.1\r\n"
    + HOST
    + b"Origin: http://[\r\nContent-Length: 0\r\n\r\n",
    "origin, bytes": b"POST /api/selftest HTTP/1.1\r\n" + HOST + b"Origin: \xff\r\nContent-Length: 0\r\n\r\n",
    "bearer, bytes": get(HOST, b"Authorization: Bearer \xff\xfe\r\n"),
    "bearer, letters beyond ASCII": get(HOST, "Authorization: Bearer ключ\r\n".encode()),
    "bearer, nothing": get(HOST, b"Authorization: Bearer\r\n"),
    "bearer, long": get(HOST, b"Authorization: Bearer " + b"x" * 7_000 + b"\r\n"),
    "cookie, bytes": get(HOST, b"Cookie: sirend=\xff\xfe\r\n"),
    "cookie, letters beyond ASCII": get(HOST, "Cookie: sirend=ключ\r\n".encode()),
    "cookie, no name": get(HOST, b"Cookie: =;=;;; =x\r\n"),
    "cookie, quotes": get(HOST, b'Cookie: sirend="\\400\\777\r\n'),
    "cookie, forbidden": get(HOST, b"Cookie: si(rend)=1; sirend=\x7f, expires=[\r\n"),
    "form, charset unknown": post_login(FORM.replace(b"\r\n", b"; charset=nonsense\r\n"), b"token=a"),
    "form, charset no text": post_login(FORM.replace(b"\r\n", b"; charset=zlib\r\n"), b"token=a"),
    "form, bytes": post_login(FORM, b"token=\xff\xfe"),
    "form, escaped bytes": post_login(FORM, b"token=%ff%fe%"),
    "form, many fields": post_login(FORM, b"a=1&" * 500),
    "form, too large": post_login(FORM, b"token=" + b"a" * 10_000),
    "form, compressed wrongly": post_login(FORM + b"Content-Encoding: gzip\r\n", b"token=a"),
    "form, compression unknown": post_login(FORM + b"Content-Encoding: nonsense\r\n", b"token=a"),
    "multipart, no boundary": post_login(b"Content-Type: multipart/form-data\r\n", b"--a\r\n"),
    "multipart, wrong boundary": post_login(b"Content-Type: multipart/form-data; boundary=b\r\n", b"--a\r\n\r\n"),
    "multipart, part cut off": post_login(b"Content-Type: multipart/form-data; boundary=b\r\n", b"--b\r\nX"),
    "multipart, charset": post_login(
        b"Content-Type: multipart/form-data; boundary=b\r\n",
        b'--b\r\nContent-Disposition: form-data; name="token"\r\n'
        b"Content-Type: text/plain; charset=x\r\n\r\na\r\n--b--\r\n",
    ),
    "content type, bytes": post_login(b"Content-Type: \xff/\xfe\r\n", b"token=a"),
    "hours, thousands of digits": get(HOST, path=b"/events.csv?hours=" + b"9" * 5_000),
    "hours, begin harmless": get(HOST, path=b"/events.json?hours=000001" + b"9" * 12),
    "hours, digits of others": get(HOST, path="/events.csv?hours=\u0663".encode()),
    "path, escaped nonsense": get(HOST, path=b"/%ff%00/..%2f"),
    "path, an address": get(HOST, path=b"http://["),
    "method, another": b"BREW / HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n",
    "length, negative": b"POST /login HTTP/1.1\r\n" + HOST + FORM + b"Content-Length: -1\r\n\r\ntoken=a",
    "length, no number": b"POST /login HTTP/1.1\r\n" + HOST + FORM + b"Content-Length: x\r\n\r\ntoken=a",
    "length, two": b"POST /login HTTP/1.1\r\n"
    + HOST
    + FORM
    + b"Content-Length: 3\r\nContent-Length: 9\r\n\r\ntoken=abc",
    "length, 400 digits": b"POST /login HTTP/1.1\r\n" + HOST + FORM + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n",
    "length beside chunks": b"POST /login HTTP/1.1\r\n"
    + HOST
    + FORM
    + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks, no number": b"POST /login HTTP/1.1\r\n" + HOST + FORM + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n",
    "chunks, huge": b"POST /login HTTP/1.1\r\n"
    + HOST
    + FORM
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"f" * 400
    + b"\r\n",
    "upgrade": get(HOST, b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n"),
    "upgrade, HTTP/2": get(HOST, b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "expectation": post_login(FORM + b"Expect: 100-continue\r\n", b"token=a"),
    "expectation, unknown": post_login(FORM + b"Expect: nonsense\r\n", b"token=a"),
    "range, of bytes": get(HOST, b"Range: bytes=9-1,-,5-\r\n", path=b"/"),
    "range, of nonsense": get(HOST, b"Range: \xff=\r\nIf-Range: [\r\n", path=b"/static/page.js"),
    "since, no date": get(HOST, b"If-Modified-Since: nonsense\r\nIf-None-Match: W/\xff\r\n", path=b"/"),
    "languages": get(HOST, b"Accept: ;q=x,,\r\nAccept-Language: ;\xff\r\nAccept-Encoding: ;\r\n", path=b"/"),
    "fields, hundreds": get(HOST, b"X: y\r\n" * 900, path=b"/"),
    "a field without a name": get(HOST, b": y\r\n", path=b"/"),
    "a field that is folded": get(HOST, b"X: y\r\n z\r\n", path=b"/"),
    "a field with NUL": get(HOST, b"X: \0\r\n", path=b"/"),
    "query, escaped nonsense": get(HOST, path=b"/events.json?hours=%ff%00&hours=1&=&&%"),
    "path, surrogates": get(HOST, path=b"/clips/%ed%a0%80.flac"),
    "path, upwards": get(HOST, path=b"/clips/..%2f..%2f..%2fetc%2fpasswd"),
    "path, long": get(HOST, path=b"/" + b"a" * 7_000),
    "path, none": b"GET  HTTP/1.1\r\n" + HOST + b"\r\n",
    "version, none": b"GET /\r\n\r\n",
    "method, TRACE": b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n",
    "method, CONNECT": b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "method, all": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
}


@pytest.fixture(scope="module", params=[True, False], ids=["token", "no token"])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Return the port of a page that asks for a token, or does not."""
    token = tmp_path_factory.mktemp("web") / "token"
    token.write_text("the right token\n")
    port = free_port()
    with serve(WebConfig(enabled=True, port=port, token_file=token if request.param else None), View(setup())):
        yield port


def status(port: int, request: bytes) -> tuple[int, bytes]:
    """Return the status of the answer and its text; 0 when the connection ends without one."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
        connection.sendall(request)
        text = b""
        with contextlib.suppress(ConnectionError):
            while b"\r\n\r\n" not in text and (part := connection.recv(65_536)):
                text += part
    return (int(text.split(b" ", 2)[1]) if text else 0), text


@pytest.mark.parametrize("name", REQUESTS)
def test_a_malformed_request_is_refused_without_a_word_in_the_log(
    port: int, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    code, text = status(port, REQUESTS[name])
    assert code < 500
    assert b"Traceback" not in text
    assert not [record for record in caplog.records if record.exc_info and record.levelname == "ERROR"]


@pytest.mark.parametrize("name", [name for name in REQUESTS if name.startswith(("host, ", "origin", "multipart"))])
def test_what_names_no_page_or_no_form_of_ours_is_forbidden(port: int, name: str) -> None:
    assert status(port, REQUESTS[name])[0] in (303, 400, 401, 403)  # 303: to the login


def test_a_form_that_drips_and_a_request_that_drips_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sirend.web.auth.BODY_S", 0.3)
    port = free_port()
    with serve(WebConfig(enabled=True, port=port), View(setup())):
        assert status(port, b"POST /login HTTP/1.1\r\n" + HOST + FORM + b"Content-Length: 9\r\n\r\nto")[0] == 400


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_hundreds_of_idle_connections_keep_nobody_out_and_cost_few_descriptors() -> None:
    port, before = free_port(), threading.active_count()
    with serve(WebConfig(enabled=True, port=port), View(setup())), ExitStack() as idle:
        free = descriptors()
        for _ in range(300):
            idle.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE_S))
        began = time.monotonic()
        assert [ask(port).status for _ in range(10)] == [200] * 10
        assert time.monotonic() - began < 10.0
        assert descriptors() - free - 300 <= 40
        assert threading.active_count() - before <= 2
