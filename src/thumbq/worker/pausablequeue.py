"""A queue that can be paused: while it is, a receive is as one of an empty queue, and nothing is asked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.pauses import Pause
    from thumbq.ports import (
        EntryResult,
        JobQueue,
        QueueAttributes,
        QueueCounts,
        ReceivedMessage,
        VisibilityChange,
    )


HOLDS_AFTER_S: Final = 20.0
"""How long after a pause something may still come from the queue."""

_ANSWER_S: Final = 1.0
"""How much later than its wait an answer may come."""


class QueuePause:
    """Whether one queue is paused. Until the store has said it, nothing is received either."""

    def __init__(self) -> None:
        self._asked_at = -math.inf
        self._known = False
        self._pause: Pause | None = None
        self._changed = anyio.Event()

    @property
    def holds(self) -> bool:
        """Whether nothing may be received now."""
        return not self._known or self._pause is not None

    @property
    def known(self) -> bool:
        """Whether the store has said yet whether the queue is paused."""
        return self._known

    @property
    def pause(self) -> Pause | None:
        """The pause, if the queue is known to be paused."""
        return self._pause

    def longest_wait_s(self) -> int:
        """Return how long a receive may wait that is asked for now: a pause since the last look ends it in time."""
        left_s = self._asked_at + HOLDS_AFTER_S - _ANSWER_S - anyio.current_time()
        return max(1, math.floor(left_s))

    def is_now(self, pause: Pause | None, asked_at: float) -> None:
        """Note what the store says, which was asked at a time of the event loop."""
        self._asked_at = asked_at
        if not self._known or pause != self._pause:
            self._known, self._pause = True, pause
            self._changed.set()
            self._changed = anyio.Event()

    def stays(self, asked_at: float) -> None:
        """Note that the store has not answered: as nobody can know more, receives wait as long as ever."""
        self._asked_at = asked_at

    async def changes(self) -> None:
        """Wait until the store says something else."""
        await self._changed.wait()


class PausableQueue:
    """A JobQueue. What is asked for before a pause is known comes soon after it; what was received is seen to its end.

    ``HOLDS_AFTER_S`` after the pause nothing comes any more.
    """

    def __init__(self, queue: JobQueue, pause: QueuePause) -> None:
        self._queue = queue
        self._pause = pause
        self._stopped = anyio.Event()

    async def receive(self, *, max_messages: int, wait_s: int, visibility_timeout_s: int) -> Sequence[ReceivedMessage]:
        """Receive messages; none while the queue is paused, at the end of ``wait_s``. See JobQueue.receive."""
        with anyio.move_on_after(wait_s):
            while self._pause.holds and not self._stopped.is_set():
                await self._news()
        if self._pause.holds:
            return ()
        return await self._queue.receive(
            max_messages=max_messages,
            wait_s=min(wait_s, self._pause.longest_wait_s()),
            visibility_timeout_s=visibility_timeout_s,
        )

    def stop_receiving(self) -> None:
        """Have open and later receives return soon."""
        self._stopped.set()
        self._queue.stop_receiving()

    async def send(self, body: str, *, group: str | None = None) -> str:
        """Put a message into the queue."""
        return await self._queue.send(body, group=group)

    async def extend(self, changes: Sequence[VisibilityChange]) -> Sequence[EntryResult]:
        """Change how long received messages stay hidden."""
        return await self._queue.extend(changes)

    async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
        """Remove received messages for good."""
        return await self._queue.delete(receipts)

    async def attributes(self) -> QueueAttributes:
        """Return the queue's attributes."""
        return await self._queue.attributes()

    async def counts(self) -> QueueCounts:
        """Return the numbers of messages."""
        return await self._queue.counts()

    async def _news(self) -> None:
        """Wait until a stop, or until the store says something else of the pause."""

        async def until_stopped() -> None:
            await self._stopped.wait()
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(until_stopped)
            await self._pause.changes()
            tasks.cancel_scope.cancel()
