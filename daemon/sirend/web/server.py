"""The local web page: a small server on a thread of its own, at a lower priority than the one that listens.

aiohttp, because its server is started and stopped inside an event loop of ours and tells at once when a port cannot be
had. The page comes from the package; nothing is fetched from elsewhere. While nobody looks, the thread sleeps.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import ssl
import threading
from collections import deque
from contextlib import suppress
from importlib import resources
from typing import TYPE_CHECKING, Any, Self

from sirend.config.load import secret
from sirend.errors import ConfigError
from sirend.evidence.clip import name_of
from sirend.host.priority import recede
from sirend.observe.moment import Glance, about, told
from sirend.web.auth import Gate, harden

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import web

    from sirend.config.settings import WebConfig
    from sirend.observe.snapshot import View
    from sirend.selftest.runner import Prover

MOST_VIEWERS = 8
QUEUED = 64
"""Messages that wait for a slow viewer: 16 s of them at the usual hop."""
PATIENCE_S = 20.0
"""A viewer that takes nothing for so long is gone."""
LOOK_S = 0.05
"""How often the view is looked at while someone watches."""
EVENTS_EVERY = 10
"""Looks at the view for one look at the events: twice a second."""
START_S, CLOSE_S = 10.0, 2.0
ASSETS = {
    "/": ("index.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}

_log = logging.getLogger(__name__)


class Viewer:
    """One open page."""

    def __init__(self) -> None:
        """Start with nothing waiting."""
        self.queue: asyncio.Queue[str] = asyncio.Queue(QUEUED)

    def offer(self, message: str) -> int:
        """Keep a message for the viewer; return how many older ones it cost."""
        dropped = 0
        while self.queue.full():
            self.queue.get_nowait()
            dropped += 1
        self.queue.put_nowait(message)
        return dropped


class Web:
    """Serves the page inside its ``with`` block. A port that cannot be had costs the page only: see ``problem``."""

    def __init__(self, config: WebConfig, view: View, prover: Prover, pictures: Path | None = None) -> None:
        """Prepare to serve ``view``, a button for ``prover``, and the pictures of calls from where they are kept.

        Raises ``ConfigError`` when the extra is not installed, or token or certificate cannot be used.
        """
        if importlib.util.find_spec("aiohttp") is None:
            raise ConfigError(
                "web.enabled", ["aiohttp is missing: sudo make install EXTRAS=web, or make venv EXTRAS=web"]
            )
        self._config = config
        self._view = view
        self._prover = prover
        self._pictures = pictures
        token = None if config.token_file is None else secret(config.token_file)
        self._gate = Gate(token, is_encrypted=config.tls is not None)
        self._tls = _tls(config)
        self._viewers: set[Viewer] = set()
        self._backlog: deque[dict[str, Any]] = deque(maxlen=1)
        self._looking: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sirend-web", daemon=True)
        self.problem: str | None = None
        """Why nothing is served, or None."""

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._prover.__enter__()
        self._thread.start()
        if not self._started.wait(START_S):
            self.problem = "web: the server did not start in time"
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening; every viewer is cut off, and a self-test is given up."""
        self._prover.__exit__()
        if self._loop is not None and self._stop is not None:
            with suppress(RuntimeError):  # it ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        recede()
        try:
            asyncio.run(self._serve())
        except OSError as error:
            place = f"{self._config.bind}:{self._config.port}"
            self.problem = f"web: {place} cannot be listened on: {error.strerror or error}"
            _log.error("%s; detection goes on without", self.problem)
        except Exception:  # noqa: BLE001  a bug here must not end the detection
            self.problem = "web: the server ended by a bug; the log has it"
            _log.exception("%s", self.problem)
        finally:
            self._started.set()

    async def _serve(self) -> None:
        from aiohttp import web  # noqa: PLC0415  an extra

        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(middlewares=[self._gate.guard], client_max_size=4096)
        app.on_response_prepare.append(harden)
        for path in ASSETS:
            app.router.add_get(path, _asset)
        app.router.add_get("/login", self._gate.ask)
        app.router.add_post("/login", self._gate.admit)
        app.router.add_get("/api/stream", self._stream)
        app.router.add_post("/api/selftest", self._test)
        app.router.add_get(r"/clips/{name:[0-9TZ]+-[a-z0-9-]+\.png}", self._picture)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._config.bind, self._config.port, ssl_context=self._tls).start()
            self._started.set()
            await self._stop.wait()
        finally:
            if self._looking is not None:
                self._looking.cancel()
            await runner.cleanup()

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Send what happens as server-sent events for as long as the viewer stays."""
        from aiohttp import web  # noqa: PLC0415

        if len(self._viewers) >= MOST_VIEWERS:
            raise web.HTTPServiceUnavailable(text=f"{MOST_VIEWERS} pages are open already; close one")
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        viewer = self._welcome()
        try:
            while True:
                message = await asyncio.wait_for(self._next(viewer), PATIENCE_S)
                await asyncio.wait_for(response.write(message.encode()), PATIENCE_S)
        except (ConnectionError, TimeoutError):
            return response
        finally:
            self._viewers.discard(viewer)

    async def _next(self, viewer: Viewer) -> str:
        """Return the next message, or a comment when nothing happens, so that a viewer that left is noticed."""
        try:
            return await asyncio.wait_for(viewer.queue.get(), 1.0)
        except TimeoutError:
            return ": nothing new\n\n"

    def _welcome(self) -> Viewer:
        """Return a new viewer that waits for what is known so far; begin to look if it is the only one."""
        viewer = Viewer()
        if self._looking is None or self._looking.done():
            kept = max(1, round(60.0 / self._view.post.hop_s))
            self._backlog = deque(maxlen=kept)
            self._looking = asyncio.get_running_loop().create_task(self._look())
        viewer.offer(_message("about", about(self._view.post)))
        viewer.offer(_message("health", self._view.health))
        viewer.offer(_message("events", self._events()))
        viewer.offer(_message("selftest", self._prover.status))
        viewer.offer(_message("moments", list(self._backlog)))
        self._viewers.add(viewer)
        return viewer

    async def _look(self) -> None:
        """Follow the view and tell all viewers, until the last is gone."""
        glance = Glance(self._view.post)
        seq = 0
        health, events, looks = self._view.health, self._events(), 0
        tested = self._prover.status
        while self._viewers:
            looks += 1
            news = self._view.since(seq)
            if news.moments:
                seq = news.moments[-1].seq
                moments = glance.take(news)
                self._backlog.extend(moments)
                self._tell("moments", moments)
            if self._view.health is not health:
                health = self._view.health
                self._tell("health", health)
            if self._prover.status is not tested:
                tested = self._prover.status
                self._tell("selftest", tested)
            if looks % EVENTS_EVERY == 0 and (latest := self._events()) != events:
                events = latest
                self._tell("events", events)
            await asyncio.sleep(LOOK_S)

    def _events(self) -> list[dict[str, Any]]:
        """Return the last events; a call's has the name of its picture once there is one."""
        events = []
        for event in self._view.events():
            events.append(told(event))
            name = f"{name_of(event)}.png"
            if self._pictures is not None and (self._pictures / name).is_file():
                events[-1]["picture"] = name
        return events

    async def _picture(self, request: web.Request) -> web.Response:
        """Send the picture of a call."""
        from aiohttp import web  # noqa: PLC0415

        name = request.match_info["name"]
        try:
            png = (self._pictures / name).read_bytes() if self._pictures is not None else None
        except OSError:
            png = None
        if png is None:
            raise web.HTTPNotFound(text="there is no such picture, or it has become too old")
        return web.Response(body=png, content_type="image/png", headers={"Cache-Control": "no-store"})

    async def _test(self, _request: web.Request) -> web.Response:
        """Begin a self-test; its result comes by the stream."""
        from aiohttp import web  # noqa: PLC0415

        refusal = self._prover.ask()
        if refusal is not None:
            raise web.HTTPTooManyRequests(text=refusal)
        return web.Response(status=202, text="The self-test has begun.")

    def _tell(self, kind: str, content: object) -> None:
        message = _message(kind, content)
        for viewer in self._viewers:
            if dropped := viewer.offer(message):
                self._view.miss(dropped)


def _tls(config: WebConfig) -> ssl.SSLContext | None:
    if config.tls is None or config.tls.cert_file is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(config.tls.cert_file, config.tls.key_file)
    except (OSError, ssl.SSLError) as error:
        why = getattr(error, "reason", None) or error.strerror or "it cannot be read"
        raise ConfigError("web.tls", [f"certificate and key cannot be used: {why}"]) from None
    return context


async def _asset(request: web.Request) -> web.Response:
    from aiohttp import web  # noqa: PLC0415

    name, kind = ASSETS[request.path]
    text = resources.files("sirend").joinpath("web", "page", name).read_text(encoding="utf-8")
    return web.Response(text=text, content_type=kind, headers={"Cache-Control": "no-cache"})


def _message(kind: str, content: object) -> str:
    return f"event: {kind}\ndata: {json.dumps(content, separators=(',', ':'))}\n\n"
