"""ObjectStore on S3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import anyio

from thumbq.aws.errors import is_conflict, translated, was_retried
from thumbq.errors import BackendUnavailable, ObjectExists, ObjectMissing, ObjectTooLarge
from thumbq.ports import ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from types_aiobotocore_s3.client import S3Client

    from thumbq.core.job import ObjectRef
    from thumbq.ports import Sink

_CHUNK: Final = 1 << 18
_TRANSFER_S: Final = 120
_ANSWER_S: Final = 30
_CONDITIONAL_TRIES: Final = 4


class S3Store:
    """Objects in S3. A missing key is AccessDenied where the credentials lack s3:ListBucket on its bucket."""

    def __init__(self, client: S3Client) -> None:
        self._client = client

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
        try:
            return await (self._put_new(ref, request) if if_absent else self._put(ref, request))
        except ObjectMissing as error:
            raise BackendUnavailable(f"put {ref}: there is no such bucket") from error

    async def _put_new(self, ref: ObjectRef, request: dict[str, Any]) -> str:
        for tries_before in range(_CONDITIONAL_TRIES):
            await anyio.sleep(0.1 * tries_before)
            try:
                return await self._put(ref, {**request, "IfNoneMatch": "*"})
            except ObjectExists as error:
                if was_retried(error.__cause__):
                    raise BackendUnavailable(f"put {ref}: an answer was lost, the object may be ours") from error
                raise
            except BackendUnavailable as error:
                if not is_conflict(error.__cause__):
                    raise
        raise BackendUnavailable(f"put {ref}: in conflict with other writers {_CONDITIONAL_TRIES} times")

    async def _put(self, ref: ObjectRef, request: dict[str, Any]) -> str:
        with translated(f"put {ref}", within_s=_TRANSFER_S):
            answer = await self._client.put_object(Bucket=ref.bucket, Key=ref.key, **request)
        return answer["ETag"].strip('"')

    async def get(self, ref: ObjectRef, *, max_bytes: int) -> tuple[ObjectInfo, bytes]:
        """Return an object of at most ``max_bytes``."""
        body = _Body()
        info = await self.fetch(ref, body, max_bytes=max_bytes)
        return info, bytes(body)

    async def fetch(self, ref: ObjectRef, sink: Sink, *, max_bytes: int) -> ObjectInfo:
        """Write an object's bytes to ``sink`` as they arrive, in pieces of up to 256 KiB."""
        with translated(f"get {ref}", within_s=_TRANSFER_S):
            answer = await self._client.get_object(Bucket=ref.bucket, Key=ref.key)
            info = _info(answer)
        async with answer["Body"] as body:
            if info.size > max_bytes:
                raise ObjectTooLarge(f"get {ref}: {info.size} bytes, at most {max_bytes} are taken")
            while True:
                # Outside of write(): what a sink raises is no error of S3.
                with translated(f"get {ref}", within_s=_TRANSFER_S):
                    piece = await body.read(_CHUNK)
                if not piece:
                    return info
                sink.write(piece)

    async def head(self, ref: ObjectRef) -> ObjectInfo:
        """Return what S3 knows of an object."""
        with translated(f"head {ref}", within_s=_ANSWER_S):
            return _info(await self._client.head_object(Bucket=ref.bucket, Key=ref.key))

    async def delete(self, ref: ObjectRef) -> None:
        """Remove an object; it is no error when there is none."""
        try:
            with translated(f"delete {ref}", within_s=_ANSWER_S):
                await self._client.delete_object(Bucket=ref.bucket, Key=ref.key)
        except ObjectMissing:
            return


class _Body(bytearray):
    """A Sink in memory."""

    def write(self, data: bytes | bytearray | memoryview, /) -> int:
        self.extend(data)
        return len(data)


def _info(answer: Any) -> ObjectInfo:
    return ObjectInfo(
        size=answer["ContentLength"],
        etag=answer["ETag"].strip('"'),
        content_type=answer.get("ContentType", "application/octet-stream"),
        metadata=answer.get("Metadata", {}),
    )
