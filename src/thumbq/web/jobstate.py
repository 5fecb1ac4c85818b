"""The states of jobs, read from the store: the same for every replica."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.core import keys
from thumbq.core.job import ObjectRef
from thumbq.errors import BackendError, ObjectMissing
from thumbq.jobdocuments import JobState
from thumbq.web.manifestcache import ManifestCache

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from thumbq.core.manifest import Manifest
    from thumbq.deletion.tombstones import Tombstones
    from thumbq.intake.presigned import PresignedIntake
    from thumbq.ports import Backend, ObjectInfo

AT_ONCE: Final = 16
"""How many jobs of one request are read at once."""


class JobStates:
    """Finds the states of jobs. Every method raises BackendError."""

    def __init__(self, backend: Backend, presigned: PresignedIntake, tombstones: Tombstones) -> None:
        self._store = backend.store
        self._bucket = backend.bucket
        self._manifests = ManifestCache(backend.store)
        self._presigned = presigned
        self._tombstones = tombstones

    async def find(self, job_id: str, *, with_original: bool, fresh: bool = False) -> JobState | None:
        """Return the state of a job; None when there is none. It is read from the store at this moment if ``fresh``.

        With a manifest, ``original`` is read only if asked for, and only where the manifest does not say it all.

        Keys of whole uploads come first: their jobs cost no request more for the presigned uploads that there may be.
        """
        for key, replaceable in ((keys.upload_key(job_id), False), (keys.inbox_key(job_id), True)):
            state = await self._read(key, replaceable=replaceable, with_original=with_original, fresh=fresh)
            if state is not None:
                return state
        presigned = await self._presigned.find(job_id)
        if presigned is None:
            if await self.is_deleted(job_id):
                return JobState(keys.upload_key(job_id), replaceable=False, deleted=True)
            return None
        expired = self._presigned.has_expired(presigned)
        return JobState(keys.inbox_key(job_id), replaceable=True, presigned=presigned, expired=expired)

    async def is_deleted(self, job_id: str) -> bool:
        """Whether a job of this id was deleted."""
        return await self._tombstones.find(job_id) is not None

    def forget(self, job_id: str) -> None:
        """Forget what was read a moment ago."""
        for key in (keys.upload_key(job_id), keys.inbox_key(job_id)):
            self._manifests.forget(ObjectRef(self._bucket, key))

    async def find_all(self, job_ids: Iterable[str]) -> dict[str, JobState]:
        """Return the states of those of these jobs that there are, in their order."""
        return await _gathered({job_id: partial(self.find, job_id, with_original=True) for job_id in job_ids})

    async def read_all(self, source_keys: Iterable[str]) -> dict[str, JobState]:
        """Return the states of the jobs with these originals, in their order, by their ids."""
        return await _gathered(
            {
                job_id: partial(self._read, key, replaceable=key != keys.upload_key(job_id), with_original=True)
                for key in source_keys
                if (job_id := keys.upload_id(key)) is not None
            }
        )

    async def _read(self, key: str, *, replaceable: bool, with_original: bool, fresh: bool = False) -> JobState | None:
        """Return the state of the job with this original; None when there is neither it nor a manifest."""
        source = ObjectRef(self._bucket, key)
        read = await self._manifests.read(source, fresh=fresh)
        if _says_deleted(read.manifest):
            return JobState(key, replaceable, deleted=True)
        original = None
        if read.manifest is None or (with_original and (replaceable or read.manifest.source.content_type is None)):
            original = await self._info(source)
        if replaceable and read.remembered and _is_about_another(read.manifest, original):
            read = await self._manifests.read(source, fresh=True)
            if _says_deleted(read.manifest):
                return JobState(key, replaceable, deleted=True)
        manifest = None if replaceable and _is_about_another(read.manifest, original) else read.manifest
        if manifest is None and original is None:
            return None
        return JobState(key, replaceable, manifest, original, remembered=read.remembered)

    async def look_again(self, state: JobState) -> JobState:
        """Return a state as it is now, with one request, or two where another original may have come."""
        source = ObjectRef(self._bucket, state.key)
        manifest = (await self._manifests.read(source, fresh=True)).manifest
        if state.deleted or _says_deleted(manifest):
            return JobState(state.key, state.replaceable, deleted=True)
        original = state.original
        if state.replaceable and (manifest is not None or original is None):
            original = await self._info(source)
            if _is_about_another(manifest, original):
                manifest = None
        if manifest is None and original is None:
            expired = state.presigned is not None and self._presigned.has_expired(state.presigned)
            return replace(state, expired=expired)
        if manifest is not None and manifest.source.content_type is not None and not state.replaceable:
            original = None
        return JobState(state.key, state.replaceable, manifest, original)

    async def _info(self, source: ObjectRef) -> ObjectInfo | None:
        try:
            return await self._store.head(source)
        except ObjectMissing:
            return None


async def _gathered(finding: Mapping[str, Callable[[], Awaitable[JobState | None]]]) -> dict[str, JobState]:
    """Return what is found, in its order, with AT_ONCE at work at a time."""
    found: dict[str, JobState | None] = dict.fromkeys(finding)
    limiter = anyio.Semaphore(AT_ONCE)

    async def find(job_id: str) -> None:
        async with limiter:
            found[job_id] = await finding[job_id]()

    try:
        async with anyio.create_task_group() as tasks:
            for job_id in finding:
                tasks.start_soon(find, job_id)
    except* BackendError as errors:
        raise errors.exceptions[0] from None
    return {job_id: state for job_id, state in found.items() if state is not None}


def _says_deleted(manifest: Manifest | None) -> bool:
    return manifest is not None and manifest.status == "deleted"


def _is_about_another(manifest: Manifest | None, original: ObjectInfo | None) -> bool:
    """Whether a manifest is about an original that was replaced since."""
    return manifest is not None and original is not None and manifest.source.etag not in (None, original.etag)
