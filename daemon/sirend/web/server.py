"""The local web page: a small server on a thread of its own, at a lower priority than the one that listens.

aiohttp, because its server is started and stopped inside an event loop of ours and tells at once when a port cannot be
had. The page comes from the package; nothing is fetched from elsewhere.
"""

from __future__ import annotations

import asyncio
import importlib.util
import io
import json
import logging
import re
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import TYPE_CHECKING, Self

from sirend.config.secrets import secret
from sirend.errors import ConfigError, InputError
from sirend.host.connections import Connections
from sirend.host.serving import Server
from sirend.publish import journal_reader
from sirend.web.auth import Gate, harden
from sirend.web.feed import Archive, Feed, Viewer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from aiohttp import web

    from sirend.config.settings import WebConfig
    from sirend.observe.snapshot import View
    from sirend.selftest.runner import SelfTestRunner

MOST_VIEWERS = 8
PATIENCE_S = 20.0
"""A viewer that takes nothing for so long is gone."""
MOST_HOURS = 24 * 366
KINDS = {".png": "image/png", ".flac": "audio/flac", ".json": "application/json"}
EXPORTS = {"csv": "text/csv", "json": "application/json"}
NOTHING = Archive()
SCRIPTS = (
    "page", "approaches", "calls", "charts", "checks", "colours", "compass", "dom", "health", "loudness", "spectrogram",
    "uplot",
)  # fmt: skip
ASSETS = {
    "/": ("index.html", "text/html"),
    **{f"/{name}.js": (f"{name}.js", "text/javascript") for name in SCRIPTS},
    "/page.css": ("page.css", "text/css"),
    "/uplot.css": ("uplot.css", "text/css"),
}

_log = logging.getLogger(__name__)


class Web(Server):
    """Serves the page inside its ``with`` block. A port that cannot be had costs the page only: see ``problem``."""

    def __init__(self, config: WebConfig, view: View, runner: SelfTestRunner, kept: Archive = NOTHING) -> None:
        """Prepare to serve ``view``, a button for ``runner``, and what is ``kept`` of calls.

        Raises ``ConfigError`` when the extra is not installed, or token or certificate cannot be used.
        """
        if importlib.util.find_spec("aiohttp") is None:
            raise ConfigError(
                "web.enabled", ["aiohttp is missing: sudo make install EXTRAS=web, or make venv EXTRAS=web"]
            )
        super().__init__("web", config.bind, config.port, _log)
        self._config = config
        self._view = view
        self._runner = runner
        self._kept = kept
        token = None if config.token_file is None else secret(config.token_file)
        self._gate = Gate(token, is_encrypted=config.tls is not None)
        self._tls = _tls(config)

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._runner.__enter__()
        return super().__enter__()

    def __exit__(self, *reason: object) -> None:
        """Stop listening; every viewer is cut off, and a self-test is given up."""
        self._runner.__exit__()
        super().__exit__(*reason)

    async def _serve(self, stop: asyncio.Event) -> None:
        from aiohttp import web  # noqa: PLC0415  an extra

        app = web.Application(middlewares=[self._watched(), self._gate.guard], client_max_size=4096)
        app.on_response_prepare.append(harden)
        for path in ASSETS:
            app.router.add_get(path, _asset)
        app.router.add_get("/login", self._gate.ask)
        app.router.add_post("/login", self._gate.admit)
        app.router.add_get("/api/stream", self._stream)
        app.router.add_post("/api/selftest", self._test)
        app.router.add_get(r"/clips/{name:[0-9TZ]+-[a-z0-9-]+\.(?:png|flac|json)}", self._clip)
        app.router.add_get("/events.{kind:csv|json}", self._export)
        self._feed = Feed(self._view, self._runner, self._kept)
        following = asyncio.create_task(self._feed.follow())
        runner = web.AppRunner(app, access_log=None, logger=_quiet(), shutdown_timeout=0.2)
        await runner.setup()
        try:
            if runner.server is None:
                raise AssertionError("a runner that was set up has a server")
            self._connections = Connections(runner.server, self._tls)
            await self._connections.listen(self._config.bind, self._config.port)
            self._started.set()
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait((stopping, following), return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                following.result()
        finally:
            await self._connections.close()
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
            await runner.cleanup()

    def _watched(self) -> Callable[..., Awaitable[web.StreamResponse]]:
        """Return the middleware by which a bug in answering becomes a problem, whoever brought it up."""
        from aiohttp import web  # noqa: PLC0415

        @web.middleware
        async def middleware(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            try:
                return await handler(request)
            except (web.HTTPException, ConnectionError):
                raise
            except Exception:  # noqa: BLE001  a bug must not end the page
                self.problem = "web: a request could not be answered by a bug; the log has it"
                _log.exception("%s", self.problem)
                raise web.HTTPInternalServerError(text="this is a bug in sirend; its log has it") from None

        return middleware

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Send what happens as server-sent events for as long as the viewer stays."""
        from aiohttp import web  # noqa: PLC0415

        if not self._connections.hold(request.transport, MOST_VIEWERS):
            raise web.HTTPServiceUnavailable(text=f"{MOST_VIEWERS} pages are open already; close one")
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        viewer = self._feed.welcome()
        try:
            while True:
                message = await asyncio.wait_for(self._next(viewer), PATIENCE_S)
                await asyncio.wait_for(response.write(message.encode()), PATIENCE_S)
        except (ConnectionError, TimeoutError):
            return response
        finally:
            self._feed.viewers.discard(viewer)

    async def _next(self, viewer: Viewer) -> str:
        """Return the next message, or a comment when nothing happens, so that a viewer that left is noticed."""
        try:
            return await asyncio.wait_for(viewer.queue.get(), 1.0)
        except TimeoutError:
            return ": nothing new\n\n"

    async def _clip(self, request: web.Request) -> web.StreamResponse:
        """Send the picture, the sound or the notes of a call."""
        from aiohttp import web  # noqa: PLC0415

        folder, name = self._kept.clips, request.match_info["name"]
        path = None if folder is None else folder / name
        if path is None or not path.is_file():
            raise web.HTTPNotFound(text="there is no such file, or it has become too old")
        kind = KINDS[path.suffix]
        return web.FileResponse(path, headers={"Cache-Control": "no-store", "Content-Type": kind})

    async def _export(self, request: web.Request) -> web.Response:
        """Send the journal's events of the last ``hours`` as CSV or as JSON Lines."""
        from aiohttp import web  # noqa: PLC0415

        journal, kind, hours = self._kept.journal, request.match_info["kind"], request.query.get("hours", "24")
        if journal is None:
            raise web.HTTPNotFound(text="no journal is kept: set journal.path")
        if not re.fullmatch("[0-9]{1,4}", hours) or not 1 <= int(hours) <= MOST_HOURS:
            raise web.HTTPBadRequest(text=f"hours is a whole number from 1 to {MOST_HOURS}")
        since = datetime.now(UTC) - timedelta(hours=int(hours))
        try:
            text = await asyncio.to_thread(exported, journal, since, kind)
        except InputError as error:
            raise web.HTTPNotFound(text=str(error)) from None
        name = f"sirend-{self._view.setup.site}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.{kind}"
        headers = {"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{name}"'}
        return web.Response(text=text, content_type=EXPORTS[kind], headers=headers)

    async def _test(self, _request: web.Request) -> web.Response:
        """Begin a self-test; its result comes by the stream."""
        from aiohttp import web  # noqa: PLC0415

        refusal = self._runner.ask()
        if refusal is not None:
            raise web.HTTPTooManyRequests(text=refusal)
        return web.Response(status=202, text="The self-test has begun.")


def _quiet() -> logging.Logger:
    """Return a log for aiohttp's server without what is wrong with the requests of others: they are told so."""
    log = logging.getLogger("sirend.web.http")
    log.addFilter(_is_no_refusal)
    return log


def _is_no_refusal(record: logging.LogRecord) -> bool:
    from aiohttp import web  # noqa: PLC0415
    from aiohttp.http import HttpProcessingError  # noqa: PLC0415

    refusals = (HttpProcessingError, web.RequestPayloadError)
    return record.exc_info is None or not isinstance(record.exc_info[1], refusals)


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


def exported(journal: Path, since: datetime, kind: str) -> str:
    """Return the events of ``journal`` from ``since`` on as ``csv``, or as ``json``: an array of them, unsigned."""
    wanted = journal_reader.Wanted(since=since)
    chosen = [event for event in journal_reader.read_events(journal, []) if wanted.includes(event)]
    if kind == "json":
        return json.dumps([{key: value for key, value in event.items() if key != "sig"} for event in chosen], indent=1)
    file = io.StringIO()
    journal_reader.write_csv(chosen, file)
    return file.getvalue()


async def _asset(request: web.Request) -> web.Response:
    from aiohttp import web  # noqa: PLC0415

    name, kind = ASSETS[request.path]
    text = resources.files("sirend").joinpath("web", "page", name).read_text(encoding="utf-8")
    return web.Response(text=text, content_type=kind, headers={"Cache-Control": "no-cache"})
