"""What becomes of messages about jobs that were deleted: nothing of the job is kept, and there is no dead letter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from thumbq.core import keys
from thumbq.core.retry import Delete, Release
from thumbq.core.tombstone import LATE_S, LOOK_AFTER_S
from thumbq.errors import JobDeleted
from thumbq.jobs.delivery import JobResult, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.core.job import ObjectRef
    from thumbq.jobs.deadletterremoval import DeadLetterRemoval
    from thumbq.jobs.delivery import Delivery, Job
    from thumbq.jobs.resources import JobResources


_LOOKED_FOR_S: Final = 120.0
"""So long after a deletion its dead letters are looked for, also when no walk has seen all. One hides them for 60 s."""

_LOOKED_AT_S: Final = 15.0
"""How long somebody else may be looking at them: a sweep does not take longer, as a rule."""


async def look_for_tombstone(resources: JobResources, job: Job, *, fetched_from: float | None) -> None:
    """Raise JobDeleted when a job was deleted. Raises BackendError.

    The store is asked only where nothing else tells it: an attempt that has its original, and began to fetch it not
    long ago (``fetched_from``, monotonic seconds; None when it has none), meets the manifest of the deletion. One that
    renders again does not: its manifest goes over what it has found.
    """
    job_id = keys.upload_id(job.source.key)
    if job_id is None:
        return
    is_first = job.request.rerender is None
    if is_first and fetched_from is not None and resources.clock.monotonic() - fetched_from <= LOOK_AFTER_S:
        sent_at = job.message.sent_at
        if not job.replaceable or sent_at is None or sent_at - keys.made_at_s(job_id) <= LATE_S:
            return
    if await resources.tombstones.find(job_id) is not None:
        raise JobDeleted


class Deletions:
    """Ends the deletions of jobs, and the messages of deleted jobs. Every method raises BackendError."""

    def __init__(self, resources: JobResources, dead_letters: Sequence[DeadLetterRemoval]) -> None:
        self._tombstones = resources.tombstones
        self._dead_letters = dead_letters

    async def finish(self, delivery: Delivery, job: Job) -> JobResult:
        """Bring a deletion to its end, which a message of thumbq's own asks for.

        It comes twice: at once, for a deletion that was cut off, and when attempts that were under way have ended. A
        last receive waits for that here.
        """
        source, job_id = job.source, keys.upload_id(job.source.key)
        tombstone = None if job_id is None else await self._tombstones.find(job_id)
        while job_id is not None and tombstone is not None:
            if await self._tombstones.has_original(source):
                # Not removed yet, or posted again: until now an attempt may have begun.
                tombstone = await self._tombstones.put(job_id)
            left_s = await self._tombstones.clear(source, tombstone)
            removed = await self._removed_dead_letters(source, ended=not left_s)
            if not removed and self._tombstones.age_s(tombstone) < _LOOKED_FOR_S:
                left_s = max(left_s, _LOOKED_AT_S)
            if not left_s:
                break
            if not delivery.last_receive:
                return JobResult(Outcome.DELETED, Release(left_s))
            await anyio.sleep(left_s)
        return JobResult(Outcome.DELETED, Delete())

    async def _removed_dead_letters(self, source: ObjectRef, *, ended: bool) -> bool:
        return all([await each.remove(source.key, ended=ended) for each in self._dead_letters])

    async def end(self, source: ObjectRef) -> JobResult:
        """Remove what an attempt at a deleted job has stored; the deletion's own message does the rest."""
        job_id = keys.upload_id(source.key)
        if job_id is not None and (tombstone := await self._tombstones.find(job_id)) is not None:
            await self._tombstones.clear(source, tombstone)
        return JobResult(Outcome.DELETED, Delete())
