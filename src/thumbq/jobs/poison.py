"""Poison messages: what crashed a render is remembered in the store for whoever receives it next.

A first receive costs no request unless its render is killed. From the second on the crash record is written before the
render, so that an attempt that takes the whole replica along is remembered too.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import structlog

from thumbq.core import keys
from thumbq.core.crashrecord import CrashRecord
from thumbq.core.job import ObjectRef
from thumbq.errors import BackendError
from thumbq.records import read_record, write_record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from thumbq.errors import RenderKilled
    from thumbq.jobs.delivery import Job
    from thumbq.jobs.prioritylock import PriorityLock
    from thumbq.ports import ObjectStore

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

NO_CRASHES: Final = CrashRecord()


class CrashHistory:
    """The crashes of one job, in memory and in the store.

    ``record`` is what is known of earlier attempts and of this one. Requests that the store does not answer are logged:
    a record that stays counts one attempt too many at most.
    """

    def __init__(self, store: ObjectStore, bucket: str, job: Job) -> None:
        self.record = NO_CRASHES
        self._store = store
        self._ref = ObjectRef(bucket, keys.crash_record_key(job.message.id, job.number))
        self._redelivered = job.redelivered
        self._stored = self._redelivered
        """Whether the store may hold a record."""
        self._stale = False
        """Whether that one does not say what ``record`` does."""

    async def load(self) -> None:
        """Read what earlier attempts have left. Raises BackendError: then the store may hold a record all the same."""
        found = await read_record(self._store, self._ref, CrashRecord) if self._redelivered else None
        self._stored = found is not None
        if found is not None:
            self.record = found.found()

    async def render_begins(self, *, preset: str | None = None) -> None:
        """Record that a render is under way: of ``preset`` alone, or of all. Raises BackendError."""
        if self._redelivered:
            self._stale = self._stored = True
            await write_record(self._store, self._ref, self.record.opened(preset))

    async def render_killed(self, error: RenderKilled, *, preset: str | None = None) -> None:
        """Record that the render was killed."""
        self.record = self.record.killed(error.code, error.text, preset=preset)
        self._stored = self._stale = True
        await self.render_ended()

    async def render_ended(self) -> None:
        """Record that no render is under way any more."""
        if self._stale:
            await self._settle(keep=self.record.quarantined)

    async def forget(self) -> None:
        """Remove the record of a job that is done or has failed for good."""
        if self._stored:
            await self.remove()

    async def remove(self) -> None:
        """Remove the record of a job whose attempts nobody here has seen."""
        await self._settle(keep=False)

    async def _settle(self, *, keep: bool) -> None:
        try:
            if keep:
                await write_record(self._store, self._ref, self.record)
            else:
                await self._store.delete(self._ref)
            self._stale, self._stored = False, keep
        except BackendError as error:
            log.warning("crash_record.unwritten", error=str(error))


@asynccontextmanager
async def quarantine(history: CrashHistory, lock: PriorityLock, queue: str) -> AsyncIterator[None]:
    """Let a job with crashes render beside no other such job of the replica; all other jobs go on beside it."""
    if not history.record.quarantined:
        yield
        return
    log.warning("job.quarantined", kills=history.record.kills, vanished=history.record.vanished)
    async with lock.hold(queue):
        yield
