"""What bounds the work of a replica: jobs in flight, and bytes of originals in memory."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.core.fairness import ONE_QUEUE, Waiting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_ANSWER_S: Final = 0.5
"""How long a receive takes, as a rule, that finds what it asks for there already."""


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


class Backlogs:
    """Which queues have more messages than a replica can take.

    Without weights, what comes after such a queue receives nothing: else its jobs would use up the way to the store and
    the processes in every moment in which the urgent ones have none that waits for them. With weights nobody waits.
    """

    def __init__(self, queues: Mapping[str, int | None] = ONE_QUEUE) -> None:
        self._ranks = {queue: rank for rank, (queue, weight) in enumerate(queues.items()) if weight is None}
        self._until: dict[str, float] = {}

    def asks(self, queue: str) -> None:
        """Note that a receive begins. One that is not answered soon finds the queue empty."""
        if queue in self._until:
            self._until[queue] = anyio.current_time() + _ANSWER_S

    def answered(self, queue: str, *, full: bool) -> None:
        """Note whether a receive has found all that it asked for: then there is more, as a rule."""
        if full:
            self._until[queue] = math.inf
        else:
            self._until.pop(queue, None)

    def hold_up(self, queue: str) -> bool:
        """Whether a queue that comes before this one has more than it can take."""
        rank, now = self._ranks.get(queue), anyio.current_time()
        if rank is None:
            return False
        return any(self._ranks.get(other, rank) < rank and now < until for other, until in self._until.items())


class ByteBudget:
    """Bytes of originals that may be in memory at once.

    When there is no room, ``queues`` say whose turn is next, and until there is room for that one, nobody has: so a
    large one gets its turn, too. With several queues each has a part that the others cannot take: jobs that wait for a
    render in one queue never keep those of another from being fetched.
    """

    def __init__(self, total: int, queues: Mapping[str, int | None] = ONE_QUEUE) -> None:
        self._free = total
        self._own = total // (4 * len(queues)) if len(queues) > 1 else 0
        self._most = total - self._own * (len(queues) - 1)
        self._queues = tuple(queues)
        self._held = Counter[str]()
        self._waiting: Waiting[tuple[int, anyio.Event]] = Waiting(queues)

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
        """Return the queue that has the turn, if there is room; else another one that has not used up its own part."""
        queues = self._waiting.queues()
        if queues and self._has_room(queues[0]):
            return queues[0]
        return next((queue for queue in queues if self._is_within_own(queue)), None)

    def _has_room(self, queue: str) -> bool:
        kept = sum(max(0, self._own - self._held[other]) for other in self._queues if other != queue)
        return self._waiting.first(queue)[0] <= self._free - kept

    def _is_within_own(self, queue: str) -> bool:
        return queue in self._queues and self._held[queue] + self._waiting.first(queue)[0] <= self._own
