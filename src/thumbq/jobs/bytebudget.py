"""The budget of bytes: how much of originals may be in memory at once."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from thumbq.core.fairness import ONE_QUEUE, Waiting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


class ByteBudget:
    """Bytes of originals that may be in memory at once.

    When there is no room, ``queues`` say which waiter is next, and none behind it is served first: so a large original
    is served too. With several queues each has a share that the others cannot take: jobs of one queue that wait for a
    render never keep those of another from being fetched.
    """

    def __init__(self, total: int, queues: Mapping[str, int | None] = ONE_QUEUE) -> None:
        self._free = total
        self._own = total // (4 * len(queues)) if len(queues) > 1 else 0
        self._most = total - self._own * (len(queues) - 1)
        self._queues = tuple(queues)
        self._held = Counter[str]()
        self._waiting: Waiting[tuple[int, anyio.Event]] = Waiting(queues)

    @property
    def held(self) -> int:
        """How many bytes are reserved."""
        return self._held.total()

    @asynccontextmanager
    async def reserve(self, size: int, queue: str = "") -> AsyncIterator[None]:
        """Hold so many bytes; what is larger than all that a queue can have holds all of that."""
        size = min(size, self._most)
        await self._take(size, queue)
        try:
            yield
        finally:
            self._give_back(size, queue)

    async def _take(self, size: int, queue: str) -> None:
        entry = (size, anyio.Event())
        self._waiting.add(queue, entry)
        self._grant()
        try:
            await entry[1].wait()
        except BaseException:
            if entry[1].is_set():
                self._give_back(size, queue)
            else:
                self._waiting.remove(queue, entry)
                self._grant()
            raise

    def _give_back(self, size: int, queue: str) -> None:
        self._free += size
        self._held[queue] -= size
        self._grant()

    def _grant(self) -> None:
        while (queue := self._next()) is not None:
            size, granted = self._waiting.take(queue)
            self._free -= size
            self._held[queue] += size
            granted.set()

    def _next(self) -> str | None:
        """Return the queue to serve next, if there is room; else another one that has not used up its own share."""
        queues = self._waiting.queues()
        if queues and self._has_room(queues[0]):
            return queues[0]
        return next((queue for queue in queues if self._is_within_own(queue)), None)

    def _has_room(self, queue: str) -> bool:
        kept = sum(max(0, self._own - self._held[other]) for other in self._queues if other != queue)
        return self._waiting.first(queue)[0] <= self._free - kept

    def _is_within_own(self, queue: str) -> bool:
        return queue in self._queues and self._held[queue] + self._waiting.first(queue)[0] <= self._own
