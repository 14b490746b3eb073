"""Who may see the page: a token where one is set, a session for browsers, and no stranger's page in between."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import secrets
from collections import deque
from http.cookies import CookieError
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp import web

COOKIE = "sirend"
SESSIONS = 32
"""The oldest make room."""
SESSION_S = 12 * 3600
"""A working day."""
GUESS_S = 1.0
"""All wrong tokens together are answered at this pace."""
MOST_GUESSES = 20
"""Wrong tokens that may wait for their answer; more are refused at once."""
FORM = "application/x-www-form-urlencoded"
FIELDS = 8
BODY_S = 5.0
"""Within so long a form must have come."""
SAFE = ("GET", "HEAD")
"""Methods that change nothing."""
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer a browser would not say that a form is of this page
}
LOGIN = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>sirend: token</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/page.css"></head>
<body><main class="login"><h1>sirend</h1>
<form method="post" action="/login"><label for="token">Token of this site</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Open</button><p role="alert">{problem}</p></form></main></body></html>
"""


class Gate:
    """Lets in who knows the token. Without a token, only this machine can reach the page."""

    def __init__(self, token: bytes | None, *, is_encrypted: bool) -> None:
        """Ask for ``token``, or for nothing when it is None."""
        self._token = token
        self._is_encrypted = is_encrypted
        self._sessions: deque[str] = deque(maxlen=SESSIONS)
        self._guesses = 0
        self._guessing = asyncio.Lock()

    @property
    def guard(self) -> Callable[..., Awaitable[web.StreamResponse]]:
        """The middleware that every request passes."""
        from aiohttp import web  # noqa: PLC0415  an extra

        @web.middleware
        async def middleware(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            host = request.headers.get("Host", "")  # `request.host` would look a missing one up in the DNS
            if self._token is None and not is_loopback_host(host):
                # A name that leads to this machine but is not its own: a page elsewhere reaches in through the browser.
                raise web.HTTPForbidden(text="open this page as localhost")
            if request.method not in SAFE and not is_of_this_page(request.headers, host):
                raise web.HTTPForbidden(text="this request comes from another page")
            if request.path not in ("/login", "/page.css") and not await self._knows(request):
                if request.path == "/":
                    raise web.HTTPSeeOther("/login")
                raise web.HTTPUnauthorized(text="the token is missing or wrong")
            return await handler(request)

        return middleware

    async def _knows(self, request: web.Request) -> bool:
        """Return whether the request carries the token or the session of someone who gave it."""
        if self._token is None:
            return True
        cookie = raw(session_of(request))
        if any(hmac.compare_digest(cookie, session.encode()) for session in self._sessions):
            return True
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        return kind.lower() == "bearer" and await self._is_right(given)

    async def _is_right(self, given: str) -> bool:
        """Return whether ``given`` is the token; a wrong one has to wait for the answer."""
        if self._token is None or hmac.compare_digest(raw(given), self._token):
            return True
        if self._guesses < MOST_GUESSES:
            self._guesses += 1
            try:
                async with self._guessing:
                    await asyncio.sleep(GUESS_S)
            finally:
                self._guesses -= 1
        return False

    async def ask(self, _request: web.Request) -> web.Response:
        """Show the form."""
        return self._form("", 200)

    async def admit(self, request: web.Request) -> web.Response:
        """Take the form: the right token opens a session."""
        from aiohttp import web  # noqa: PLC0415

        given = await token_in(request)
        if given is None:
            raise web.HTTPBadRequest(text="this is not the form of the page")
        if not await self._is_right(given.strip()):
            return self._form("That is not the token. It stands in the file that web.token_file names.", 401)
        session = secrets.token_urlsafe(32)
        self._sessions.append(session)
        answer = web.Response(status=303, headers={"Location": "/"})
        answer.set_cookie(
            COOKIE, session, max_age=SESSION_S, httponly=True, samesite="Strict", secure=self._is_encrypted
        )
        return answer

    def _form(self, problem: str, status: int) -> web.Response:
        from aiohttp import web  # noqa: PLC0415

        return web.Response(text=LOGIN.format(problem=problem), content_type="text/html", status=status)


def raw(text: str) -> bytes:
    """Return the bytes of a header's text, which need not be text."""
    return text.encode("utf-8", "surrogateescape")


def session_of(request: web.Request) -> str:
    """Return the session that a request carries, or an empty text; a cookie that cannot be read is none."""
    try:
        return request.cookies.get(COOKIE, "")
    except (CookieError, ValueError, KeyError):
        return ""


async def token_in(request: web.Request) -> str | None:
    """Return the token in the form that the page sends, or None when the request's body is no such form."""
    form = await form_in(request)
    return None if form is None else form.get("token", "")


async def form_in(request: web.Request) -> dict[str, str] | None:
    """Return the form that the page sends, of each name the first, or None when the request's body is no such form."""
    from aiohttp import web  # noqa: PLC0415

    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != FORM:
        return None
    try:
        body = await asyncio.wait_for(request.read(), BODY_S)
        return {name: said[0] for name, said in parse_qs(body.decode(), max_num_fields=FIELDS).items()}
    except web.HTTPException:
        raise  # too large
    except Exception:  # noqa: BLE001  whatever a body can be: cut off, compressed wrongly, no UTF-8
        return None


async def harden(_request: web.Request, response: web.StreamResponse) -> None:
    """Forbid a browser what this page never does."""
    response.headers.update(HEADERS)


def is_of_this_page(headers: Mapping[str, str], host: str) -> bool:
    """Return whether a request to ``host`` was sent by its own page, or by no page at all.

    Browsers name the page that sends a request, with ``Origin`` whenever it changes something, and what is no browser
    has no session of somebody else to misuse.
    """
    origin = headers.get("Origin")
    try:
        is_own = origin is None or urlsplit(origin).netloc == host
    except ValueError:  # no address at all
        is_own = False
    return is_own and headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")


def is_loopback_host(host: str) -> bool:
    """Return whether a Host header names this machine itself."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
