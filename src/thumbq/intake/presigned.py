"""Direct uploads: a client gets a form and stores the original itself; the store tells the queue.

Where the store has no address of its own, thumbq takes the form in the store's place, and does what it would do.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random, SystemRandom
from typing import TYPE_CHECKING

import anyio
import structlog

from thumbq.core import filenames, keys, message, uploadoptions
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.core.presigned import PresignedRecord
from thumbq.core.uploadoptions import NO_OPTIONS, UploadOptions
from thumbq.errors import (
    AccessDenied,
    BackendError,
    BackendUnavailable,
    ObjectMissing,
    ObjectTooLarge,
    SendRefused,
    UploadRefused,
)
from thumbq.intake.uploads import to_the_end
from thumbq.process import SystemClock

if TYPE_CHECKING:
    from thumbq.core.signing import SignedUpload
    from thumbq.ports import Backend, Clock, PresignedPost, PresignedUploads
    from thumbq.settings import Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Offer:
    """A form for one upload, and what is on record of it."""

    id: str
    record: PresignedRecord
    form: PresignedPost


class PresignedIntake:
    """Signs forms, remembers them, and takes those that come here.

    ``max_bytes`` is the largest original that a form allows, ``expiry_s`` how long it can be used.
    """

    def __init__(
        self,
        *,
        backend: Backend,
        signer: PresignedUploads,
        clock: Clock,
        random: Random,
        max_bytes: int,
        expiry_s: int,
    ) -> None:
        self._backend = backend
        self._signer = signer
        self._clock = clock
        self._random = random
        self._max_bytes = max_bytes
        self._expiry_s = expiry_s

    async def offer(
        self,
        *,
        content_type: str,
        filename: str | None,
        asked: UploadOptions,
        within_s: float,
    ) -> Offer:
        """Sign a form under a new id. When this returns, every replica knows the id.

        Of what is ``asked``, presets and callback count: an event of S3 says nothing of queues and groups.

        Raises UploadRefused when presets and callback are more than an original's metadata holds, and BackendError.
        """
        name = filenames.clean(filename)
        metadata = uploadoptions.metadata(asked, name)
        now = self._clock.wall()
        upload_id = keys.new_id(int(now * 1000), self._random.getrandbits(80))
        record = PresignedRecord(
            expires_at=int(now) + self._expiry_s,
            content_type=content_type,
            max_bytes=self._max_bytes,
            filename=name,
            presets=asked.presets or None,
        )
        with anyio.move_on_after(within_s):
            form = await self._signer.presign(
                ObjectRef(self._backend.bucket, keys.inbox_key(upload_id)),
                content_type=content_type,
                max_bytes=self._max_bytes,
                expires_s=self._expiry_s,
                metadata=metadata,
            )
            await self._backend.store.put(self._record_ref(upload_id), record.encode(), content_type="application/json")
            return Offer(upload_id, record, form)
        raise BackendUnavailable(f"the store did not answer within {within_s:g} s")

    async def find(self, upload_id: str) -> PresignedRecord | None:
        """Return what is on record of an id; None when no form was signed for it."""
        try:
            _, raw = await self._backend.store.get(self._record_ref(upload_id), max_bytes=PresignedRecord.MAX_BYTES)
        except (ObjectMissing, ObjectTooLarge):
            return None
        return PresignedRecord.decode(raw)

    def has_expired(self, record: PresignedRecord) -> bool:
        """Whether a form can be used no longer."""
        return self._clock.wall() >= record.expires_at

    async def take(self, form: SignedUpload, body: bytes, *, within_s: float) -> None:
        """Store an original as its form says, and queue its job; when this returns, both are durable.

        A form that is used again replaces the original. Errors are those of UploadIntake.accept, and a cancelled call
        ends what it began as that does.
        """
        if not body:
            raise UploadRefused(400, "empty-file", "The file is empty.")
        await to_the_end(lambda: self._store_and_send(form, body), within_s=within_s)

    async def _store_and_send(self, form: SignedUpload, body: bytes) -> None:
        await self._backend.store.put(form.ref, body, content_type=form.content_type, metadata=form.metadata)
        # What is to be made of it stands in its metadata, since an event of S3 could not say it either.
        job = JobRequest(form.ref)
        group = uploadoptions.group_of(NO_OPTIONS, form.ref.key, fifo=self._backend.fifo)
        try:
            message_id = await self._backend.queue.send(message.encode(job), group=group)
        except (SendRefused, AccessDenied):
            await self._remove(form.ref)
            raise
        log.info(
            "upload.accepted",
            job_id=keys.upload_id(form.ref.key),
            message_id=message_id,
            bytes=len(body),
            content_type=form.content_type,
        )

    async def _remove(self, source: ObjectRef) -> None:
        try:
            await self._backend.store.delete(source)
        except BackendError as error:
            log.warning("intake.original_left", source=str(source), error=str(error))

    def _record_ref(self, upload_id: str) -> ObjectRef:
        return ObjectRef(self._backend.bucket, keys.presigned_key(upload_id))


def make_presigned_intake(backend: Backend, settings: Settings) -> PresignedIntake | None:
    """Return what signs forms and takes them, as the settings say; None where there are no direct uploads.

    What comes to thumbq itself is held in memory, so that it is bounded as other uploads are.
    """
    if backend.presigned_uploads is None:
        return None
    limit = settings.max_source_bytes
    return PresignedIntake(
        backend=backend,
        signer=backend.presigned_uploads,
        clock=SystemClock(),
        random=SystemRandom(),
        max_bytes=limit if backend.presigned_verifier is None else min(limit, settings.max_upload_bytes),
        expiry_s=settings.upload_expiry_s,
    )
