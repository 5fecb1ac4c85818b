"""Suspects: jobs whose renders were killed, remembered in the store for whoever receives them next."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from thumbq.core import keys
from thumbq.core.attempt import AttemptRecord
from thumbq.core.fairness import ONE_QUEUE, Waiting
from thumbq.core.job import ObjectRef
from thumbq.errors import BackendError, ObjectMissing, ObjectTooLarge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from thumbq.errors import RenderKilled
    from thumbq.ports import Backend, ReceivedMessage

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

NO_PAST: Final = AttemptRecord()


@dataclass(slots=True)
class Suspicion:
    """What is known of one job of a message; ``number`` counts those from 1.

    ``kept``: the store may hold a record of it. ``stale``: that one does not say what ``record`` does.
    """

    message: ReceivedMessage
    number: int = 1
    record: AttemptRecord = NO_PAST
    kept: bool = True
    stale: bool = False


class PriorityLock:
    """Lets one suspect of a replica have its turn at a time; ``queues`` say who of those that wait is next."""

    def __init__(self, queues: Mapping[str, int | None] = ONE_QUEUE) -> None:
        self._waiting: Waiting[anyio.Event] = Waiting(queues)
        self._taken = False

    @asynccontextmanager
    async def turn(self, queue: str) -> AsyncIterator[None]:
        """Have the turn, once it comes."""
        if self._taken:
            await self._wait(queue)
        self._taken = True
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, queue: str) -> None:
        comes = anyio.Event()
        self._waiting.add(queue, comes)
        try:
            await comes.wait()
        except BaseException:
            if comes.is_set():
                self._pass_on()
            else:
                self._waiting.remove(queue, comes)
            raise

    def _pass_on(self) -> None:
        if self._waiting:
            self._waiting.pop().set()
        else:
            self._taken = False


class Suspects:
    """Reads and writes attempt records of the jobs of one queue, and lets one suspect at a time have its turn.

    A first receive costs no request unless its render is killed. From the second on the record is written before the
    render, so that also an attempt that takes the whole process along is remembered.
    """

    def __init__(self, backend: Backend, alone: PriorityLock, *, queue: str) -> None:
        self._store = backend.store
        self._bucket = backend.bucket
        self._alone = alone
        self._queue = queue

    async def look(self, message: ReceivedMessage, number: int) -> Suspicion:
        """Return what earlier attempts at a job of a message have left."""
        suspicion = Suspicion(message, number, kept=False)
        if message.receive_count > 1 and (found := await self._read(suspicion)) is not None:
            suspicion.record, suspicion.kept = found.found(), True
        return suspicion

    @asynccontextmanager
    async def turn(self, suspicion: Suspicion) -> AsyncIterator[None]:
        """Hold up a suspect while another one renders; the others go on beside it."""
        if not suspicion.record.suspect:
            yield
            return
        log.warning("job.suspect", kills=suspicion.record.kills, vanished=suspicion.record.vanished)
        async with self._alone.turn(self._queue):
            yield

    async def begin(self, suspicion: Suspicion) -> None:
        """Write the record that says a render is under way."""
        if suspicion.message.receive_count > 1:
            suspicion.stale = suspicion.kept = True
            await self._write(suspicion, suspicion.record.model_copy(update={"open": True}))

    async def killed(self, suspicion: Suspicion, error: RenderKilled) -> None:
        """Record that the render was killed."""
        suspicion.record = suspicion.record.killed(error.code, error.text)
        suspicion.kept = suspicion.stale = True
        await self.rest(suspicion)

    async def rest(self, suspicion: Suspicion) -> None:
        """Record that no render is under way any more."""
        if suspicion.stale:
            await self._settle(suspicion, keep=suspicion.record.suspect)

    async def forget(self, suspicion: Suspicion) -> None:
        """Remove the record of a message that is done or buried."""
        if suspicion.kept:
            await self._settle(suspicion, keep=False)

    async def _settle(self, suspicion: Suspicion, *, keep: bool) -> None:
        try:
            if keep:
                await self._write(suspicion, suspicion.record)
            else:
                await self._store.delete(self._ref(suspicion))
            suspicion.stale, suspicion.kept = False, keep
        except BackendError as error:
            log.warning("attempt.unwritten", error=str(error))

    async def _read(self, suspicion: Suspicion) -> AttemptRecord | None:
        try:
            _, raw = await self._store.get(self._ref(suspicion), max_bytes=AttemptRecord.MAX_BYTES)
        except (ObjectMissing, ObjectTooLarge):
            return None
        return AttemptRecord.decode(raw)

    async def _write(self, suspicion: Suspicion, record: AttemptRecord) -> None:
        ref = self._ref(suspicion)
        await self._store.put(ref, record.encode(), content_type="application/json")

    def _ref(self, suspicion: Suspicion) -> ObjectRef:
        return ObjectRef(self._bucket, keys.attempt_key(suspicion.message.id, suspicion.number))
