"""Who gets a render process next: jobs wait for one, each in its queue, and core/fairness.py decides."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from thumbq.core.fairness import Waiting
from thumbq.errors import RenderUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thumbq.pool.pooledprocess import PooledProcess


class IdleProcesses:
    """The processes without a job, and the waiters: jobs without a process (never both)."""

    def __init__(self, queues: Mapping[str, int | None]) -> None:
        self._idle: list[PooledProcess] = []
        self._waiters: Waiting[asyncio.Future[PooledProcess]] = Waiting(queues)

    async def take(self, queue: str) -> PooledProcess:
        """Wait for a process. It may have died since it was put here."""
        if self._idle:
            return self._idle.pop()
        waiter: asyncio.Future[PooledProcess] = asyncio.get_running_loop().create_future()
        self._waiters.add(queue, waiter)
        try:
            return await asyncio.shield(waiter)
        except asyncio.CancelledError:
            if not waiter.done():
                self._waiters.remove(queue, waiter)
            elif waiter.exception() is None:
                self.put(waiter.result())
            raise

    def put(self, process: PooledProcess) -> None:
        """Give a process to the next waiter, or keep it until there is one; one that is leaving ends here."""
        if process.leaving:
            process.over.set()
        if process.over.is_set():
            return
        if self._waiters:
            self._waiters.pop().set_result(process)
        else:
            self._idle.append(process)

    def remove(self, process: PooledProcess) -> bool:
        """Remove a process, and return whether it was here."""
        if process in self._idle:
            self._idle.remove(process)
            return True
        return False

    def refuse(self, text: str) -> None:
        """Raise RenderUnavailable in all jobs that wait."""
        while self._waiters:
            self._waiters.pop().set_exception(RenderUnavailable(text))
