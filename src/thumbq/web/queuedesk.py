"""What operators of queues need of a replica: its queues, its series, and its name."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import anyio
from aiohttp import web

from thumbq.web.problems import ProblemRaised, problem_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thumbq.ports import Backend, Clock, DeadLetters, QueueCounts
    from thumbq.web.queueseries import QueueSeries

_FRESH_S: Final = 2.0
"""How long counts do for others who ask, so that many pages cost the queue no more than one."""


@dataclass(slots=True, eq=False)
class DeskQueue:
    """One queue: its ``label`` is its name for people, ``name`` that in the settings."""

    label: str
    name: str
    backend: Backend
    looking: anyio.Lock = field(default_factory=anyio.Lock)
    """Held by whoever looks at the dead letters: another look would not see what this one has received."""
    _counting: anyio.Lock = field(default_factory=anyio.Lock)
    _counts: QueueCounts | None = None
    _counted_at: float = -math.inf

    @property
    def dead_letters(self) -> DeadLetters:
        """The dead letters of a queue that has a place for them."""
        assert self.backend.dead_letters is not None
        return self.backend.dead_letters

    async def counts(self) -> QueueCounts:
        """Return the numbers of messages, as they were two seconds ago at the most. Raises BackendError."""
        async with self._counting:
            if self._counts is None or anyio.current_time() - self._counted_at > _FRESH_S:
                self._counts = await self.backend.queue.counts()
                self._counted_at = anyio.current_time()
            return self._counts

    def changed(self) -> None:
        """Have the messages counted anew."""
        self._counted_at = -math.inf


@dataclass(frozen=True, slots=True)
class QueueDesk:
    """The queues of a replica, by their labels."""

    replica: str
    queues: Mapping[str, DeskQueue]
    series: QueueSeries
    clock: Clock

    def queue_of(self, request: web.Request) -> DeskQueue:
        """Return the queue that a request's address names. Raises ProblemRaised when there is none."""
        label = request.match_info["queue"]
        if (queue := self.queues.get(label)) is None:
            text = f"There is no such queue. There are: {', '.join(self.queues)}."
            raise ProblemRaised(problem_of("no-queue", text))
        return queue

    def queue_with_dead_letters(self, request: web.Request) -> DeskQueue:
        """Return the queue that a request's address names, if it has dead letters. Raises ProblemRaised."""
        queue = self.queue_of(request)
        if queue.backend.dead_letters is None:
            text = f"The queue {queue.label} has no dead-letter queue: thumbq setup makes one."
            raise ProblemRaised(problem_of("no-dead-letters", text))
        return queue


DESK: Final = web.AppKey("desk", QueueDesk)
