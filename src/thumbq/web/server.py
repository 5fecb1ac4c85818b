"""The application on a listening socket."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from thumbq.web.connection import Connection
from thumbq.web.services import UPLOADS

_BACKLOG: Final = 128


class HttpServer:
    """Serves an application from ``start`` to ``close``."""

    def __init__(self, app: web.Application, *, shutdown_timeout_s: float) -> None:
        self._app = app
        self._runner = web.AppRunner(app, shutdown_timeout=shutdown_timeout_s)
        self._listening: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes a free one. Raises OSError; ``close`` is due also then."""
        await self._runner.setup()
        self._listening = await asyncio.get_running_loop().create_server(self._connect, host, port, backlog=_BACKLOG)

    @property
    def address(self) -> tuple[str, int]:
        """The first address that is listened on."""
        assert self._listening is not None
        host, port = self._listening.sockets[0].getsockname()[:2]
        return host, port

    def cut_off_uploads(self) -> None:
        """Answer every upload that still waits for its client's bytes, and every later one, with 503.

        Files that are complete are still stored and queued, and their uploads answered.
        """
        self._app[UPLOADS].cut_off()

    async def close(self) -> None:
        """Stop listening, let open requests be answered until the shutdown's time-out, and close the connections.

        Uploads come first: once aiohttp cleans up, it reads no more of a body.
        """
        if self._listening is not None:
            self._listening.close()
        await self._app[UPLOADS].idle()
        await self._runner.cleanup()

    def _connect(self) -> Connection:
        server = self._runner.server
        assert server is not None
        return Connection(server, loop=asyncio.get_running_loop(), access_log=None)
