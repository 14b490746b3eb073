"""``sirend monitor``: what the web page shows, in a terminal, read from the same stream of the running daemon."""

from __future__ import annotations

import http.client
import importlib.util
import json
import math
import ssl
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sirend.call.eta import eta_of
from sirend.config.secrets import secret
from sirend.errors import ConfigError, DeviceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import RenderableType

    from sirend.config.settings import WebConfig

ANSWER_S = 5.0
STALE_S = 3.0
AGAIN_S = 1.0
REFRESH_HZ = 4.0
TRACE = 60
"""Windows of the score trace."""
BARS = " ▁▂▃▄▅▆▇█"
METER = 40
CALLED = {"departing": "EMERGENCY DRIVING AWAY", "stationary": "EMERGENCY STANDING STILL"}
UNSAID = ("unknown", "mixed")
"""Kinds of siren that a card does not name."""
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  nothing is bound here


@dataclass(slots=True)
class Screen:
    """What is known of the daemon."""

    about: dict[str, Any] = field(default_factory=dict)
    health: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    moments: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=TRACE))
    heard_at: float = 0.0
    """Monotonic time of the latest moment, s."""
    problem: str = "connecting"
    """Why nothing comes, or empty."""

    def take(self, kind: str, content: Any) -> None:  # noqa: ANN401  decoded JSON
        """Take a message of the stream."""
        if kind == "about":
            self.about = content
            self.moments.clear()
        elif kind == "health":
            self.health = content
        elif kind == "events":
            self.events = content
        elif kind == "moments" and content:
            self.moments.extend(content)
            self.heard_at = time.monotonic()
        self.problem = ""


class Monitor:
    """Follows a daemon until told to stop."""

    def __init__(self, web: WebConfig) -> None:
        """Prepare to read the page that ``web`` describes.

        Raises ``UsageError`` without the extra, ``ConfigError`` when there is no page or its token cannot be read.
        """
        if importlib.util.find_spec("rich") is None:
            raise UsageError(
                "`sirend monitor` needs rich: sudo make install EXTRAS=monitor, or make venv EXTRAS=monitor"
            )
        if not web.enabled:
            raise ConfigError("web.enabled", ["the monitor reads the page of the running daemon: set it to true"])
        self._web = web
        self._token = None if web.token_file is None else secret(web.token_file).decode(errors="replace")
        self._scene = Screen()

    def run(self, stop: threading.Event) -> None:
        """Show the daemon until ``stop`` is set; raise ``DeviceError`` when it does not answer at first."""
        from rich.console import Console  # noqa: PLC0415  an extra
        from rich.live import Live  # noqa: PLC0415

        messages = self._messages()
        self._scene.take(*next(messages))
        reader = threading.Thread(target=self._read, args=(messages, stop), name="sirend-monitor", daemon=True)
        reader.start()
        with Live(console=Console(), screen=True, auto_refresh=False) as live:
            while not stop.is_set():
                live.update(picture(self._scene, time.monotonic()), refresh=True)
                stop.wait(1.0 / REFRESH_HZ)

    def _read(self, messages: Iterator[tuple[str, Any]], stop: threading.Event) -> None:
        """Take what comes; after a loss, connect again for as long as it takes."""
        while not stop.is_set():
            try:
                for message in messages:
                    self._scene.take(*message)
                self._scene.problem = "the daemon ended the connection; trying again"
            except DeviceError as error:
                self._scene.problem = f"{error}"
            stop.wait(AGAIN_S)
            messages = self._messages()

    def _messages(self) -> Iterator[tuple[str, Any]]:
        """Yield kind and content of each message of the stream; raise ``DeviceError`` when there is no way."""
        host, port = EVERYWHERE.get(self._web.bind, self._web.bind), self._web.port
        place = f"the page of sirend at {host}:{port}"
        connection = self._connection(host, port)
        try:
            headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
            connection.request("GET", "/api/stream", headers=headers)
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                raise DeviceError(f"{place} refuses: {answer.read(200).decode(errors='replace')}")
            kind = ""
            while line := answer.readline().decode():
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ").strip()
                elif line.startswith("data: "):
                    yield kind, json.loads(line.removeprefix("data: "))
        except ValueError as error:  # the daemon ended within a message
            raise DeviceError(f"{place} broke off in the middle of a message") from error
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise DeviceError(f"{place} cannot be reached: {why}; is `sirend run` running with web.enabled?") from error
        finally:
            connection.close()

    def _connection(self, host: str, port: int) -> http.client.HTTPConnection:
        if self._web.tls is None:
            return http.client.HTTPConnection(host, port, timeout=ANSWER_S)
        # The certificate in the configuration is the daemon's own, whatever name it carries.
        context = ssl.create_default_context(cafile=self._web.tls.cert_file)
        context.check_hostname = False
        return http.client.HTTPSConnection(host, port, timeout=ANSWER_S, context=context)


def picture(scene: Screen, now: float) -> RenderableType:
    """Return what the terminal shows of ``scene`` at the monotonic time ``now``."""
    from rich.console import Group  # noqa: PLC0415
    from rich.panel import Panel  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    state = str(scene.health.get("state", "starting"))
    style = {"ok": "bold white on green", "degraded": "bold black on yellow"}.get(state, "bold white on red")
    head = Text.assemble(("sirend ", "bold"), str(scene.about.get("site", "")), "  ", (f" {state.upper()} ", style))
    silent_s = now - scene.heard_at
    if scene.problem:
        head.append(f"\n{scene.problem}", "bold red")
    elif scene.moments and silent_s > STALE_S:
        head.append(f"\nNo sound has been scored for {silent_s:.0f} s. What you see is old.", "bold red")
    for reason in scene.health.get("reasons", []):
        head.append(f"\n- {reason}", "yellow")
    parts: list[RenderableType] = [head]
    latest = scene.moments[-1]["heard"] if scene.moments else []
    for row, heard in enumerate(latest):
        parts.append(Panel(_approach(scene, row, heard, now), title=heard["approach"], title_align="left"))
    if not latest:
        parts.append(Text("no sound yet"))
    parts.append(Panel(Text("\n".join(map(_event, scene.events[-5:][::-1])) or "none since the start"), title="events"))
    parts.append(Text(f"{scene.about.get('device', '')}  {scene.about.get('model', '')}  Ctrl-C ends", "dim"))
    return Group(*parts)


def _approach(scene: Screen, row: int, heard: dict[str, Any], now: float) -> RenderableType:
    from rich.text import Text  # noqa: PLC0415

    level = float(heard.get("hop_dbfs", heard["level_dbfs"]))
    peak = float(heard.get("peak_dbfs", level))
    meter = list("─" * METER)
    for index in range(_cell(level)):
        meter[index] = "█"
    meter[_cell(float(heard["floor_dbfs"]))] = "┊"
    meter[_cell(peak)] = "|"
    calls = heard["call"] == "approaching"
    shown = Text(words_of(heard, scene.about), "bold white on red" if calls else "bold")
    nearest = eta_of(heard) if scene.heard_at + STALE_S > now else None
    if nearest is not None:
        shown.append(f"  {nearest}", "bold")
    if heard.get("clipped"):
        shown.append("  CLIPPING: lower the recording level", "bold black on yellow")
    spl_db = scene.about.get("full_scale_spl_db")
    shift_db, unit = (0.0, "dBFS") if spl_db is None else (float(spl_db), "dB SPL")
    level, peak, floor = (each + shift_db for each in (level, peak, float(heard["floor_dbfs"])))
    shown.append(f"\n{''.join(meter)} {level:4.0f} {unit}, peak {peak:.0f}, floor {floor:.0f}")
    trace = "".join(BARS[round(float(moment["heard"][row]["evidence"]) * (len(BARS) - 1))] for moment in scene.moments)
    thresholds = f"enter {scene.about.get('enter')}, exit {scene.about.get('exit')}"
    shown.append(f"\n{trace:>{TRACE}} {heard['evidence']:.2f}\nevidence; {thresholds}; score {heard['score']:.2f}")
    return shown


def words_of(heard: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """Return what the card of an approach says, in the words of the page: one thing, the call or what is heard."""
    if heard["call"] == "approaching":
        text, tone = CALLED.get(heard.get("motion", ""), "EMERGENCY APPROACHING"), heard.get("tone")
        return text if tone in (None, *UNSAID) else f"{text}: {tone}"
    # An array hears for all its sectors; which of them a siren is in, the page's compass tells.
    hears = not about.get("has_array") and heard["evidence"] >= about.get("enter", math.inf)
    return "siren heard, not called" if hears else "clear"


def _cell(dbfs: float) -> int:
    """Return the place of a level in the meter: -100 dBFS is its left end, 0 its right."""
    return max(0, min(METER - 1, int((dbfs + 100.0) / 100.0 * METER)))


def _event(event: dict[str, Any]) -> str:
    what = "approaching" if event["state"] == "approaching" else f"cleared: {event['reason']}"
    return f"{event['at']}  {event['approach']}  {what}  {event['confidence']:.2f}"
