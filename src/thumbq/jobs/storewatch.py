"""The store's state is known also while no job shows it: requests tell of failures, and an idle store is asked."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from thumbq.core import keys
from thumbq.core.job import ObjectRef
from thumbq.errors import AccessDenied, BackendError, ObjectExists, ObjectMissing, ObjectTooLarge, RestartNeeded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from thumbq.jobs.storehealth import StoreHealth
    from thumbq.ports import Backend, ListedObject, ObjectInfo, ObjectStore, Sink

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_LOOK_EVERY_S: Final = 5.0
_ASK_EVERY: Final = 3
"""A store without upkeep is asked in every third look, if somebody wants to know: a HEAD in 15 s, 7 cents a month."""

_TIMEOUT_S: Final = 10.0
_ANSWERS: Final = (ObjectMissing, ObjectExists, ObjectTooLarge, AccessDenied)


class StoreWatch:
    """Has the store's health looked after every few seconds, whether jobs come or not."""

    def __init__(self, backend: Backend, health: StoreHealth) -> None:
        self._upkeep = backend.upkeep
        self._store = backend.store
        self._probe = ObjectRef(backend.bucket, keys.PROBE_KEY)
        self._health = health
        self._replaced = False
        self._wanted = False

    def restart_needed(self) -> str | None:
        """Say so when this process holds something open that is not what lies under its name now."""
        return "what this process has opened was removed or replaced: restart it" if self._replaced else None

    def away_since(self) -> float | None:
        """Return since when the store has failed for everybody, in POSIX seconds; and have an idle store asked."""
        self._wanted = True
        return None if self._health.outage is None else self._health.outage.since

    def failed(self) -> None:
        """Note that a request did not get its answer of the store."""
        self._health.failed()

    async def run(self) -> None:
        """Look until cancelled."""
        looks = 0
        while True:
            await anyio.sleep(_LOOK_EVERY_S)
            looks += 1
            if self._upkeep is not None:
                await self._note_failure_of(self._upkeep.check)
            elif self._wanted and looks % _ASK_EVERY == 0:
                self._wanted = False
                await self._note_failure_of(self._ask)
            await self._health.look()

    async def _note_failure_of(self, check: Callable[[], Awaitable[None]]) -> None:
        """Have the store's health look when a check fails: what fails here may be one key or one right."""
        replaced: RestartNeeded | None = None
        try:
            with anyio.fail_after(_TIMEOUT_S):
                await check()
        except RestartNeeded as error:
            replaced = error
            self._health.failed()
        except (BackendError, TimeoutError):
            self._health.failed()
        if replaced is not None and not self._replaced:
            log.error("store.replaced", error=str(replaced), fix="restart this process")
        self._replaced = replaced is not None

    async def _ask(self) -> None:
        try:
            await self._store.head(self._probe)
        except _ANSWERS:
            return


class ObservedStore:
    """An ObjectStore that tells of each request without an answer; ``failed`` is called for it."""

    def __init__(self, store: ObjectStore, failed: Callable[[], None]) -> None:
        self._store = store
        self._failed = failed

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
        with self._observed():
            return await self._store.put(ref, body, content_type=content_type, metadata=metadata, if_absent=if_absent)

    async def get(self, ref: ObjectRef, *, max_bytes: int) -> tuple[ObjectInfo, bytes]:
        """Return an object."""
        with self._observed():
            return await self._store.get(ref, max_bytes=max_bytes)

    async def fetch(self, ref: ObjectRef, sink: Sink, *, max_bytes: int) -> ObjectInfo:
        """Write an object's bytes to ``sink``."""
        with self._observed():
            return await self._store.fetch(ref, sink, max_bytes=max_bytes)

    async def head(self, ref: ObjectRef) -> ObjectInfo:
        """Return what is known of an object."""
        with self._observed():
            return await self._store.head(ref)

    async def delete(self, ref: ObjectRef) -> None:
        """Remove an object."""
        with self._observed():
            await self._store.delete(ref)

    async def list(self, bucket: str, *, prefix: str, after: str = "", limit: int = 1000) -> Sequence[ListedObject]:
        """Return the next objects of a listing."""
        with self._observed():
            return await self._store.list(bucket, prefix=prefix, after=after, limit=limit)

    @contextmanager
    def _observed(self) -> Iterator[None]:
        try:
            yield
        except (ObjectMissing, ObjectExists, ObjectTooLarge):
            raise
        except BackendError:
            self._failed()
            raise
