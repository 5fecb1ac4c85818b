"""What bounds the work of a replica: jobs in flight, and bytes of originals in memory."""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Slots:
    """Places for jobs in flight: ``total``, but only ``first`` until one job has ended.

    Each death of a replica costs everything that it holds a receive: one that dies of the first job that it begins,
    again and again, takes few messages along.
    """

    def __init__(self, total: int, *, first: int) -> None:
        self.total = total
        self._first = min(first, total)
        self._taken = 0
        self._proven = False
        self._freed = anyio.Event()

    @property
    def open(self) -> int:
        """How many places there are now."""
        return self.total if self._proven else self._first

    @property
    def free(self) -> int:
        """How many of them are free."""
        return self.open - self._taken

    @property
    def idle(self) -> bool:
        """Whether no job is in flight."""
        return not self._taken

    def take(self) -> None:
        """Take a free place."""
        self._taken += 1

    def give_back(self) -> None:
        """Give a place back after a job has ended."""
        self._taken -= 1
        self._proven = True
        self.wake()

    def wake(self) -> None:
        """End a wait."""
        self._freed.set()

    async def wait(self, at_most_s: float) -> None:
        """Wait until a place is given back (or ``wake`` is called), at most so long."""
        self._freed = anyio.Event()
        with anyio.move_on_after(at_most_s):
            await self._freed.wait()


class ByteBudget:
    """Bytes of originals that may be in memory at once. First come, first served, so that a large one gets its turn."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._free = total
        self._waiting: deque[tuple[int, anyio.Event]] = deque()

    @asynccontextmanager
    async def reserve(self, size: int) -> AsyncIterator[None]:
        """Hold so many bytes; what is larger than the whole budget holds all of it."""
        size = min(size, self.total)
        await self._take(size)
        try:
            yield
        finally:
            self._free += size
            self._grant()

    async def _take(self, size: int) -> None:
        entry = (size, anyio.Event())
        self._waiting.append(entry)
        self._grant()
        try:
            await entry[1].wait()
        except BaseException:
            if entry[1].is_set():
                self._free += size
            else:
                self._waiting.remove(entry)
            self._grant()
            raise

    def _grant(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            size, granted = self._waiting.popleft()
            self._free -= size
            granted.set()
