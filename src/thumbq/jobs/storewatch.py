"""The store's state is known also while no job shows it: requests tell of failures, and an idle store is asked."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from thumbq.core import keys
from thumbq.core.job import ObjectRef
from thumbq.errors import AccessDenied, BackendError, ObjectExists, ObjectMissing, ObjectTooLarge, RestartNeeded
from thumbq.jobs.wrappedstore import WrappedStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from thumbq.jobs.storehealth import StoreHealth
    from thumbq.ports import Backend, ObjectStore

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


class ObservedStore(WrappedStore):
    """An ObjectStore that tells of each request without an answer; ``failed`` is called for it."""

    def __init__(self, store: ObjectStore, failed: Callable[[], None]) -> None:
        super().__init__(store)
        self._failed = failed

    @contextmanager
    def _request(self) -> Iterator[None]:
        try:
            yield
        except (ObjectMissing, ObjectExists, ObjectTooLarge):
            raise
        except BackendError:
            self._failed()
            raise
