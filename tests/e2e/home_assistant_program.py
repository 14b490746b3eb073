"""A running Home Assistant, a program of its own in an environment of its own, with a user whose token is known."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.webdriver import Browser

START_S = 600.0
"""At its first start it installs what its integrations need."""
TOKEN_ID, TOKEN_KEY = "a" * 32, "b" * 128
ONBOARDED = ["user", "core_config", "analytics", "integration"]
"""Steps of its first walk; who has not been through them is sent there."""
LOG_IN = """
localStorage.setItem("hassTokens", JSON.stringify({ access_token: arguments[0], refresh_token: "", expires_in: 1e5,
  expires: Date.now() + 1e8, token_type: "Bearer", hassUrl: location.origin, clientId: `${location.origin}/` }));
"""
WORDS = """
const words = [], walk = (node) => node.childNodes.forEach((each) => {
  if (each.nodeType === Node.TEXT_NODE && each.textContent.trim()) words.push(each.textContent.trim());
  if (each.shadowRoot) walk(each.shadowRoot);
  walk(each);
});
walk(document.body);
return words;
"""
"""All that stands on its page, which is made of components with trees of their own."""


def stored(key: str, data: dict[str, Any]) -> str:
    """Return a file of its storage."""
    return json.dumps({"version": 1, "minor_version": 1, "key": key, "data": data})


def user() -> dict[str, Any]:
    """Return its users: an owner, with a token that we know."""
    token = {
        "id": TOKEN_ID,
        "user_id": "c" * 32,
        "client_id": None,
        "client_name": "test",
        "client_icon": None,
        "token_type": "long_lived_access_token",
        "created_at": "2026-01-01T00:00:00+00:00",
        "access_token_expiration": 1e8,
        "token": "d" * 128,
        "jwt_key": TOKEN_KEY,
        "last_used_at": None,
        "last_used_ip": None,
        "expire_at": None,
        "credential_id": None,
        "version": None,
    }
    owner = {
        "id": "c" * 32,
        "group_ids": ["system-admin"],
        "is_owner": True,
        "is_active": True,
        "name": "owner",
        "system_generated": False,
        "local_only": False,
    }
    groups = [{"id": f"system-{each}", "name": each} for each in ("admin", "users", "read-only")]
    return {"users": [owner], "groups": groups, "credentials": [], "refresh_tokens": [token]}


def bearer() -> str:
    """Return the token as it is sent: a JSON Web Token."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    now = int(time.time())
    claim = {"iss": TOKEN_ID, "iat": now - 10, "exp": now + 100_000}
    said = f"{part(json.dumps({'alg': 'HS256', 'typ': 'JWT'}).encode())}.{part(json.dumps(claim).encode())}"
    return f"{said}.{part(hmac.new(TOKEN_KEY.encode(), said.encode(), hashlib.sha256).digest())}"


@dataclass
class HomeAssistant:
    """A running one."""

    folder: Path
    port: int

    def states(self) -> dict[str, dict[str, Any]]:
        """Return what it shows of each entity of ours."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/states", headers={"Authorization": f"Bearer {bearer()}"}
        )
        with urllib.request.urlopen(request, timeout=10.0) as answer:  # noqa: S310  of this machine
            return {each["entity_id"]: each for each in json.load(answer) if "siren_detector" in each["entity_id"]}

    def device_of(self, entity: str) -> str:
        """Return which device an entity belongs to."""
        asked = json.dumps({"template": f"{{{{ device_id('{entity}') }}}}"}).encode()
        headers = {"Authorization": f"Bearer {bearer()}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/template", asked, headers)
        with urllib.request.urlopen(request, timeout=10.0) as answer:  # noqa: S310  of this machine
            return str(answer.read().decode())

    def log_in(self, browser: Browser) -> None:
        """Let the window be logged in, as after its own form."""
        browser.open(f"http://127.0.0.1:{self.port}/manifest.json")
        browser.run(LOG_IN, bearer())

    def state(self, entity: str) -> str | None:
        """Return the state of an entity; None where there is none."""
        found = self.states().get(entity)
        return None if found is None else str(found["state"])

    @property
    def complaints(self) -> list[str]:
        """Lines of its log about MQTT and templates that are warnings or worse."""
        lines = (self.folder / "out").read_text(errors="replace").splitlines()
        about = ("mqtt", "template", "sensor", "discovery")
        return [line for line in lines if (" WARNING " in line or " ERROR " in line) and any(w in line for w in about)]

    def kept(self, name: str) -> dict[str, Any]:
        """Return a file of its storage."""
        data: dict[str, Any] = json.loads((self.folder / ".storage" / name).read_text())["data"]
        return data


def wait(condition: Callable[[], bool], limit_s: float = 60.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def prepare(folder: Path, port: int, broker_port: int) -> None:
    """Write the configuration of one that is set up, serves its page at ``port`` and knows the broker."""
    (folder / ".storage").mkdir()
    (folder / ".storage" / "auth").write_text(stored("auth", user()))
    onboarding = {**json.loads(stored("onboarding", {"done": ONBOARDED})), "version": 4}
    (folder / ".storage" / "onboarding").write_text(json.dumps(onboarding))
    entry = {
        "entry_id": "e" * 32, "version": 1, "minor_version": 1, "domain": "mqtt", "title": "broker",
        "data": {"broker": "127.0.0.1", "port": broker_port}, "options": {}, "source": "user", "unique_id": None,
        "disabled_by": None, "pref_disable_new_entities": False, "pref_disable_polling": False,
        "created_at": "2026-01-01T00:00:00+00:00", "modified_at": "2026-01-01T00:00:00+00:00", "discovery_keys": {},
        "subentries": [],
    }  # fmt: skip
    (folder / ".storage" / "core.config_entries").write_text(stored("core.config_entries", {"entries": [entry]}))
    (folder / "configuration.yaml").write_text(
        f"homeassistant: {{name: test}}\nhttp: {{server_host: 127.0.0.1, server_port: {port}}}\n"
        "logger: {default: warning}\nfrontend:\n"
    )


@contextmanager
def running(program: Path, folder: Path, port: int) -> Iterator[HomeAssistant]:
    """Run it until the ``with`` block ends."""
    made = HomeAssistant(folder, port)
    with (folder / "out").open("ab") as out:
        process = subprocess.Popen([program, "-c", str(folder)], stdout=out, stderr=out, start_new_session=True)
    try:

        def is_up() -> bool:
            assert process.poll() is None, (folder / "out").read_text()[-3000:]
            try:
                made.states()
            except (OSError, urllib.error.URLError):
                return False
            return True

        wait(is_up, START_S)
        yield made
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60.0)
