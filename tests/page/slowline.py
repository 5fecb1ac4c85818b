"""A slow line to a replica. Chromium's own emulation of one loses answers that come before all of a body is sent."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PIECE: Final = 16 << 10


@asynccontextmanager
async def slow_line(url: str, bytes_per_s: float) -> AsyncIterator[str]:
    """Pass connections on to what is at ``url``, each with so many bytes a second to it; return the line's address."""
    target = urlsplit(url)

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter, s_per_byte: float) -> None:
        with contextlib.suppress(OSError), contextlib.closing(sink):
            while piece := await source.read(PIECE):
                sink.write(piece)
                await sink.drain()
                await asyncio.sleep(len(piece) * s_per_byte)

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(target.hostname, target.port)
        await asyncio.gather(copy(reader, back, 1 / bytes_per_s), copy(there, writer, 0))

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0, limit=PIECE)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
