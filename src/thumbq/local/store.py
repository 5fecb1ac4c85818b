"""ObjectStore on files, with its index in the database."""

from __future__ import annotations

import hashlib
import io
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import anyio
from anyio import to_thread

from thumbq.core.keys import MAX_KEY_BYTES
from thumbq.errors import BackendError, BackendUnavailable, ObjectMissing, ObjectTooLarge
from thumbq.local import errors, objecttable
from thumbq.local.blobnames import Description
from thumbq.ports import ObjectInfo

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from thumbq.core.job import ObjectRef
    from thumbq.local.blobs import Blobs
    from thumbq.local.database import Database
    from thumbq.local.objecttable import Entry
    from thumbq.ports import Clock, ListedObject, Sink

T = TypeVar("T")

_CHUNK_BYTES: Final = 1 << 20
_THREADS: Final = 8


class LocalStore:
    """An ObjectStore in which a file counts only while a row of the database names it."""

    def __init__(self, database: Database, blobs: Blobs, clock: Clock) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._threads = anyio.CapacityLimiter(_THREADS)

    async def put(
        self,
        ref: ObjectRef,
        body: bytes,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        if_absent: bool = False,
    ) -> str:
        """Store an object; see ObjectStore.put."""
        _check_key(ref)
        description = Description(ref.key, content_type, metadata or {})
        blob, etag = await self._in_thread(ref, partial(self._write, body, description))
        entry = objecttable.Entry(blob, ObjectInfo(len(body), etag, content_type, metadata or {}))

        def insert(connection: sqlite3.Connection) -> str | None:
            # A process that was stopped for an hour may find its file moved aside: then there must be no row either.
            if not self._blobs.path(blob).exists():
                raise BackendUnavailable(f"{ref}: the file was moved aside before it was committed; put it again")
            return objecttable.insert(connection, ref, entry, if_absent=if_absent, now=self._clock.wall())

        try:
            replaced = await self._database.write(insert)
        except BackendUnavailable:
            raise  # the row may have been committed; if it was not, the look for orphans finds the file
        except BackendError:
            await self._in_thread(ref, partial(self._blobs.remove, blob))
            raise
        if replaced is not None:
            await self._in_thread(ref, partial(self._blobs.remove, replaced))
        return etag

    async def get(self, ref: ObjectRef, *, max_bytes: int) -> tuple[ObjectInfo, bytes]:
        """Return an object; see ObjectStore.get."""
        buffer = io.BytesIO()
        info = await self.fetch(ref, buffer, max_bytes=max_bytes)
        return info, buffer.getvalue()

    async def fetch(self, ref: ObjectRef, sink: Sink, *, max_bytes: int) -> ObjectInfo:
        """Write an object's bytes to ``sink``, from a worker thread; see ObjectStore.fetch."""
        missing: str | None = None
        while True:
            entry = await self._find(ref)
            size = entry.info.size or 0
            if size > max_bytes:
                raise ObjectTooLarge(f"{ref} has {size} bytes, more than {max_bytes}", size)
            copied = await self._in_thread(ref, partial(_copy, self._blobs.path(entry.blob), sink))
            if copied is None and entry.blob != missing:
                missing = entry.blob  # replaced or deleted since the row was read: read it again
                continue
            if copied != size:
                raise BackendUnavailable(f"{ref}: the file {entry.blob} is missing or cut; the directory is damaged")
            return entry.info

    async def head(self, ref: ObjectRef) -> ObjectInfo:
        """Return an object's attributes; see ObjectStore.head."""
        return (await self._find(ref)).info

    async def delete(self, ref: ObjectRef) -> None:
        """Remove an object; see ObjectStore.delete."""
        blob = await self._database.write(lambda connection: objecttable.remove(connection, ref))
        if blob is not None:
            await self._in_thread(ref, partial(self._blobs.remove, blob))

    async def list(self, bucket: str, *, prefix: str, after: str = "", limit: int = 1000) -> Sequence[ListedObject]:
        """Return the next objects under a prefix; see ObjectStore.list."""
        return await self._database.read(
            lambda connection: objecttable.page(connection, bucket, prefix=prefix, after=after, limit=limit)
        )

    def _write(self, body: bytes, description: Description) -> tuple[str, str]:
        return self._blobs.write(body, description), hashlib.sha256(body).hexdigest()

    async def _find(self, ref: ObjectRef) -> Entry:
        entry = await self._database.read(lambda connection: objecttable.find(connection, ref))
        if entry is None:
            raise ObjectMissing(f"there is no object {ref}")
        return entry

    async def _in_thread(self, ref: ObjectRef, work: Callable[[], T]) -> T:
        try:
            return await to_thread.run_sync(work, limiter=self._threads)
        except OSError as error:
            raise errors.translated(error, ref) from error


def _copy(path: Path, sink: Sink) -> int | None:
    """Copy a file and return its size, or None when there is no such file."""
    size = 0
    try:
        file = path.open("rb", buffering=0)
    except FileNotFoundError:
        return None
    with file:
        while chunk := file.read(_CHUNK_BYTES):
            sink.write(chunk)
            size += len(chunk)
    return size


def _check_key(ref: ObjectRef) -> None:
    size = len(ref.key.encode())
    if not 0 < size <= MAX_KEY_BYTES:
        raise BackendError(f"a key has 1 to {MAX_KEY_BYTES} bytes, this one has {size}: {ref}")
