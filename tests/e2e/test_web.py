"""The page of a daemon that hears a siren, in a real Chromium."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from tests.conftest import PATIENCE_S, free_port
from tests.e2e.conftest import Command
from tests.e2e.webdriver import Browser

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import TypeAlias

    from tests.conftest import Broker
    from tests.e2e.conftest import Daemon, PulseAudio

    Run: TypeAlias = Callable[[str, Mapping[str, str]], Daemon]

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]
DRAWN = """
const request = new XMLHttpRequest();
request.open("GET", document.querySelector("#call-picture").src, false);
request.overrideMimeType("text/plain; charset=x-user-defined");
request.send();
return request.status === 200 && request.responseText.slice(1, 4) === "PNG";
"""
TAB, ENTER = "\ue004", "\ue007"
DARK = """
const canvas = document.querySelector(arguments[0]);
const data = canvas.getContext("2d").getImageData(60, 0, canvas.width - 80, canvas.height).data;
let dark = 0;
for (let i = 0; i < data.length; i += 4) dark += data[i] + data[i + 1] + data[i + 2] < arguments[1];
return 4 * dark / data.length;
"""


def until_open(port: int) -> None:
    """Wait until something listens: the page's thread has the lower priority, and detection does not wait for it."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), PATIENCE_S).close()
        except ConnectionRefusedError:
            assert time.monotonic() < until
            time.sleep(0.05)
        else:
            return


def test_the_page_shows_a_siren_arrive_and_a_clap_on_a_phone(
    run: Run, pulse: PulseAudio, broker: Broker, drive_by: Path, tmp_path: Path
) -> None:
    clap = tmp_path / "clap.wav"
    pcm = 0.001 * np.random.default_rng(2).standard_normal(16_000)
    pcm[8_000:8_160] += 0.7 * np.hanning(160) * np.random.default_rng(3).choice([-1.0, 1.0], 160)
    soundfile.write(clap, pcm, 16_000, subtype="FLOAT")
    port = free_port()
    siren = tmp_path / "siren.wav"
    soundfile.write(siren, soundfile.read(drive_by, dtype="float32")[0][5 * 16_000 :], 16_000, subtype="FLOAT")
    kept = "audio: {stall_s: 2}\njournal: {path: events.jsonl}\nclips: {enabled: true, path: clips, before_s: 3}\n"
    settings = f"site: main-5th\nmqtt: {{port: {broker.port}}}\nweb: {{enabled: true, port: {port}}}\n{kept}"
    daemon = run(settings, pulse.environment)
    daemon.until_logged("the first window is scored")
    until_open(port)
    with Browser(tmp_path, 412, 915) as browser:
        browser.open(f"http://127.0.0.1:{port}/")
        browser.until("#health", "OK: listening")
        assert "main-5th" in browser.text("h1")
        browser.until(".state", "clear")
        for _ in range(20):  # the keyboard alone reaches the button
            if browser.run("return document.activeElement.innerText") == "Test main":
                break
            browser.type(TAB)
        browser.type(ENTER)
        browser.until("#clapped", "Clap now at the microphone of main")
        pulse.play(clap)
        browser.until("#clapped", "Right: main heard the clap.")
        pulse.play(siren)
        browser.until(".state", "EMERGENCY APPROACHING")
        assert browser.run(DARK, "#spectrogram", 300) > 0.01
        assert browser.run("return document.querySelector('.meter').getAttribute('aria-valuenow')") not in (None, "")
        browser.until("#events", "called now")
        assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
        pulse.suspend(yes=True)
        browser.until("#stale", "No sound has been scored")
        browser.until("#reasons", "input lost")
        browser.until("#events", "picture, sound", 3 * PATIENCE_S)
        browser.run("document.querySelector('#events button').click()")
        browser.holds("return document.querySelector('#call-picture').naturalWidth > 1000")
        browser.until("#call-facts", "the siren was loudest")
        assert browser.run(DRAWN) is True
        assert daemon.stop() == 0
        browser.until("#stale", "The connection to sirend is lost")
        assert [text for text in browser.complaints() if "/api/stream" not in text] == []
    shows_what_was_before_a_restart(run(settings, pulse.environment), port, tmp_path)
    calls = Command(tmp_path)("events", "--config", "sirend.yaml", "--type", "approaching", "--csv").stdout.splitlines()
    assert len(calls) == 2
    (flac,) = (tmp_path / "clips").glob("*.flac")
    assert flac.stem.rpartition("-")[2] in calls[1]
    pcm, rate = soundfile.read(flac)
    assert rate == 16_000
    assert len(pcm) >= 3 * 16_000
    assert np.abs(pcm).max() > 0.05


def shows_what_was_before_a_restart(daemon: Daemon, port: int, folder: Path) -> None:
    until_open(port)
    with Browser(folder, 412, 915) as browser:
        browser.open(f"http://127.0.0.1:{port}/")
        browser.until("#summary", "call in 24 hours, the last on main")
        browser.until("#events", "the input was lost")
    assert daemon.stop() == 0


def test_elsewhere_page_and_self_test_need_tls_and_the_token(
    run: Run, pulse: PulseAudio, broker: Broker, tmp_path: Path
) -> None:
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "page.key", "-out", "page.pem"]
    subprocess.run([*words, "-subj", "/CN=sirend", "-days", "2"], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "token").write_text("open sesame\n")
    port = free_port()
    settings = f"enabled: true, bind: 0.0.0.0, port: {port}, token_file: token"
    tls = "tls: {cert_file: page.pem, key_file: page.key}"
    daemon = run(f"site: main-5th\nmqtt: {{port: {broker.port}}}\nweb: {{{settings}, {tls}}}\n", pulse.environment)
    daemon.until_logged("the first window is scored")
    url = f"https://127.0.0.1:{port}"
    context = ssl.create_default_context(cafile=tmp_path / "page.pem")
    context.check_hostname = False

    def ask(token: str | None, path: str = "/api/stream", method: str = "GET", origin: str = url) -> tuple[int, str]:
        headers = {"Origin": origin} | ({} if token is None else {"Authorization": f"Bearer {token}"})
        request = urllib.request.Request(f"{url}{path}", headers=headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S, context=context) as answer:  # noqa: S310
                answer.readline()
                return answer.status, answer.readline().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""

    until_open(port)
    assert ask(None) == (401, "")
    assert ask("open barley") == (401, "")
    status, line = ask("open sesame")
    assert status == 200
    assert json.loads(line.removeprefix("data: "))["site"] == "main-5th"
    assert ask(None, "/api/selftest", "POST") == (401, "")
    assert ask("open sesame", "/api/selftest", "POST", "https://evil.example") == (403, "")
    with Browser(tmp_path, 1000, 900) as browser, broker.subscribe() as subscriber:
        browser.open(f"{url}/")
        browser.until("label", "Token of this site")
        browser.type("open barley" + ENTER)
        browser.until("[role=alert]", "That is not the token")
        browser.type("open sesame" + ENTER)
        browser.until(".state", "clear")
        (cookie,) = browser.cookies()
        assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Strict")
        assert "sesame" not in cookie["value"]
        browser.until("#tested", "None was run")
        browser.run("document.querySelector('#test').click()")
        browser.until("#tested", "the built-in siren was called", 3 * PATIENCE_S)
        assert browser.text("#tested").startswith("Passed")
        browser.run("document.querySelector('#test').click()")
        browser.until("#tested", "The last self-test was a moment ago. Wait ")
        assert browser.text(".state") == "clear"
        received = subscriber.until("sirend/main-5th/selftest")
        assert json.loads(received[-1].payload)["passed"] is True
        assert [each.topic for each in received if each.topic.endswith("/event") or "approaching" in each.payload] == []
        refusals = "responded with a status of 4"
        assert [text for text in browser.complaints() if refusals not in text] == []
    assert daemon.stop() == 0
    assert "sesame" not in daemon.log.read_text()
