"""Applications on listening sockets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import anyio
from aiohttp import web
from anyio.abc import SocketAttribute

from thumbq.errors import Problem, SetupError
from thumbq.web.connection import Connection
from thumbq.web.connections import Acceptor, Connections
from thumbq.web.door import DOOR
from thumbq.web.services import SERVICES, UPLOADS

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from thumbq.web.cors import Origins

_BACKLOG: Final = 1024
"""How many clients the system keeps until they are accepted; it may have a lower limit."""


class BoundedServer:
    """Serves an application from ``start`` to ``close``, over no more connections than these may be."""

    def __init__(
        self, app: web.Application, connections: Connections, origins: Origins, *, shutdown_timeout_s: float
    ) -> None:
        self._runner = web.AppRunner(app, shutdown_timeout=shutdown_timeout_s)
        self._connections = connections
        self._origins = origins
        self._listening: Sequence[socket.socket] = ()
        self._accepting: list[asyncio.Task[None]] = []

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes a free one. Raises OSError; ``close`` is due also then."""
        await self._runner.setup()
        listeners = await anyio.create_tcp_listener(local_host=host, local_port=port, backlog=_BACKLOG)
        self._listening = [each.extra(SocketAttribute.raw_socket) for each in listeners.listeners]  # noqa: S610 - anyio's
        for listening in self._listening:
            acceptor = Acceptor(listening, self._connections, self._connect)
            self._accepting.append(asyncio.create_task(acceptor.run()))

    @property
    def address(self) -> tuple[str, int]:
        """The first address that is listened on."""
        host, port = self._listening[0].getsockname()[:2]
        return host, port

    async def watch(self) -> None:
        """Wait while it accepts connections. Raises what has ended that."""
        await asyncio.gather(*map(asyncio.shield, self._accepting))

    async def stop_listening(self) -> None:
        """Accept no more connections."""
        for accepting in self._accepting:
            accepting.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        for listening in self._listening:
            listening.close()

    async def close(self) -> None:
        """Stop listening, let open requests be answered until the shutdown's time-out, and close the connections."""
        await self.stop_listening()
        await self._runner.cleanup()

    def _connect(self) -> Connection:
        server = self._runner.server
        assert server is not None
        return Connection(server, self._connections, self._origins, loop=asyncio.get_running_loop(), access_log=None)


class HttpServer(BoundedServer):
    """Serves thumbq's application."""

    def __init__(self, app: web.Application, *, shutdown_timeout_s: float, max_connections: int) -> None:
        connections = Connections(max_connections, app[UPLOADS].end_slowest)
        super().__init__(app, connections, app[DOOR].origins, shutdown_timeout_s=shutdown_timeout_s)
        self._app = app

    async def listen(self, host: str, port: int) -> None:
        """Start. Raises SetupError when the address cannot be had."""
        try:
            await self.start(host, port)
        except OSError as error:
            problem = Problem(f"cannot listen on {host}:{port}: {error.strerror}", "choose another --port or --host")
            raise SetupError([problem]) from error

    @property
    def url(self) -> str:
        """What clients on this machine reach it by."""
        host, port = self.address
        reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - what to connect to
        return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"

    def answer_waiting(self) -> None:
        """Answer all requests that wait for news, and every later one, at once."""
        self._app[SERVICES].waiters.stop()

    def cut_off_uploads(self) -> None:
        """Answer every upload that still waits for its client's bytes, and every later one, with 503.

        Files that are complete are still stored and queued, and their uploads answered.
        """
        self._app[UPLOADS].cut_off()

    async def shut_down(self, *, by: float, cut_off_uploads_at: float) -> None:
        """Let open requests be answered; uploads whose bytes still come near the end are told to come again.

        The times are the event loop's.
        """

        async def cut_off() -> None:
            await anyio.sleep_until(cut_off_uploads_at)
            self.cut_off_uploads()

        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(cut_off)
                with anyio.move_on_at(by):
                    await self.close()
                tasks.cancel_scope.cancel()

    async def close(self) -> None:
        """Close as any server; uploads come first: once aiohttp cleans up, it reads no more of a body."""
        await self.stop_listening()
        await self._app[UPLOADS].idle()
        await super().close()
