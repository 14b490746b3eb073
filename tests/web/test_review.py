"""What was nearly called is labelled by keyboard, in a real Chromium."""

from __future__ import annotations

import asyncio
import http.client
import re
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.conftest import PATIENCE_S, free_port
from tests.e2e.webdriver import Browser
from tests.evidence.test_street_chooser import keep
from tests.web.test_page import AXE, RULES
from tests.web.test_server import ask

from sirend.errors import DeviceError
from sirend.evidence.street_chooser import Worth
from sirend.evidence.street_set import StreetSet
from sirend.web.review import serve

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


FORM = "application/x-www-form-urlencoded"


def posted(port: int, kind: str, body: bytes) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as connection:
        connection.request("POST", "/api/label", body, {"Content-Type": kind})
        return connection.getresponse().status


def test_three_keys_label_a_street(tmp_path: Path) -> None:
    folder = tmp_path / "street"
    keep(folder, Worth.QUIET)
    for minute in (1, 2, 3):
        keep(folder, Worth.NEAR, minute=minute)
    street, port = StreetSet(folder, 10**9), free_port()
    loop, stop, is_up = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    serving = threading.Thread(target=lambda: loop.run_until_complete(serve(street, port, stop, lambda _: is_up.set())))
    serving.start()
    try:
        assert is_up.wait(PATIENCE_S)
        assert ask(port, Host="evil.example").status == 403
        assert ask(port, "/api/label", "POST", Origin="https://evil.example").status == 403
        assert ask(port, "/api/label", "POST").status == 400
        assert ask(port, "/api/sound?path=clips.csv").status == 404
        for kind in ("multipart/form-data", "multipart/form-data; boundary=x", f"{FORM}; charset=nope", FORM, "x" * 99):
            for body in (b"", b"\xff=%ff&path=%ff&class=other", b"--x", b"class=nope&path=" + b"=&" * 999):
                assert posted(port, kind, body) == 400
        assert posted(port, FORM, b"p" * 5_000) == 413
        with Browser(tmp_path, 390, 844) as browser:
            browser.open(f"http://127.0.0.1:{port}/")
            browser.until("#left", "3 left, 0 labelled")
            assert re.fullmatch(
                r"[a-z]+, [A-Z][a-z]{2} \d+, \d{4}, \d\d:\d\d:\d\d, \d+ s, highest score [\d.]+", browser.text("#clip")
            ), "who labels a street knows when an ambulance came"
            browser.holds("return document.querySelector('#sound').duration > 4")
            browser.run(AXE.read_text(encoding="utf-8"))
            assert browser.run(RULES) == []
            browser.run("for (const key of 'ss') document.dispatchEvent(new KeyboardEvent('keydown', { key }))")
            browser.until("#left", "2 left, 1 labelled")
            table = folder / "clips.csv"
            whole = table.read_text()
            table.write_text(whole + "torn,")
            browser.type("o")
            browser.holds("return document.querySelector('#left').textContent.includes('line 6 has not the 8 cells')")
            table.write_text(whole)
            browser.type("u")
            browser.until("#left", "1 left, 1 labelled")
            browser.type("o")
            browser.until("#left", "Nothing is left; 2 labelled.")
            # Chromium's own line about the answer of 503.
            assert len(browser.complaints()) == 1
        assert [row["class"] for row in street.rows] == ["other", "emergency", "review", "other"]
        assert StreetSet(folder, 10**9).rows == street.rows
        with pytest.raises(DeviceError, match=f"127.0.0.1:{port} cannot be listened on"):
            asyncio.run(serve(street, port, asyncio.Event(), lambda _: None))
    finally:
        loop.call_soon_threadsafe(stop.set)
        serving.join(PATIENCE_S)
        loop.close()
