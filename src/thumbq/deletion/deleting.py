"""``DELETE /jobs/{id}``: a job is deleted, whatever its state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from thumbq.core import keys, message
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.core.presigned import PresignedRecord
from thumbq.manifests import read_manifest
from thumbq.records import read_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.deletion.tombstones import Tombstones
    from thumbq.ports import Backend

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class JobDeleter:
    """Deletes jobs; ``queues`` are all that a job may have come through, the first of them with the store."""

    def __init__(self, tombstones: Tombstones, queues: Sequence[Backend]) -> None:
        self._tombstones = tombstones
        self._queues = queues
        self._store = queues[0].store
        self._bucket = queues[0].bucket

    async def delete(self, job_id: str) -> bool:
        """Delete a job, and return whether there is one, or one that was deleted.

        The tombstone is first, then a message for each queue: it brings the deletion to its end, whatever becomes of
        this replica. So what is left to do when this returns is to remove what attempts and dead letters have of it.

        Raises BackendError: then it may be deleted or not, and can be deleted again.
        """
        source = await self._source(job_id)
        if source is None:
            return await self._tombstones.find(job_id) is not None
        tombstone = await self._tombstones.put(job_id)
        for queue in self._queues:
            group = message.group_id(source.key) if queue.fifo else None
            await queue.queue.send(message.encode(JobRequest(source, deletion=True)), group=group)
        await self._tombstones.clear(source, tombstone)
        log.info("job.deleted", job_id=job_id)
        return True

    async def _source(self, job_id: str) -> ObjectRef | None:
        """Return where the original of a job is, was or will be; None when there is no such job."""
        for key in (keys.upload_key(job_id), keys.inbox_key(job_id)):
            source = ObjectRef(self._bucket, key)
            if await read_manifest(self._store, source) is not None or await self._tombstones.has_original(source):
                return source
        record = ObjectRef(self._bucket, keys.presigned_key(job_id))
        is_signed = await read_record(self._store, record, PresignedRecord) is not None
        return ObjectRef(self._bucket, keys.inbox_key(job_id)) if is_signed else None
