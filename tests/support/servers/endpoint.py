"""Endpoints of callbacks: real servers on loopback."""

from __future__ import annotations

import asyncio
import sys
import time
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
        self.times: list[float] = []
        self.url = ""
        self._statuses = list(statuses)

    async def take(self, request: web.Request) -> web.Response:
        self.times.append(time.time())
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


@asynccontextmanager
async def dead() -> AsyncIterator[str]:
    """Yield the URL of an endpoint that takes connections and never answers."""
    over = asyncio.Event()

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    async with server:
        yield f"http://localhost:{server.sockets[0].getsockname()[1]}/"
        over.set()


def write_table(file: Path, url: str, *others: str) -> None:
    """Write settings with which every outcome is told of at ``url``; ``others`` may be called, too."""
    ports = [int(each.rpartition(":")[2].strip("/")) for each in (url, *others)]
    file.write_text(f'[webhooks]\nhosts = ["localhost"]\nports = {ports}\nallow_http = true\nurl = "{url}"\n')
