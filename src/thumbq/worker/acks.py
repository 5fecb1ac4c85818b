"""The last calls on receipts: deletes and releases, gathered into batches, each entry seen to on its own."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import anyio
import structlog

from thumbq.errors import BackendError
from thumbq.jobs.reporting import report_request
from thumbq.ports import MAX_BATCH, EntryResult, VisibilityChange

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from random import Random

    from anyio.streams.memory import MemoryObjectSendStream

    from thumbq.ports import Clock, JobQueue
    from thumbq.worker.lease import Lease
    from thumbq.worker.queuehealth import QueueHealth

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

LINGER_S: Final = 0.25
"""How long a call waits for others to go along. The place of its job is free by then, so it holds nothing up."""

PATIENCE_S: Final = 10.0
"""How long a delete waits while others are sure to come, at most; and never for more than half of its lease's rest."""

_RETRY_S: Final = 0.5
_LONGEST_RETRY_S: Final = 8.0
"""Between two tries, at first and in an outage that lasts; each wait is twice the one before."""

T = TypeVar("T")


class _Entry(Generic[T]):
    def __init__(self, item: T, deadline: float, send_by: float, *, urgent: bool) -> None:
        self.item = item
        self.deadline = deadline
        self.send_by = send_by
        self.urgent = urgent
        self.result = EntryResult.RETRY
        self.settled = anyio.Event()
        self.given_up = False


class Batcher(Generic[T]):
    """Gathers single calls for a bounded moment into one call for up to 10 of them.

    The moment is longer while ``more_come``.
    """

    def __init__(
        self,
        call: Callable[[Sequence[T]], Awaitable[Sequence[EntryResult]]],
        clock: Clock,
        health: QueueHealth,
        *,
        more_come: Callable[[], bool] = lambda: False,
    ) -> None:
        self._call = call
        self._clock = clock
        self._health = health
        self._more_come = more_come
        self._entries: MemoryObjectSendStream[_Entry[T]]
        self._entries, self._waiting = anyio.create_memory_object_stream[_Entry[T]](math.inf)

    async def submit(self, item: T, deadline: float, *, urgent: bool = False, patient: bool = True) -> EntryResult:
        """Do the call for one item as a part of the next batch, but not after ``deadline``, and return its result.

        An ``urgent`` one waits for no others, and takes along those that wait; one that is not ``patient`` waits for
        a moment only.
        """
        now = self._clock.monotonic()
        send_by = now + (min(PATIENCE_S, (deadline - now) / 2) if patient else 0)
        entry = _Entry(item, deadline, send_by, urgent=urgent)
        try:
            self._entries.send_nowait(entry)
        except anyio.ClosedResourceError:
            return EntryResult.LOST
        try:
            await entry.settled.wait()
        except BaseException:
            entry.given_up = True
            raise
        return entry.result

    async def run(self) -> None:
        """Send batches until cancelled; nobody who waits then is left waiting."""
        batch: list[_Entry[T]] = []
        try:
            async with anyio.create_task_group() as calls:
                while True:
                    batch = [await self._waiting.receive()]
                    await self._fill(batch)
                    while len(batch) < MAX_BATCH and not batch[-1].urgent and self._waits(batch):
                        await self._fill(batch)
                    calls.start_soon(self._send, batch)
                    batch = []
        finally:
            self._entries.close()
            with suppress(anyio.WouldBlock, anyio.EndOfStream):
                while True:
                    batch.append(self._waiting.receive_nowait())
            self._waiting.close()
            for entry in batch:
                entry.settled.set()

    async def _fill(self, batch: list[_Entry[T]]) -> None:
        """Add what comes in a moment, up to an urgent one."""
        with anyio.move_on_after(LINGER_S):
            while len(batch) < MAX_BATCH and not batch[-1].urgent:
                batch.append(await self._waiting.receive())

    def _waits(self, batch: Sequence[_Entry[T]]) -> bool:
        """Whether a batch that is not full waits for more."""
        return self._more_come() and self._clock.monotonic() + LINGER_S <= min(entry.send_by for entry in batch)

    async def _send(self, entries: list[_Entry[T]]) -> None:
        now = self._clock.monotonic()
        batch = [entry for entry in entries if not entry.given_up and entry.deadline > now]
        try:
            if batch:
                results = await self._call([entry.item for entry in batch])
                self._health.answered()
                for entry, result in zip(batch, results, strict=True):
                    entry.result = result
        except BackendError as error:
            self._health.failed()
            report_request("ack.failed", error, entries=len(batch))
        finally:
            for entry in entries:
                entry.settled.set()


class Acks:
    """Deletes and releases messages whose leases are closing, and tries again while the lease lasts.

    Deletes wait for each other while ``more_come``: nobody waits for them. Somebody may for what is released.
    """

    def __init__(
        self,
        *,
        queue: JobQueue,
        clock: Clock,
        health: QueueHealth,
        random: Random,
        more_come: Callable[[], bool] = lambda: False,
    ) -> None:
        self._clock = clock
        self._random = random
        self._deletes: Batcher[str] = Batcher(queue.delete, clock, health, more_come=more_come)
        self._releases: Batcher[VisibilityChange] = Batcher(queue.extend, clock, health)

    async def run(self) -> None:
        """Send batches until cancelled."""
        async with anyio.create_task_group() as batchers:
            batchers.start_soon(self._deletes.run)
            batchers.start_soon(self._releases.run)

    async def delete(self, lease: Lease, *, urgent: bool = False) -> bool:
        """Remove the message; False when that failed until the lease ended, so that it may come again.

        ``urgent`` where another message waits for it.
        """
        receipt = lease.message.receipt
        return await self._until_settled(
            lease, lambda again: self._deletes.submit(receipt, lease.deadline, urgent=urgent, patient=not again)
        )

    async def release(self, lease: Lease, delay_s: float) -> bool:
        """Make the message visible again after ``delay_s``; False when it comes back by its time-out instead."""
        change = VisibilityChange(lease.message.receipt, math.ceil(delay_s))
        return await self._until_settled(lease, lambda _: self._releases.submit(change, lease.deadline))

    async def _until_settled(self, lease: Lease, call: Callable[[bool], Awaitable[EntryResult]]) -> bool:
        """Make a call, which is told whether it is not the first one, until it is answered or the lease ends."""
        result, retry_s = EntryResult.RETRY, _RETRY_S
        with anyio.move_on_after(lease.deadline - self._clock.monotonic()):
            # The clock is asked again each time: it also counts while the machine sleeps, and timers do not.
            while lease.deadline > self._clock.monotonic():
                result = await call(retry_s > _RETRY_S)
                if result is not EntryResult.RETRY:
                    break
                rest_s = lease.deadline - self._clock.monotonic()
                await anyio.sleep(min(retry_s, max(rest_s / 4, _RETRY_S)) * (0.5 + self._random.random()))
                retry_s = min(2 * retry_s, _LONGEST_RETRY_S)
        if result is not EntryResult.OK:
            log.warning("ack.given_up", message_id=lease.message.id, result=result.name.lower())
        return result is EntryResult.OK
