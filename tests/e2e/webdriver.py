"""A real Chromium, driven through chromedriver by the W3C WebDriver protocol: the few words that the tests need."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Self

import pytest
from tests.conftest import PATIENCE_S, free_port

if TYPE_CHECKING:
    from pathlib import Path

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
)  # fmt: skip
_DRAWN = "return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))));"
"""Ends once the page was drawn with what it was told before: media queries are told of with a frame."""


class Browser:
    """A headless window. Leaving the ``with`` block closes it."""

    def __init__(self, folder: Path, width: int, height: int) -> None:
        """Prepare a window of ``width`` times ``height`` pixels with a fresh profile in ``folder``."""
        self._folder = folder
        self._size = (width, height)
        self._url = f"http://127.0.0.1:{free_port()}"
        self._session = ""

    def __enter__(self) -> Self:
        program = shutil.which("chromedriver")
        if program is None or shutil.which("chromium") is None:
            pytest.fail("these tests need: apt-get install chromium chromium-driver")
        port = self._url.rpartition(":")[2]
        self._log = (self._folder / "chromedriver.log").open("wb")
        environment = {**os.environ, "HOME": str(self._folder)}
        self._process = subprocess.Popen(
            [program, f"--port={port}"], stdout=self._log, stderr=self._log, env=environment
        )
        options = {
            "args": [*FLAGS, f"--user-data-dir={self._folder / 'profile'}"],
            "binary": shutil.which("chromium"),
        }
        capabilities = {
            "browserName": "chrome",
            "acceptInsecureCerts": True,
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        until = time.monotonic() + PATIENCE_S
        while not self._session:
            try:
                made = self._say("POST", "", {"capabilities": {"alwaysMatch": capabilities}})
                self._session = made["sessionId"]
            except ConnectionRefusedError:
                assert time.monotonic() < until, "chromedriver did not start"
                time.sleep(0.05)
        self.size(*self._size)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._session:
                self._say("DELETE", "")
        finally:
            self._process.terminate()
            self._process.wait(PATIENCE_S)
            self._log.close()

    def _say(self, method: str, path: str, content: dict[str, Any] | None = None) -> Any:  # noqa: ANN401
        url = f"{self._url}/session" + (f"/{self._session}{path}" if self._session else "")
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            pytest.fail(f"{method} {path}: {error.read().decode()[:500]}")
        except urllib.error.URLError as error:
            if isinstance(error.reason, ConnectionRefusedError):
                raise error.reason from None
            raise

    def size(self, width: int, height: int) -> None:
        """Give the screen so many pixels: a window cannot be as narrow as a phone, its screen can.

        The page has heard of it when this returns.
        """
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._say("POST", "/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics})
        self.run(_DRAWN)

    def open(self, url: str) -> None:
        """Go to a page."""
        self._say("POST", "/url", {"url": url})

    def run(self, script: str, *arguments: object) -> Any:  # noqa: ANN401
        """Return what a function body of JavaScript returns."""
        return self._say("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def text(self, selector: str) -> str:
        """Return the text of the first element that matches, empty where there is none."""
        return str(self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    def until(self, selector: str, part: str, within_s: float = PATIENCE_S) -> str:
        """Wait until the element's text contains ``part``; return all of it."""
        until = time.monotonic() + within_s
        while part not in (text := self.text(selector)):
            assert time.monotonic() < until, f"{selector} says {text!r}, never {part!r}"
            time.sleep(0.05)
        return text

    def holds(self, script: str) -> None:
        """Wait until a function body of JavaScript returns true."""
        until = time.monotonic() + PATIENCE_S
        while self.run(script) is not True:
            assert time.monotonic() < until, script
            time.sleep(0.05)

    def type(self, keys: str) -> None:
        """Press keys, as a keyboard does, wherever the focus is."""
        pressed = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._say("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": pressed}]})

    def picture(self, path: Path) -> None:
        """Write a PNG of the window."""
        path.write_bytes(base64.b64decode(self._say("GET", "/screenshot")))

    def cookies(self) -> list[dict[str, Any]]:
        """Return the page's cookies."""
        found: list[dict[str, Any]] = self._say("GET", "/cookie")
        return found

    def complaints(self) -> list[str]:
        """Return what the page complained of on its console."""
        entries = self._say("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]
