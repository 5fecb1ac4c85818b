"""A proxy in front of a replica, at a path of its own. The replica behind it may change, or be none at all."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp import web

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

PATH: Final = "/pictures"
_OF_ONE_HOP: Final = {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "host"}


class Front:
    """Passes requests below PATH on to ``target``, without it."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.address = ""
        self.target: str | None = None
        self.astray: list[str] = []
        """Requests for anything beside PATH."""
        self.left_out: set[str] = set()
        """Names of headers of answers, in lower case, that are not passed on."""
        self._session = session

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path.removeprefix(PATH)
        if path == request.raw_path:
            self.astray.append(path)
            return web.Response(status=404)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OF_ONE_HOP}
        # As a proxy on this machine should: the door compares it with the origin of the page.
        headers["Host"] = request.host
        headers["X-Forwarded-Proto"] = request.scheme
        body = await request.read()
        try:
            if self.target is None:
                raise aiohttp.ClientConnectionError  # noqa: TRY301
            async with self._session.request(request.method, self.target + path, headers=headers, data=body) as answer:
                content = await answer.read()
        except aiohttp.ClientConnectionError:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        passed_on = web.Response(status=answer.status, body=content)
        passed_on.headers.extend(
            (name, value) for name, value in answer.headers.items() if name.lower() not in _OF_ONE_HOP | self.left_out
        )
        return passed_on


@asynccontextmanager
async def front(*, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[Front]:
    """Serve a Front on loopback, which browsers know by the name ``host``."""
    async with aiohttp.ClientSession(skip_auto_headers={"Content-Type"}) as session:
        made = Front(session)
        server = web.Server(made.handle, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
            made.address = f"{'http' if tls is None else 'https'}://{host}:{runner.addresses[0][1]}{PATH}"
            yield made
        finally:
            await runner.cleanup()
