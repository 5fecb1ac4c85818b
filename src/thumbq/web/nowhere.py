"""Addresses and methods that there are not: their clients are not invited to send a body.

aiohttp answers ``Expect: 100-continue`` there before anybody has looked at the request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.web_urldispatcher import UrlMappingMatchInfo

from thumbq.web.bodies import expect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Router(web.UrlDispatcher):
    """aiohttp's own, but for what it does not find."""

    async def resolve(self, request: web.Request) -> UrlMappingMatchInfo:
        """Find what a request is for."""
        found = await super().resolve(request)
        return found if found.http_exception is None else _Nowhere(found)


class _Nowhere(UrlMappingMatchInfo):
    """404 or 405."""

    def __init__(self, found: UrlMappingMatchInfo) -> None:
        super().__init__({}, found.route)
        self._failure = found.http_exception

    @property
    def http_exception(self) -> web.HTTPException | None:
        return self._failure

    @property
    def expect_handler(self) -> Callable[[web.Request], Awaitable[web.StreamResponse | None]]:
        return expect
