"""Presigned uploads: a client gets signed fields and stores the original itself; the store tells the queue.

A store without an address of its own leaves the second half to thumbq, which then stores and queues as S3 does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random, SystemRandom
from typing import TYPE_CHECKING

import anyio

from thumbq.core import filenames, keys, uploadoptions
from thumbq.core.job import ObjectRef
from thumbq.core.presigned import PresignedRecord
from thumbq.core.signing import UploadPolicy
from thumbq.errors import BackendUnavailable
from thumbq.intake.storing import Original, check_not_empty, store_and_queue, was_deleted
from thumbq.process import SystemClock
from thumbq.records import read_record, write_record

if TYPE_CHECKING:
    from thumbq.core.callbackrules import CallbackRules
    from thumbq.core.uploadoptions import UploadOptions
    from thumbq.ports import Backend, Clock, PresignedPost


@dataclass(frozen=True, slots=True)
class PresignedUpload:
    """A signed upload under a new id: ``post`` is for the client, ``record`` is in the store."""

    id: str
    record: PresignedRecord
    post: PresignedPost


class PresignedIntake:
    """Signs uploads, keeps their records, and accepts the uploads that clients post to thumbq itself.

    ``max_bytes`` is the largest original that is signed for, ``expiry_s`` how long a signature holds. ``callbacks`` are
    the rules of URLs to call. New keys are spread over ``key_prefixes``.
    """

    def __init__(
        self,
        *,
        backend: Backend,
        clock: Clock,
        random: Random,
        max_bytes: int,
        expiry_s: int,
        callbacks: CallbackRules | None = None,
        key_prefixes: int = 1,
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._random = random
        self._max_bytes = max_bytes
        self._expiry_s = expiry_s
        self._callbacks = callbacks
        self._key_prefixes = key_prefixes

    def check(self, options: UploadOptions) -> None:
        """Raise UploadRefused for a callback that could never be called, and for more than metadata holds."""
        uploadoptions.check_callback(options.callback_url, self._callbacks)
        uploadoptions.metadata(options, None)

    async def presign(
        self,
        *,
        content_type: str,
        filename: str | None,
        options: UploadOptions,
        within_s: float,
        upload_id: str | None = None,
    ) -> PresignedUpload:
        """Sign an upload under a new id, or under this one. When this returns, every replica knows the id.

        Of the options, presets, callback and metadata count: an event of S3 names neither queue nor group.

        Raises UploadRefused as ``check``, and BackendError.
        """
        self.check(options)
        name = filenames.clean(filename)
        now = self._clock.wall()
        upload_id = upload_id or keys.new_id(int(now * 1000), self._random.getrandbits(80), self._key_prefixes)
        record = PresignedRecord(
            expires_at=int(now) + self._expiry_s,
            content_type=content_type,
            max_bytes=self._max_bytes,
            filename=name,
            presets=options.presets or None,
            metadata=dict(options.metadata) or None,
        )
        with anyio.move_on_after(within_s):
            upload = await self._sign(upload_id, record, options, self._expiry_s)
            await write_record(self._backend.store, self._record_ref(upload_id), record)
            return upload
        raise BackendUnavailable(f"the store did not answer within {within_s:g} s")

    async def sign_again(self, upload_id: str, options: UploadOptions) -> PresignedUpload | None:
        """Sign an upload again as it was signed with these options, for the time that it has left.

        None when it has none, or when there is no such upload. Raises BackendError.
        """
        record = await self.find(upload_id)
        left_s = 0 if record is None else math.ceil(record.expires_at - self._clock.wall())
        return None if record is None or left_s <= 0 else await self._sign(upload_id, record, options, left_s)

    async def was_deleted(self, upload_id: str) -> bool:
        """Whether the job of an upload was deleted. Raises BackendError."""
        return await was_deleted(self._backend, upload_id)

    async def _sign(
        self, upload_id: str, record: PresignedRecord, options: UploadOptions, expires_s: int
    ) -> PresignedUpload:
        source = ObjectRef(self._backend.bucket, keys.inbox_key(upload_id))
        metadata = uploadoptions.metadata(options, record.filename)
        policy = UploadPolicy(source, record.content_type, record.max_bytes, metadata)
        post = await self._backend.presigned_uploads.presign(policy, expires_s=expires_s)
        return PresignedUpload(upload_id, record, post)

    async def find(self, upload_id: str) -> PresignedRecord | None:
        """Return the record of an id; None when no upload was signed for it."""
        return await read_record(self._backend.store, self._record_ref(upload_id), PresignedRecord)

    def has_expired(self, record: PresignedRecord) -> bool:
        """Whether a presigned upload can be used no longer."""
        return self._clock.wall() >= record.expires_at

    async def accept(self, policy: UploadPolicy, body: bytes, *, within_s: float) -> None:
        """Store an original as its policy says, and queue its job; when this returns, both are durable.

        A presigned upload that is used again replaces the original. Raises UploadRefused for an empty file, else what
        ``UploadIntake.accept`` raises. A cancelled call finishes as that does.
        """
        check_not_empty(body)
        original = Original(body, policy.content_type, policy.metadata)
        # The job has no options: they are in the metadata, since an event of S3 cannot name them either.
        await store_and_queue(
            original,
            [policy.ref],
            backend=self._backend,
            if_absent=False,
            remove_if_refused=True,
            within_s=within_s,
        )

    def _record_ref(self, upload_id: str) -> ObjectRef:
        return ObjectRef(self._backend.bucket, keys.presigned_key(upload_id))


def make_presigned_intake(
    backend: Backend,
    *,
    max_source_bytes: int,
    max_upload_bytes: int,
    expiry_s: int,
    callbacks: CallbackRules | None = None,
    key_prefixes: int = 1,
) -> PresignedIntake:
    """Return the intake of presigned uploads, with ids from the system's random source.

    An upload that thumbq itself takes is held in memory, so that ``max_upload_bytes`` bounds it like all others.
    """
    through_thumbq = backend.presigned_verifier is not None
    return PresignedIntake(
        backend=backend,
        clock=SystemClock(),
        random=SystemRandom(),
        max_bytes=min(max_source_bytes, max_upload_bytes) if through_thumbq else max_source_bytes,
        expiry_s=expiry_s,
        callbacks=callbacks,
        key_prefixes=key_prefixes,
    )
