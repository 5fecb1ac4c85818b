"""A store without conditional puts, used as well as can be: it is looked at before each of them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from thumbq.errors import ObjectExists, ObjectMissing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thumbq.core.job import ObjectRef
    from thumbq.ports import ListedObject, ObjectInfo, ObjectStore, Sink


class LookingStore:
    """An ObjectStore that asks whether there is an object before it puts one only if absent.

    Of two such puts at the same time both may be done.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def put(
        self,
        ref: ObjectRef,
        body: bytes,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        if_absent: bool = False,
    ) -> str:
        """Store an object."""
        if if_absent:
            with suppress(ObjectMissing):
                await self._store.head(ref)
                raise ObjectExists(f"put {ref}: there is an object")
        return await self._store.put(ref, body, content_type=content_type, metadata=metadata, if_absent=if_absent)

    async def get(self, ref: ObjectRef, *, max_bytes: int) -> tuple[ObjectInfo, bytes]:
        """Return an object."""
        return await self._store.get(ref, max_bytes=max_bytes)

    async def fetch(self, ref: ObjectRef, sink: Sink, *, max_bytes: int) -> ObjectInfo:
        """Write an object's bytes to ``sink``."""
        return await self._store.fetch(ref, sink, max_bytes=max_bytes)

    async def head(self, ref: ObjectRef) -> ObjectInfo:
        """Return what is known of an object."""
        return await self._store.head(ref)

    async def delete(self, ref: ObjectRef) -> None:
        """Remove an object."""
        await self._store.delete(ref)

    async def list(self, bucket: str, *, prefix: str, after: str = "", limit: int = 1000) -> Sequence[ListedObject]:
        """Return the next objects of a listing."""
        return await self._store.list(bucket, prefix=prefix, after=after, limit=limit)
