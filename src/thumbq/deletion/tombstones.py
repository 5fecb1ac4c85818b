"""Tombstones: which jobs were deleted, and the removal of all that the store has of one.

An attempt that is under way knows nothing of a deletion. So a manifest that says deleted stands in the place of the
job's own for half a minute: a manifest put only if absent meets it, and what the attempt has stored is removed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.core import keys
from thumbq.core.job import ObjectRef
from thumbq.core.manifest import Manifest, SourceRecord
from thumbq.core.tombstone import HOLD_S, REMEMBERED_S, Tombstone
from thumbq.errors import BackendError, ObjectMissing
from thumbq.manifests import manifest_ref, read_manifest
from thumbq.records import read_record, write_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thumbq.core.catalog import CatalogInForce
    from thumbq.ports import Clock, ObjectStore

_AT_ONCE: Final = 8


class Tombstones:
    """The tombstones of a bucket. Every method raises BackendError."""

    def __init__(self, store: ObjectStore, bucket: str, catalogs: CatalogInForce, clock: Clock) -> None:
        self._store = store
        self._bucket = bucket
        self._catalogs = catalogs
        self._clock = clock

    async def find(self, job_id: str) -> Tombstone | None:
        """Return the tombstone of a job; None when it was not deleted, or longer ago than is remembered."""
        found = await read_record(self._store, self._ref(job_id), Tombstone)
        return None if found is None or self.age_s(found) >= REMEMBERED_S else found

    async def put(self, job_id: str) -> Tombstone:
        """Record that a job is deleted now."""
        made = Tombstone(deleted_at=self._clock.wall())
        await write_record(self._store, self._ref(job_id), made)
        return made

    async def has_original(self, source: ObjectRef) -> bool:
        """Whether there is an original."""
        try:
            await self._store.head(source)
        except ObjectMissing:
            return False
        return True

    async def clear(self, source: ObjectRef, tombstone: Tombstone) -> float:
        """Remove all that the store has of a deleted job.

        Return how many seconds it takes yet until no attempt can store anything more: so long its manifest says that it
        is deleted, and has what is to be removed. 0 when that is gone, too.
        """
        left_s = max(0.0, HOLD_S - self.age_s(tombstone))
        manifest = await read_manifest(self._store, source)
        standing = _deleted(source, manifest, tombstone)
        if left_s and manifest != standing:
            await write_record(self._store, manifest_ref(source), standing)
        # First the original: no attempt begins without it.
        await self._store.delete(source)
        await self._remove(set(self._rest(source, standing)))
        if not left_s:
            await self._store.delete(manifest_ref(source))
        return left_s

    def age_s(self, tombstone: Tombstone) -> float:
        """Return how many seconds ago a job was deleted."""
        return self._clock.wall() - tombstone.deleted_at

    def _rest(self, source: ObjectRef, manifest: Manifest) -> Iterator[ObjectRef]:
        """Return where there may be something of a job, beside original and manifest."""
        for record in manifest.renditions.values():
            yield ObjectRef(record.bucket, record.key)
        for preset in self._catalogs.current.presets.values():
            for content_type in preset.content_types:
                yield ObjectRef(self._bucket, preset.rendition_key(source.key, content_type))
        if (job_id := keys.upload_id(source.key)) is not None and source.key == keys.inbox_key(job_id):
            yield ObjectRef(self._bucket, keys.presigned_key(job_id))
        if manifest.message_id is not None:
            for key in (keys.crash_record_key(manifest.message_id), keys.failed_message_key(manifest.message_id)):
                yield ObjectRef(self._bucket, key)

    async def _remove(self, refs: set[ObjectRef]) -> None:
        limiter = anyio.Semaphore(_AT_ONCE)

        async def remove(ref: ObjectRef) -> None:
            async with limiter:
                await self._store.delete(ref)

        try:
            async with anyio.create_task_group() as tasks:
                for ref in sorted(refs, key=str):
                    tasks.start_soon(remove, ref)
        except* BackendError as errors:
            raise errors.exceptions[0] from None

    def _ref(self, job_id: str) -> ObjectRef:
        return ObjectRef(self._bucket, keys.tombstone_key(job_id))


def _deleted(source: ObjectRef, manifest: Manifest | None, tombstone: Tombstone) -> Manifest:
    """Return what stands for a deleted job: nothing of it but what is to be removed."""
    return Manifest(
        status="deleted",
        source=SourceRecord(bucket=source.bucket, key=source.key),
        renditions={} if manifest is None else manifest.renditions,
        message_id=None if manifest is None else manifest.message_id,
        finished_at=datetime.fromtimestamp(tombstone.deleted_at, UTC),
    )
