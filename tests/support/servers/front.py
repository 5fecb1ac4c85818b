"""What stands between a browser and thumbq: a page of its own, and a proxy that loses answers and counts requests."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.typedefs import Handler

_OF_ONE_HOP: Final = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect", "content-encoding"}


class Front:
    """Passes all requests on to ``target``, and keeps the method, the path and the answer's status of each.

    The answers to the next requests that are among ``lost`` never arrive, though these are carried out.
    """

    def __init__(self, target: str, session: aiohttp.ClientSession) -> None:
        self.asked: list[tuple[str, str, int]] = []
        self.lost: list[tuple[str, str]] = []
        self._target = target
        self._session = session

    def statuses(self, method: str, path: str) -> list[int]:
        """Return the statuses of all requests of this kind."""
        return [status for asked, at, status in self.asked if (asked, at) == (method, path)]

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OF_ONE_HOP}
        async with self._session.request(
            request.method,
            self._target + request.raw_path,
            headers=headers,
            data=await request.read() or None,
            allow_redirects=False,
        ) as answer:
            body = await answer.read()
        self.asked.append((request.method, request.path, answer.status))
        if (request.method, request.path) in self.lost:
            self.lost.remove((request.method, request.path))
            assert request.transport is not None
            request.transport.abort()
        kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in _OF_ONE_HOP]
        passed_on = web.Response(status=answer.status, body=body)
        passed_on.headers.extend(kept)
        return passed_on


@asynccontextmanager
async def front(target: str) -> AsyncIterator[tuple[Front, str]]:
    """Serve a Front on loopback; yield it and its address."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        made = Front(target, session)
        async with _served(made.handle) as port:
            yield made, f"http://127.0.0.1:{port}"


@asynccontextmanager
async def empty_page() -> AsyncIterator[int]:
    """Serve an empty page on loopback at any path; yield the port."""

    async def page(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="<!doctype html><title>Another site</title>", content_type="text/html")

    async with _served(page) as port:
        yield port


@asynccontextmanager
async def _served(handler: Handler) -> AsyncIterator[int]:
    runner = web.ServerRunner(web.Server(handler, access_log=None), shutdown_timeout=0.1)  # type: ignore[arg-type]
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
