"""Who is served next when the jobs of several queues wait for the same thing: a render process, memory.

Without weights the queue that is listed first always comes first. With weights each queue is served in proportion to
its weight while others wait too: stride scheduling (Waldspurger and Weihl, "Stride Scheduling", 1995), in which a queue
that had nothing to do gets no credit for it. Inside a queue it is first come, first served.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

T = TypeVar("T")

ONE_QUEUE: Final[Mapping[str, int | None]] = {"": None}

BEHIND_ALL: Final = "behind all"
"""Who waits under this name is served when no queue has anybody, and costs none a turn. No queue can be called so."""


class Waiting(Generic[T]):
    """The waiters of each queue. ``queues`` are the queues' names in order, all with a weight or all without one.

    A queue of another name comes after them all, with the weight 1.
    """

    def __init__(self, queues: Mapping[str, int | None] = ONE_QUEUE) -> None:
        self._ranks = {queue: rank for rank, queue in enumerate(queues)}
        self._weights = {queue: weight for queue, weight in queues.items() if weight is not None}
        self._waiters: dict[str, deque[T]] = {}
        self._passes: dict[str, float] = {}
        self._now = 0.0

    def __bool__(self) -> bool:
        return bool(self._waiters)

    def add(self, queue: str, waiter: T) -> None:
        """Add a waiter behind all others of its queue."""
        self._waiters.setdefault(queue, deque()).append(waiter)

    def remove(self, queue: str, waiter: T) -> None:
        """Remove a waiter that was not taken."""
        self._waiters[queue].remove(waiter)
        self._tidy(queue)

    def pop(self) -> T:
        """Take the waiter that is next of all."""
        return self.take(self.queues()[0])

    def queues(self) -> Sequence[str]:
        """Return the queues that have waiters, the one to be served next first."""
        return sorted(
            self._waiters,
            key=lambda queue: (queue == BEHIND_ALL, self._pass(queue), self._ranks.get(queue, len(self._ranks))),
        )

    def first(self, queue: str) -> T:
        """Return the first waiter of a queue that has some."""
        return self._waiters[queue][0]

    def take(self, queue: str) -> T:
        """Take the first waiter of a queue."""
        waiter = self._waiters[queue].popleft()
        if self._weights and queue != BEHIND_ALL:
            self._now = self._pass(queue)
            self._passes[queue] = self._now + 1 / self._weights.get(queue, 1)
        self._tidy(queue)
        return waiter

    def _pass(self, queue: str) -> float:
        """Return when a queue is to be served next; in the past is as good as now."""
        return max(self._passes.get(queue, self._now), self._now)

    def _tidy(self, queue: str) -> None:
        if not self._waiters[queue]:
            del self._waiters[queue]
