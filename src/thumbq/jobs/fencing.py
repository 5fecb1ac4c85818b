"""Fencing: no request for a message starts once its lease is lost, whichever part of the code would make it."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from thumbq.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from thumbq.core.job import ObjectRef
    from thumbq.ports import ListedObject, ObjectInfo, ObjectStore, Sink

_holds: ContextVar[Callable[[], bool] | None] = ContextVar("holds", default=None)


class LeaseLost(BackendError):
    """A request was not made, because its message belongs to somebody else by now."""


@contextmanager
def fenced(holds: Callable[[], bool]) -> Iterator[None]:
    """Fence this task and those that it starts: ``holds`` says whether the lease stands."""
    token = _holds.set(holds)
    try:
        yield
    finally:
        _holds.reset(token)


def is_held() -> bool:
    """Whether the lease of this task's message stands, also when nobody has noticed a loss yet.

    Timers do not run while a machine sleeps or a process is stopped: on waking up, the work may go on before the
    heartbeat loop looks at the lease. Code that works for no message is never fenced.
    """
    holds = _holds.get()
    return holds is None or holds()


def check() -> None:
    """Raise LeaseLost when this task works for a message whose lease is lost."""
    if not is_held():
        raise LeaseLost("the lease on the message is lost")


class FencedStore:
    """An ObjectStore that checks before each request."""

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
        check()
        return await self._store.put(ref, body, content_type=content_type, metadata=metadata, if_absent=if_absent)

    async def get(self, ref: ObjectRef, *, max_bytes: int) -> tuple[ObjectInfo, bytes]:
        """Return an object."""
        check()
        return await self._store.get(ref, max_bytes=max_bytes)

    async def fetch(self, ref: ObjectRef, sink: Sink, *, max_bytes: int) -> ObjectInfo:
        """Write an object's bytes to ``sink``."""
        check()
        return await self._store.fetch(ref, sink, max_bytes=max_bytes)

    async def head(self, ref: ObjectRef) -> ObjectInfo:
        """Return what is known of an object."""
        check()
        return await self._store.head(ref)

    async def delete(self, ref: ObjectRef) -> None:
        """Remove an object."""
        check()
        await self._store.delete(ref)

    async def list(self, bucket: str, *, prefix: str, after: str = "", limit: int = 1000) -> Sequence[ListedObject]:
        """Return the next objects of a listing."""
        check()
        return await self._store.list(bucket, prefix=prefix, after=after, limit=limit)
