"""The connections of one process: no more than there are descriptors for, and none kept out by one that is silent."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

import anyio

from thumbq.web.tally import Tally

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

AT_ONCE: Final = 16
"""How many connections are accepted in one turn of the loop, and so may be there for a moment beyond the bound."""

_SETTLED_S: Final = 1.0
_RETRY_S: Final = 0.5


class Closable(Protocol):
    """A connection, as far as it is counted."""

    def drop(self) -> None:
        """Close it at once."""


class Connections:
    """Counts connections, and knows which of them wait for their clients, the longest first.

    Those that linger have had their last answer, and stay only for a client that may still be sending.

    ``end_slowest_uploads`` has up to so many end that send too slowly, and says how many are ending.
    """

    def __init__(self, most: int, end_slowest_uploads: Callable[[int], int]) -> None:
        self._most = most
        self._end_slowest_uploads = end_slowest_uploads
        self._open: set[Closable] = set()
        self._waiting: dict[Closable, float] = {}
        self._lingering: dict[Closable, None] = {}
        self._may_close = asyncio.Event()
        self._dropped = Tally("connections.dropped")
        self.late_heads = Tally("connections.late_heads")

    def __len__(self) -> int:
        return len(self._open)

    def opened(self, connection: Closable) -> None:
        """Count a new connection; it waits for its client."""
        self._open.add(connection)
        self.waits(connection)

    def waits(self, connection: Closable) -> None:
        """Note that from now on a connection waits for its client: to ask, or to take an answer."""
        if connection in self._open:
            self._waiting.pop(connection, None)
            self._waiting[connection] = asyncio.get_running_loop().time()

    def lingers(self, connection: Closable) -> None:
        """Note that a connection has had its last answer: it is the next that may go."""
        if connection in self._open:
            self._lingering[connection] = None
            self._may_close.set()

    def works(self, connection: Closable) -> None:
        """Note that a connection has a request."""
        self._waiting.pop(connection, None)
        self._lingering.pop(connection, None)

    def closed(self, connection: Closable) -> None:
        """Count a connection no longer."""
        self._open.discard(connection)
        self._waiting.pop(connection, None)
        self._lingering.pop(connection, None)
        self._may_close.set()

    async def room(self) -> int:
        """Wait until connections may be accepted, and return how many."""
        while (room := self._most + AT_ONCE - len(self._open)) <= 0:
            self._may_close.clear()
            self.trim()
            with anyio.move_on_after(_RETRY_S):
                await self._may_close.wait()
        return min(room, AT_ONCE)

    def trim(self) -> None:
        """Close connections down to the bound.

        First go those that linger, then those that wait the longest for their clients; before one that has just come an
        upload is ended that comes too slowly.
        """
        excess = len(self._open) - self._most
        settled = asyncio.get_running_loop().time() - _SETTLED_S
        while excess > 0 and (first := self._first(settled)) is not None:
            excess -= self._drop(first)
        if excess > 0:
            excess -= self._end_slowest_uploads(excess)
        while excess > 0 and (first := self._first(math.inf)) is not None:
            excess -= self._drop(first)

    def _first(self, since: float) -> Closable | None:
        """Return the connection that may go first, if it has waited since this time."""
        if self._lingering:
            return next(iter(self._lingering))
        first, waits_since = next(iter(self._waiting.items()), (None, math.inf))
        return first if waits_since <= since else None

    def _drop(self, connection: Closable) -> int:
        self._dropped.add()
        self.closed(connection)
        connection.drop()
        return 1


class Acceptor:
    """Accepts the connections of one listening socket; a shortage of descriptors makes it pause and not end."""

    def __init__(
        self, listening: socket.socket, connections: Connections, new: Callable[[], asyncio.BaseProtocol]
    ) -> None:
        self._listening = listening
        self._connections = connections
        self._new = new
        self._exhausted = Tally("connections.not_accepted", is_ours=True)

    async def run(self) -> None:
        """Accept until it is cancelled."""
        while True:
            room = await self._connections.room()
            try:
                accepted = await self._accept(room)
            except ConnectionError:  # the client has left already
                continue
            except OSError as error:
                self._exhausted.add(error=str(error))
                await anyio.sleep(_RETRY_S)
                continue
            await self._connect(accepted)
            self._connections.trim()

    async def _accept(self, room: int) -> list[socket.socket]:
        """Wait for a client, and take those that are there besides."""
        accepted = [(await asyncio.get_running_loop().sock_accept(self._listening))[0]]
        with suppress(OSError):
            while len(accepted) < room:
                client, _ = self._listening.accept()
                client.settimeout(0)
                accepted.append(client)
        return accepted

    async def _connect(self, accepted: list[socket.socket]) -> None:
        left = set(accepted)

        async def connect(client: socket.socket) -> None:
            left.discard(client)
            with suppress(OSError):  # it has reset the connection
                await asyncio.get_running_loop().connect_accepted_socket(self._new, client)

        try:
            await asyncio.gather(*map(connect, accepted))
        finally:
            for client in left:
                client.close()
