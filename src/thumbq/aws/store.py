"""ObjectStore on S3."""

from __future__ import annotations

import io
import secrets
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import anyio

from thumbq.aws.errors import is_conflict, member, translated
from thumbq.errors import BackendUnavailable, BadAnswer, ObjectExists, ObjectMissing, ObjectTooLarge
from thumbq.ports import ListedObject, ObjectInfo
from thumbq.ports.tracing import Asking, during

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from types_aiobotocore_s3.client import S3Client

    from thumbq.aws.fastpath import FastPath
    from thumbq.core.job import ObjectRef
    from thumbq.ports import Sink

_CHUNK: Final = 1 << 18
_TRANSFER_S: Final = 120
_ANSWER_S: Final = 30
_CONDITIONAL_TRIES: Final = 4
_PUT_MARK: Final = "thumbq-put"  # the metadata that identifies the put of an object


class S3Store:
    """Objects in S3. A missing key is AccessDenied where the credentials lack s3:ListBucket on its bucket."""

    def __init__(self, client: S3Client, fast_path: FastPath) -> None:
        self._client = client
        self._fast_path = fast_path

    async def put(
        self,
        ref: ObjectRef,
        body: bytes,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        if_absent: bool = False,
    ) -> str:
        """Store an object whole and return its ETag. With ``if_absent``, raise ObjectExists when there is one."""
        request: dict[str, Any] = {"Body": body, "ContentType": content_type, "Metadata": dict(metadata or {})}
        return await (self._put_new(ref, request) if if_absent else self._put(ref, request))

    async def _put_new(self, ref: ObjectRef, request: dict[str, Any]) -> str:
        mark = secrets.token_hex(16)
        request = {**request, "IfNoneMatch": "*", "Metadata": {**request["Metadata"], _PUT_MARK: mark}}
        for tries_before in range(_CONDITIONAL_TRIES):
            await anyio.sleep(0.1 * tries_before)
            try:
                return await self._put(ref, request)
            except ObjectExists:
                etag = await self._etag_of(ref, mark)
                if etag is None:
                    raise
                return etag
            except BackendUnavailable as error:
                if not is_conflict(error.__cause__):
                    raise
        raise BackendUnavailable(f"put {ref}: in conflict with other writers {_CONDITIONAL_TRIES} times")

    async def _etag_of(self, ref: ObjectRef, mark: str) -> str | None:
        """Return the ETag of the object if it is the one that was put with ``mark``.

        botocore sends a request again after a lost answer, and so does aiohttp, silently: the object in the way may be
        ours.
        """
        with suppress(ObjectMissing):
            answer = await self._head(ref)
            if answer.get("Metadata", {}).get(_PUT_MARK) == mark:
                return _etag(answer, f"head {ref}")
        return None

    async def _put(self, ref: ObjectRef, request: dict[str, Any]) -> str:
        with during(Asking("PutObject", ref.bucket, ref.key)), translated(f"put {ref}", within_s=_TRANSFER_S):
            answer = await self._fast_path.put(ref, request)
            if answer is None:
                answer = await self._client.put_object(Bucket=ref.bucket, Key=ref.key, **request)
        return _etag(answer, f"put {ref}")

    async def get(self, ref: ObjectRef, *, max_bytes: int) -> tuple[ObjectInfo, bytes]:
        """Return an object of at most ``max_bytes``."""
        body = io.BytesIO()  # it hands its buffer over without a copy
        info = await self.fetch(ref, body, max_bytes=max_bytes)
        return info, body.getvalue()

    async def fetch(self, ref: ObjectRef, sink: Sink, *, max_bytes: int) -> ObjectInfo:
        """Write an object's bytes to ``sink`` as they arrive, in pieces of less than 1 MiB."""
        with during(Asking("GetObject", ref.bucket, ref.key)):
            return await self._fetch(ref, sink, max_bytes)

    async def _fetch(self, ref: ObjectRef, sink: Sink, max_bytes: int) -> ObjectInfo:
        action = f"get {ref}"
        with translated(action, within_s=_TRANSFER_S):
            answer = await self._fast_path.get(ref)
            if answer is None:
                answer = await self._client.get_object(Bucket=ref.bucket, Key=ref.key)
        size = answer.get("ContentLength", 0)
        taken = 0
        async with answer["Body"] as body:
            info = _info(answer, action, size)
            if not size and not _shows_its_end(answer):
                raise BadAnswer(f"{action}: the answer does not say how long it is")
            while max(size, taken) <= max_bytes:
                with translated(action):
                    piece = await body.read(_CHUNK)
                if not piece:
                    return replace(info, size=taken)
                taken += len(piece)
                if taken <= max_bytes:
                    sink.write(piece)
        size = max(size, taken)
        raise ObjectTooLarge(f"{action}: {size} bytes or more, at most {max_bytes} are taken", size)

    async def head(self, ref: ObjectRef) -> ObjectInfo:
        """Return an object's attributes."""
        answer, action = await self._head(ref), f"head {ref}"
        return _info(answer, action, answer.get("ContentLength"))

    async def _head(self, ref: ObjectRef) -> Any:
        with during(Asking("HeadObject", ref.bucket, ref.key)), translated(f"head {ref}", within_s=_ANSWER_S):
            answer = await self._fast_path.head(ref)
            if answer is None:
                answer = await self._client.head_object(Bucket=ref.bucket, Key=ref.key)
        return answer

    async def delete(self, ref: ObjectRef) -> None:
        """Remove an object; it is no error when there is none."""
        try:
            asking = during(Asking("DeleteObject", ref.bucket, ref.key))
            with asking, translated(f"delete {ref}", within_s=_ANSWER_S):
                if not await self._fast_path.delete(ref):
                    await self._client.delete_object(Bucket=ref.bucket, Key=ref.key)
        except ObjectMissing:
            return

    async def list(self, bucket: str, *, prefix: str, after: str = "", limit: int = 1000) -> Sequence[ListedObject]:
        """Ask for one page, and for the next while a page has no keys though more follow."""
        request: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": limit}
        if after:
            request["StartAfter"] = after
        action = f"list {bucket}/{prefix}"
        while True:
            with during(Asking("ListObjectsV2", bucket, prefix)), translated(action, within_s=_ANSWER_S):
                answer = await self._client.list_objects_v2(**request)
            if not answer.keys() - {"ResponseMetadata"}:
                raise BadAnswer(f"{action}: the answer is no listing")
            found = [_listed(entry, action) for entry in answer.get("Contents", [])]
            if found or not answer.get("IsTruncated"):
                return found
            token = member(answer, "NextContinuationToken", action)
            if token == request.get("ContinuationToken"):
                raise BadAnswer(f"{action}: each page without keys names itself as the next one")
            request["ContinuationToken"] = token


def _etag(answer: Any, action: str) -> str:
    etag: str = member(answer, "ETag", action)
    return etag.strip('"')


def _shows_its_end(answer: Any) -> bool:
    """Whether a body that is cut would be known as such."""
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    return "content-length" in headers or "chunked" in headers.get("transfer-encoding", "").lower()


def _info(answer: Any, action: str, size: int | None) -> ObjectInfo:
    return ObjectInfo(
        size=size,
        etag=_etag(answer, action),
        content_type=answer.get("ContentType", "application/octet-stream"),
        metadata={name: value for name, value in answer.get("Metadata", {}).items() if name != _PUT_MARK},
    )


def _listed(entry: Any, action: str) -> ListedObject:
    key, size, modified = (member(entry, name, action) for name in ("Key", "Size", "LastModified"))
    return ListedObject(key, size, modified.timestamp())
