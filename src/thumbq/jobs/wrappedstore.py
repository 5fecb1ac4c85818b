"""An ObjectStore around another one, for what is to happen at each request."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from thumbq.core.job import ObjectRef
    from thumbq.ports import ListedObject, ObjectInfo, ObjectStore, Sink


class WrappedStore(ABC):
    """An ObjectStore that makes each request within ``_request``."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @abstractmethod
    def _request(self) -> AbstractContextManager[None]:
        """Stand around one request."""

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
        with self._request():
            return await self._store.put(ref, body, content_type=content_type, metadata=metadata, if_absent=if_absent)

    async def get(self, ref: ObjectRef, *, max_bytes: int) -> tuple[ObjectInfo, bytes]:
        """Return an object."""
        with self._request():
            return await self._store.get(ref, max_bytes=max_bytes)

    async def fetch(self, ref: ObjectRef, sink: Sink, *, max_bytes: int) -> ObjectInfo:
        """Write an object's bytes to ``sink``."""
        with self._request():
            return await self._store.fetch(ref, sink, max_bytes=max_bytes)

    async def head(self, ref: ObjectRef) -> ObjectInfo:
        """Return what is known of an object."""
        with self._request():
            return await self._store.head(ref)

    async def delete(self, ref: ObjectRef) -> None:
        """Remove an object."""
        with self._request():
            await self._store.delete(ref)

    async def list(self, bucket: str, *, prefix: str, after: str = "", limit: int = 1000) -> Sequence[ListedObject]:
        """Return the next objects of a listing."""
        with self._request():
            return await self._store.list(bucket, prefix=prefix, after=after, limit=limit)
