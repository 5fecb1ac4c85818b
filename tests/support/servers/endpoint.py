"""Endpoints of callbacks: real servers on loopback."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from support.processes import loopback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LOOPBACK = (sys.executable, loopback.__file__)
"""The program in place of ``thumbq`` that may call them."""


class Endpoint:
    """Answers calls by the statuses that it is given, then 204 for ever, and keeps what was posted."""

    def __init__(self, *statuses: int) -> None:
        self.calls: list[tuple[dict[str, str], bytes]] = []
        self.url = ""
        self._statuses = list(statuses)

    async def take(self, request: web.Request) -> web.Response:
        self.calls.append((dict(request.headers), await request.read()))
        return web.Response(status=self._statuses.pop(0) if self._statuses else 204)


@asynccontextmanager
async def listening(*statuses: int) -> AsyncIterator[Endpoint]:
    endpoint = Endpoint(*statuses)
    app = web.Application()
    app.router.add_post("/", endpoint.take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        endpoint.url = f"http://localhost:{runner.addresses[0][1]}/"
        yield endpoint
    finally:
        await runner.cleanup()


def write_table(file: Path, url: str) -> None:
    """Write settings with which every outcome is told of at this address."""
    port = url.rpartition(":")[2].strip("/")
    file.write_text(f'[webhooks]\nhosts = ["localhost"]\nports = [{port}]\nallow_http = true\nurl = "{url}"\n')
