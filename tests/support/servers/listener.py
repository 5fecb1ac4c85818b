"""A listening socket that notes who comes, and says the same to everybody."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Sequence

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass
class Listener:
    """``said`` is what each connection gets, in pieces with a pause after each; None: it is closed without a word.

    ``reached`` has the own address of each connection, ``requests`` the head of each request, ``names`` the server name
    of each TLS handshake.
    """

    said: Sequence[bytes] | None
    pause_s: float
    greeting: bytes
    port: int = 0
    reached: list[str] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    _ending: asyncio.Event = field(default_factory=asyncio.Event)
    _connections: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections[writer] = asyncio.current_task()
        self.reached.append(writer.get_extra_info("sockname")[0])
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):  # the other side may go
            writer.write(self.greeting)
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            for piece in self.said or ():
                writer.write(piece)
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), self.pause_s)
        writer.close()

    async def end(self) -> None:
        self._ending.set()
        for writer in self._connections:
            writer.close()
        await asyncio.gather(*filter(None, self._connections.values()))


@asynccontextmanager
async def listener(
    said: Sequence[bytes] | None = (NO_CONTENT,),
    *,
    pause_s: float = 0.0,
    greeting: bytes = b"",
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Listener]:
    """Listen on all addresses of this machine."""
    found = Listener(said, pause_s, greeting)
    if tls is not None:
        tls.sni_callback = lambda _, name, __: found.names.append(name)
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    opened = socket.create_server(("", 0), family=family, dualstack_ipv6=dual, backlog=128)
    found.port = opened.getsockname()[1]
    async with await asyncio.start_server(found.serve, sock=opened, ssl=tls):
        yield found
        await found.end()
