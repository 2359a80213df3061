"""Who may come in: the secret of the page's address, the addresses of the page itself, and one page at a time.

trame's own secret is the same for everybody who does not choose one, and no origin is checked; a page of another site
could reach a server on this computer. Here every request, websocket included, needs the cookie that the page's
address with its secret sets, and comes from the page's own address. The cookie goes to this site only
(`SameSite=Strict`) and is hidden from scripts.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Callable
from urllib.parse import urlsplit

from aiohttp import web

CONTENT = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' ws: wss: blob:; worker-src 'self' blob:; "
    "frame-ancestors 'none'; base-uri 'self'; form-action 'none'"
)  # Vue compiles templates in the page, which takes unsafe-eval
HEADERS = {
    "Content-Security-Policy": CONTENT,
    "Referrer-Policy": "no-referrer",  # the secret stays in no log of another site
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
SECRET_HEADER = "X-FetalPose-Secret"  # set by a proxy that has checked who the person is
LEAVE_S = 3.0  # a page that is loaded again may connect before its former connection has ended
NO_SECRET = "This page needs the whole address that 'fetalpose web' printed, with its secret. Copy it once more."
NO_ORIGIN = "This request comes from another site ({origin}). Start the server with --origin if it is yours."
NO_HOST = "This server is not known as '{host}'. Start it with --origin and that address if it should be."
BUSY = "This session is open in another tab or window. Close that one, or go on here; the other one then ends."


def new_secret() -> str:
    """A secret that nobody guesses: 256 random bits."""
    return secrets.token_urlsafe(32)


class Guard:
    """Decides about each request, as a middleware of aiohttp.

    Parameters
    ----------
    secret : of the page's address.
    origins : further addresses of the page, such as the one of a proxy.
    is_local : whether the server listens on this computer only; then it is known by no other name.

    Attributes
    ----------
    on_open, on_close : callable
        Called when a page has connected, and when it has gone.
    """

    def __init__(self, secret: str, origins: tuple[str, ...] = (), *, is_local: bool = True):
        self.secret, self.is_local = secret, is_local
        self.origins = {origin.rstrip("/").lower() for origin in origins}
        self.hosts = {urlsplit(origin).netloc for origin in self.origins}
        self.cookie = f"fetalpose-{secrets.token_hex(4)}"  # cookies know no ports: two servers need two names
        self.on_open: Callable[[], object] = lambda: None
        self.on_close: Callable[[], object] = lambda: None
        self._page: web.Request | None = None  # the websocket that is open
        self._free = asyncio.Event()
        self._free.set()

    @property
    def is_open(self) -> bool:
        """Whether a page is connected."""
        return self._page is not None

    def middleware(self):
        """For the list of an aiohttp application."""

        @web.middleware
        async def check(request: web.Request, handler):
            response = await self._answer(request, handler)
            if not response.prepared:  # a websocket and a stream have sent their headers
                response.headers.update({name: value for name, value in HEADERS.items()})
            return response

        return check

    async def free(self) -> bool:
        """Whether no page is connected, after waiting `LEAVE_S` for one that is about to go."""
        try:
            await asyncio.wait_for(self._free.wait(), LEAVE_S)
        except TimeoutError:
            return False
        return True

    async def take(self) -> None:
        """End the connection of the page that is open."""
        if self._page is not None and self._page.transport is not None:
            self._page.transport.abort()
        await self.free()

    async def _answer(self, request: web.Request, handler) -> web.StreamResponse:
        refusal = self._refusal(request)
        if refusal:
            return web.Response(status=403, text=refusal)
        if request.path == "/ws":
            return await self._websocket(request, handler)
        if request.path == "/index.html" and "secret" not in request.query:  # loaded again: ask whether it is free
            raise web.HTTPFound("./")
        try:
            response = await handler(request)
        except web.HTTPException as exception:
            response = web.Response(status=exception.status, text=exception.reason, headers=_location(exception))
        if self._knows(request.query.get("secret")):
            secure = request.headers.get("X-Forwarded-Proto", request.scheme) == "https"
            response.set_cookie(self.cookie, self.secret, httponly=True, samesite="Strict", secure=secure, path="/")
        return response

    def _refusal(self, request: web.Request) -> str:
        """Why a request is refused, "" where it is not."""
        host = request.headers.get("Host", "").lower()
        name = (urlsplit(f"//{host}").hostname or "").lower()
        if self.is_local and host not in self.hosts and name not in ("127.0.0.1", "localhost", "::1"):
            return NO_HOST.format(host=host[:100])
        origin = request.headers.get("Origin", "").lower()
        if origin and origin not in self.origins and urlsplit(origin).netloc != host:
            return NO_ORIGIN.format(origin=origin[:100])
        if request.path == "/ws" and not origin:
            return NO_ORIGIN.format(origin="no origin was sent")
        given = (request.cookies.get(self.cookie), request.query.get("secret"), request.headers.get(SECRET_HEADER))
        if not any(self._knows(secret) for secret in given):
            return NO_SECRET
        return ""

    def _knows(self, given: str | None) -> bool:
        return given is not None and hmac.compare_digest(given.encode(), self.secret.encode())

    async def _websocket(self, request: web.Request, handler) -> web.StreamResponse:
        """Let one page connect; its handler returns when it has gone."""
        if not await self.free() or self.is_open:  # another one may have waited, too
            return web.Response(status=409, text=BUSY)
        self._page = request
        self._free.clear()
        self.on_open()
        try:
            return await handler(request)
        finally:
            self._page = None
            self._free.set()
            self.on_close()


def _location(exception: web.HTTPException) -> dict[str, str]:
    return {"Location": exception.headers["Location"]} if "Location" in exception.headers else {}
