"""A small page on this machine to listen to what was nearly called, and to say with three keys what it was."""

from __future__ import annotations

import importlib.util
from contextlib import suppress
from importlib import resources
from typing import TYPE_CHECKING

from sirend.errors import DeviceError, InputError, UsageError
from sirend.evidence.street_set import LABELS, REVIEW
from sirend.web.auth import form_in, harden, is_loopback_host, is_of_this_page

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from sirend.evidence.street_set import StreetSet

HOST = "127.0.0.1"
ASSETS = {
    "/": ("review.html", "text/html"),
    "/review.js": ("review.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}


def require_web() -> None:
    """Raise ``UsageError`` when the extra is not installed."""
    if importlib.util.find_spec("aiohttp") is None:
        raise UsageError("the review page needs aiohttp: sudo make install EXTRAS=web, or make venv EXTRAS=web")


async def serve(street: StreetSet, port: int, stop: asyncio.Event, told: Callable[[str], None]) -> None:
    """Serve the page for ``street`` until ``stop``; ``told`` gets its address. Only this machine reaches it.

    Raises ``DeviceError`` when the port cannot be had.
    """
    from aiohttp import web  # noqa: PLC0415  an extra

    desk = Desk(street)
    app = web.Application(middlewares=[_guard()], client_max_size=4096)
    app.on_response_prepare.append(harden)
    for path in ASSETS:
        app.router.add_get(path, _asset)
    app.router.add_get("/api/clips", desk.clips)
    app.router.add_get("/api/sound", desk.sound)
    app.router.add_post("/api/label", desk.label)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        told(f"http://{HOST}:{port}/")
        await stop.wait()
    except OSError as error:
        raise DeviceError(f"{HOST}:{port} cannot be listened on: {error.strerror}; name another --port") from error
    finally:
        await runner.cleanup()


class Desk:
    """Where clips are handed out and labels come back."""

    def __init__(self, street: StreetSet) -> None:
        """Label the clips of ``street``."""
        self._street = street

    async def clips(self, _request: web.Request) -> web.Response:
        """List what waits."""
        from aiohttp import web  # noqa: PLC0415

        with suppress(InputError):  # what was there before still can be heard; labelling tells
            self._street.read()
        waiting = [row for row in self._street.rows if row["class"] == REVIEW]
        return web.json_response([{key: row[key] for key in ("path", "group", "seconds", "score")} for row in waiting])

    async def sound(self, request: web.Request) -> web.StreamResponse:
        """Send the sound of a clip."""
        from aiohttp import web  # noqa: PLC0415

        path = self._street.sound(request.query.get("path", ""))
        if path is None or not path.is_file():
            raise web.HTTPNotFound(text="there is no such clip")
        return web.FileResponse(path, headers={"Cache-Control": "no-store", "Content-Type": "audio/flac"})

    async def label(self, request: web.Request) -> web.Response:
        """Take what a clip was said to be."""
        from aiohttp import web  # noqa: PLC0415

        said = await form_in(request) or {}
        path, kind = said.get("path", ""), said.get("class", "")
        try:
            is_kept = kind in LABELS and self._street.label(path, kind)
        except (OSError, InputError) as error:
            raise web.HTTPServiceUnavailable(text=f"the label cannot be kept: {error}") from error
        if not is_kept:
            raise web.HTTPBadRequest(text=f"path names a clip, class is one of {', '.join(LABELS)}")
        return web.Response(text="kept")


def _guard() -> Callable[..., Awaitable[web.StreamResponse]]:
    """Return the middleware that lets in this machine's own page only."""
    from aiohttp import web  # noqa: PLC0415

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if not is_loopback_host(request.host) or not is_of_this_page(request.headers, request.host):
            raise web.HTTPForbidden(text="open this page as localhost")
        return await handler(request)

    return guard


async def _asset(request: web.Request) -> web.Response:
    from aiohttp import web  # noqa: PLC0415

    name, kind = ASSETS[request.path]
    text = resources.files("sirend").joinpath("web", "page", name).read_text(encoding="utf-8")
    return web.Response(text=text, content_type=kind, headers={"Cache-Control": "no-cache"})
