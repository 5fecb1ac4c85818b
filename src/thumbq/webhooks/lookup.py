"""Looking up the hosts of endpoints, each in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

if TYPE_CHECKING:
    from collections.abc import Sequence

_NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
_WITH_ZONE: Final = 4


class Lookup(AbstractResolver):
    """Asks the system each time: nothing is kept.

    A look-up cannot be ended, and a dead name server holds it for half a minute. In the event loop's threads, of which
    there are a handful, it would hold up those of other endpoints and of S3, and the end of the process.
    """

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return all addresses of a host. Raises OSError."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Sequence[Any] | OSError] = loop.create_future()

        def look_up() -> None:
            answer: Sequence[Any] | OSError
            try:
                answer = socket.getaddrinfo(
                    host.encode(), port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
                )
            except OSError as error:
                answer = error
            with suppress(RuntimeError):  # the event loop is closed already
                loop.call_soon_threadsafe(_end, ended, answer)

        Thread(target=look_up, name=f"lookup of {host}", daemon=True).start()
        answer = await ended
        if isinstance(answer, OSError):
            raise answer
        return [_result(host, port, address) for *_, address in answer]

    async def close(self) -> None:
        """There is nothing to close."""


def _end(ended: asyncio.Future[Sequence[Any] | OSError], answer: Sequence[Any] | OSError) -> None:
    if not ended.done():
        ended.set_result(answer)


def _result(host: str, port: int, address: Sequence[Any]) -> ResolveResult:
    """Return an address in aiohttp's form, with its zone if it has one."""
    zone = f"%{address[3]}" if len(address) == _WITH_ZONE and address[3] else ""
    return ResolveResult(
        hostname=host,
        host=f"{address[0]}{zone}",
        port=port,
        family=socket.AF_INET6 if ":" in address[0] else socket.AF_INET,
        proto=socket.IPPROTO_TCP,
        flags=_NUMERIC,
    )
