"""Uploads under an idempotency key: what a retry finds done is not done again, the rest is done under the same ids."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import anyio
import structlog
from anyio import to_thread

from thumbq.core.keyrecord import FileRecord, KeyRecord
from thumbq.errors import BackendError, BackendUnavailable, KeyNotFree
from thumbq.intake.claims import check_same

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import TypeVar

    from thumbq.core.uploadoptions import UploadOptions
    from thumbq.intake.claims import Claims
    from thumbq.intake.presigned import PresignedIntake, PresignedUpload
    from thumbq.intake.uploads import Accepted, UploadIntake

    T = TypeVar("T")

_LARGE_BYTES: Final = 1 << 18
_END_S: Final = 5.0

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Key:
    """An idempotency key by its digest, the ``kind`` of request it came with, and where it is claimed."""

    claims: Claims
    digest: str
    kind: str

    def fingerprint(self, content: bytes, filename: str | None, options: UploadOptions) -> str:
        """Return the digest of a file and of all that is said of it."""
        about = json.dumps({"kind": self.kind, "filename": filename, **asdict(options)}, sort_keys=True)
        hashed = hashlib.sha256(f"{len(about)} {about}".encode())
        hashed.update(content)
        return hashed.hexdigest()


def digest_of(owner: str, key: str) -> str:
    """Return the digest of a key, which is its owner's only."""
    return hashlib.sha256(f"{owner}\0{key}".encode()).hexdigest()


class KeyedUpload:
    """The files of one request under a key, in their order: ``look_at`` each, then ``accept`` or ``refused``.

    The key is claimed before the first original is stored. ``end`` has to follow, whatever happens.
    """

    def __init__(self, key: Key, intake: UploadIntake) -> None:
        self._key = key
        self._intake = intake
        self._files: list[FileRecord] = []
        self._record: KeyRecord | None = None
        self._asked = False  # for the claim, whatever became of that

    @property
    def is_replayed(self) -> bool:
        """Whether all of it had been answered before."""
        return self._record is not None and self._record.state == "complete"

    async def look_at(self, content: bytes, *, filename: str | None, options: UploadOptions) -> FileRecord | None:
        """Take a file into account, and return what is known of it from an earlier try. Raises KeyNotFree."""
        hashing = content, filename, options
        if len(content) < _LARGE_BYTES:
            fingerprint = self._key.fingerprint(*hashing)
        else:
            fingerprint = await to_thread.run_sync(self._key.fingerprint, *hashing)
        self._files.append(FileRecord(fingerprint=fingerprint))
        return self._known()

    def refused(self, code: str, text: str) -> None:
        """Note that the file would be refused at each try."""
        self._files[-1] = self._files[-1].model_copy(update={"code": code, "text": text})

    async def accept(
        self,
        body: bytes,
        *,
        filename: str | None,
        options: UploadOptions,
        within_s: float,
        key: str | None = None,
    ) -> Accepted:
        """Store and queue the file that was looked at last, unless that is done. See ``UploadIntake.accept``.

        Raises KeyNotFree.
        """
        self._intake.check_file(body)
        record = await _in_time(self._claimed(), within_s)
        number, file = len(self._files) - 1, self._files[-1]
        known = self._known() or file
        upload_id = record.id_of(number, file.fingerprint)
        is_retry = record.generation > 1 and known.message_id is None and key is None
        if is_retry and await _in_time(self._intake.was_deleted(upload_id), within_s):
            # What an earlier try has stored: nobody wants it any more, and no message asks for it.
            known = known.model_copy(update={"id": upload_id, "message_id": ""})
        if known.message_id is not None:
            self._files[-1] = known
            return self._intake.accepted_before(
                body, filename=filename, key=key, upload_id=upload_id, options=options, message_id=known.message_id
            )
        self._files[-1] = file = file.model_copy(update={"id": upload_id})
        accepted = await self._intake.accept(
            body, filename=filename, key=key, upload_id=upload_id, options=options, within_s=within_s
        )
        self._files[-1] = file.model_copy(update={"message_id": accepted.message_id})
        return accepted

    async def end(self, *, whole: bool) -> None:
        """Complete the key, or leave it open for another try. ``whole``: all files of the request have come.

        Raises KeyNotFree when there have been more of them before; what the store does not take is logged.
        """
        record = self._record
        if record is None:
            if self._files and whole and not self._asked:
                with suppress(BackendError):  # it is refused anyway
                    await _in_time(self._key.claims.check_unused(self._key.digest), _END_S)
            return
        try:
            if whole:
                check_same(record, self._files, all_of_them=True)
            complete = whole and all(file.has_ended for file in self._files)
        except BaseException:
            await self._write(record, complete=False)
            raise
        await self._write(record, complete=complete)

    async def _write(self, record: KeyRecord, *, complete: bool) -> None:
        if record.state == "complete":
            return
        files = (*self._files, *record.files[len(self._files) :])
        ended = record.model_copy(update={"files": files, "state": "complete" if complete else "open"})
        await end_claim(self._key, ended)

    async def _claimed(self) -> KeyRecord:
        claims, digest = self._key.claims, self._key.digest
        if self._record is None:
            self._asked = True
            self._record = await claims.claim(digest, self._files)
            check_same(self._record, self._files)
        elif self._record.state != "complete":
            self._record = await claims.renewed(digest, self._record, self._files)
        return self._record

    def _known(self) -> FileRecord | None:
        if self._record is None:
            return None
        check_same(self._record, self._files)
        number = len(self._files) - 1
        return self._record.files[number] if number < len(self._record.files) else None


async def end_claim(key: Key, record: KeyRecord) -> None:
    """Write how a request has ended. A failure is logged: the next try finds out, a minute later at the latest."""
    try:
        with anyio.CancelScope(shield=True):
            await _in_time(key.claims.end(key.digest, record), _END_S)
    except BackendError as error:
        log.warning("idempotency.not_recorded", state=record.state, error=str(error))


async def presign_once(
    key: Key,
    intake: PresignedIntake,
    *,
    content_type: str,
    filename: str | None,
    options: UploadOptions,
    within_s: float,
) -> tuple[PresignedUpload, bool]:
    """Sign an upload, and return it and whether that was done before. See ``PresignedIntake.presign``.

    One that can be used no longer is signed again, under the same id. Raises KeyNotFree, also for one that was deleted.
    """
    fingerprint = key.fingerprint(content_type.encode(), filename, options)
    intake.check(options)
    record = await _in_time(key.claims.claim(key.digest, [FileRecord(fingerprint=fingerprint)]), within_s)
    upload_id, replayed, upload = record.id_of(0, fingerprint), record.state == "complete", None
    try:
        if replayed or record.generation > 1:
            upload = await _in_time(_signed_before(intake, upload_id, options), within_s)
        if upload is None:
            upload = await intake.presign(
                content_type=content_type, filename=filename, options=options, within_s=within_s, upload_id=upload_id
            )
    except BaseException:
        if not replayed:
            await end_claim(key, record.model_copy(update={"state": "open"}))
        raise
    if not replayed:
        await end_claim(key, record.model_copy(update={"state": "complete"}))
    return upload, replayed


async def _signed_before(intake: PresignedIntake, upload_id: str, options: UploadOptions) -> PresignedUpload | None:
    if await intake.was_deleted(upload_id):
        raise KeyNotFree("deleted", "The upload with this Idempotency-Key was deleted.")
    return await intake.sign_again(upload_id, options)


async def _in_time(work: Awaitable[T], within_s: float) -> T:
    with anyio.move_on_after(within_s):
        return await work
    raise BackendUnavailable(f"the store did not answer within {within_s:g} s")
