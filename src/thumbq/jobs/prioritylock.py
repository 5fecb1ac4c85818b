"""A lock whose next holder is chosen by priority."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from thumbq.core.fairness import ONE_QUEUE, Waiting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


class PriorityLock:
    """Has one holder at a time. ``queues`` say which of the waiters is next; see core/fairness.py."""

    def __init__(self, queues: Mapping[str, int | None] = ONE_QUEUE) -> None:
        self.first_queue = next(iter(queues))
        """The most urgent queue."""
        self._waiting: Waiting[anyio.Event] = Waiting(queues)
        self._held = False

    @asynccontextmanager
    async def hold(self, queue: str) -> AsyncIterator[None]:
        """Wait for the lock as one of ``queue``, and hold it."""
        if self._held:
            await self._wait(queue)
        self._held = True
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, queue: str) -> None:
        granted = anyio.Event()
        self._waiting.add(queue, granted)
        try:
            await granted.wait()
        except BaseException:
            if granted.is_set():
                self._pass_on()
            else:
                self._waiting.remove(queue, granted)
            raise

    def _pass_on(self) -> None:
        if self._waiting:
            self._waiting.pop().set()
        else:
            self._held = False
