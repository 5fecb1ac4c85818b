"""The state of a job, read from the store: the same for every replica."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbq.core import keys
from thumbq.core.job import ObjectRef
from thumbq.errors import ObjectMissing
from thumbq.jobdocuments import JobState

if TYPE_CHECKING:
    from thumbq.core.manifest import Manifest
    from thumbq.ports import ObjectInfo, ObjectStore
    from thumbq.web.services import WebServices


async def find_job(services: WebServices, job_id: str, *, with_original: bool, fresh: bool = False) -> JobState | None:
    """Return the state of a job; None when there is none. It is read from the store at this moment if ``fresh``.

    With a manifest, ``original`` is read only if asked for, and only where the manifest does not say it all.

    Keys of whole uploads come first: their jobs cost no request more for the presigned uploads that there may be.
    """
    for key, replaceable in ((keys.upload_key(job_id), False), (keys.inbox_key(job_id), True)):
        source = ObjectRef(services.backend.bucket, key)
        read = await services.manifests.read(source, fresh=fresh)
        original = None
        if read.manifest is None or (with_original and (replaceable or read.manifest.source.content_type is None)):
            original = await _info(services.backend.store, source)
        if replaceable and read.remembered and _is_about_another(read.manifest, original):
            read = await services.manifests.read(source, fresh=True)
        manifest = None if replaceable and _is_about_another(read.manifest, original) else read.manifest
        if manifest is not None or original is not None:
            return JobState(key, replaceable, manifest, original, remembered=read.remembered)
    presigned = await services.presigned.find(job_id)
    if presigned is None:
        return None
    expired = services.presigned.has_expired(presigned)
    return JobState(keys.inbox_key(job_id), replaceable=True, presigned=presigned, expired=expired)


def _is_about_another(manifest: Manifest | None, original: ObjectInfo | None) -> bool:
    """Whether a manifest is about an original that was replaced since."""
    return manifest is not None and original is not None and manifest.source.etag not in (None, original.etag)


async def _info(store: ObjectStore, source: ObjectRef) -> ObjectInfo | None:
    try:
        return await store.head(source)
    except ObjectMissing:
        return None
