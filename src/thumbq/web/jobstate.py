"""What the store has of a job: the same for every replica."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thumbq.core import keys, objectmetadata
from thumbq.core.job import ObjectRef
from thumbq.errors import ObjectMissing
from thumbq.manifests import read_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.core.manifest import Manifest
    from thumbq.core.presigned import PresignedRecord
    from thumbq.ports import ObjectInfo, ObjectStore
    from thumbq.web.services import WebServices


@dataclass(frozen=True, slots=True)
class JobState:
    """What was found of a job. ``direct``: its original, under ``key``, is stored by the client, who may replace it.

    ``form`` is there only as long as nothing else is.
    """

    key: str
    direct: bool
    manifest: Manifest | None = None
    original: ObjectInfo | None = None
    form: PresignedRecord | None = None
    expired: bool = False

    @property
    def status(self) -> str:
        """The job's state as it is told."""
        if self.form is not None:
            return "expired" if self.expired else "awaiting-upload"
        return "queued" if self.manifest is None else self.manifest.status

    @property
    def wanted(self) -> Sequence[str] | None:
        """The presets that were asked for with the upload; None when it leaves them to the routes."""
        if self.form is not None:
            return self.form.presets
        return None if self.original is None else objectmetadata.presets(self.original.metadata)


async def find(services: WebServices, job_id: str, *, original_too: bool) -> JobState | None:
    """Look for a job; None when there is none. With a manifest, the original is asked for only if ``original_too``.

    Uploads come first: they cost no request more for the direct ones that there may be.
    """
    store, bucket = services.backend.store, services.backend.bucket
    for key, direct in ((keys.upload_key(job_id), False), (keys.inbox_key(job_id), True)):
        source = ObjectRef(bucket, key)
        manifest = await read_manifest(store, source)
        original = await _info(store, source) if original_too or manifest is None else None
        if direct and manifest and original and manifest.source.etag not in (None, original.etag):
            manifest = None  # it is about an original that was replaced since
        if manifest is not None or original is not None:
            return JobState(key, direct, manifest, original)
    if services.direct is None or (form := await services.direct.find(job_id)) is None:
        return None
    return JobState(keys.inbox_key(job_id), direct=True, form=form, expired=services.direct.has_expired(form))


async def _info(store: ObjectStore, source: ObjectRef) -> ObjectInfo | None:
    try:
        return await store.head(source)
    except ObjectMissing:
        return None
